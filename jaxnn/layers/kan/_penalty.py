r"""The size of edge functions, and the penalty that makes a network sparse.

.. math::
    |\phi_{ij}|_1 = \tfrac{1}{N} \sum_n |\phi_{ij}(x_i^{(n)})|, \quad
    |\Phi|_1 = \sum_{ij} |\phi_{ij}|_1, \quad
    S(\Phi) = -\sum_{ij} p_{ij} \log p_{ij}, \quad p_{ij} = |\phi_{ij}|_1 / |\Phi|_1

Source: "KAN: Kolmogorov-Arnold Networks" (2024), equations 2.17 to 2.20.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def edge_norms(
    edges: Float[Array, "*batch inputs outputs"],
) -> Float[Array, "inputs outputs"]:
    """Average the magnitude of each edge's function over the examples, the paper's L1 norm.

    Args:
      edges: values of :func:`edge_functions`; any leading axes are examples.

    Returns:
      One non-negative number per edge, in the dtype of ``edges``.

    Raises:
      TypeError: ``edges`` is not a floating-point array.
      ValueError: it has fewer than two axes.

    Example:
      >>> edge_norms(jnp.array([[[1.0, 0.0]], [[-3.0, 0.0]]])).tolist()
      [[2.0, 0.0]]
    """
    require_array("edge_norms", edges=edges)
    require(edges.ndim >= 2, "edge_norms", "edges", edges, "shape (*batch, inputs, outputs)")
    wide = jnp.abs(edges.astype(accumulation_dtype(edges.dtype)))
    return jnp.mean(wide, axis=tuple(range(edges.ndim - 2))).astype(edges.dtype)


def regularization(
    scores: PyTree[Float[Array, "_ _"]], *, l1: float = 1.0, entropy: float = 1.0
) -> Float[Array, ""]:
    r"""Penalise the sizes of edges and their even spread over the edges of a layer.

    .. math:: \sum_l \mu_1 |\Phi_l|_1 + \mu_2 S(\Phi_l)

    The paper adds λ times this to the loss, with μ₁ = μ₂ = 1.

    Args:
      scores: norms of the edges of one layer, or a tree of several layers' as from
        :func:`edge_scores`.
      l1: μ₁, weight of the summed norms.
      entropy: μ₂, weight of the entropy S in nats. S is 0 for one edge alone, and the log of
        the number of edges when all are equal.

    Returns:
      A scalar in the dtype of ``scores``. For a layer without any active edge it is 0.

    Raises:
      TypeError: an entry of ``scores`` is not a floating-point array.

    Example:
      >>> print(regularization(jnp.array([[1.0, 1.0]])).round(3))  # 2 + log 2
      2.693
    """
    leaves = jax.tree.leaves(scores)
    require(bool(leaves), "regularization", "scores", scores, "at least one layer")
    total = None
    for leaf in leaves:
        require_array("regularization", scores=leaf)
        norms = leaf.astype(accumulation_dtype(leaf.dtype))
        # Not the smallest number: dividing by it overflows in the gradient.
        tiny = jnp.asarray(1e-15, norms.dtype)
        size = jnp.sum(norms)
        share = norms / jnp.maximum(size, tiny)
        # The logarithm is cut off near 0, where its gradient times the factor in front is 0 ∞.
        disorder = -jnp.sum(share * jnp.log(jnp.maximum(share, tiny)))
        term = (l1 * size + entropy * disorder).astype(leaf.dtype)
        total = term if total is None else total + term
    return jnp.asarray(total)
