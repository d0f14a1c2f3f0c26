r"""The size of edge functions, and the penalties that make a network sparse and smooth.

.. math::
    |\phi_{ij}|_1 = \tfrac{1}{N} \sum_n |\phi_{ij}(x_i^{(n)})|, \quad
    |\Phi|_1 = \sum_{ij} |\phi_{ij}|_1, \quad
    S(\Phi) = -\sum_{ij} p_{ij} \log p_{ij}, \quad p_{ij} = |\phi_{ij}|_1 / |\Phi|_1

Source: "KAN: Kolmogorov-Arnold Networks" (2024), equations 2.17 to 2.20.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype, root


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


def edge_gains(
    edges: Float[Array, "*batch inputs outputs"],
    inputs: Float[Array, "*batch inputs"],
    *,
    offset: float = 0.1,
) -> Float[Array, "inputs outputs"]:
    r"""Divide the spread of each edge's function over the examples by that of its input.

    .. math:: g_{ij} = \frac{\mathrm{std}_n \, \phi_{ij}(x_i^{(n)})}
        {\mathrm{std}_n \, x_i^{(n)} + \epsilon}

    Unlike the norm it does not see a constant that an edge adds, and of a wide input it sees the
    slope and not the width.

    Args:
      edges: values of :func:`edge_functions`; any leading axes are examples.
      inputs: x, of the same examples.
      offset: ε.

    Returns:
      One non-negative number per edge, in the dtype of ``edges``; zero, but for rounding, for a
      constant edge, where the gradient stays finite.

    Raises:
      TypeError: an array is not floating.
      ValueError: the shapes disagree, there are fewer than two examples, or ``offset`` is not
        above zero.

    Source: ``edge_forward_spline_n``, the measure that pykan penalises, in the code published
    with "KAN 2.0: Kolmogorov-Arnold Networks Meet Science" (2024).

    Example:
      >>> x = jnp.array([[-1.0], [1.0]])
      >>> print(edge_gains(3 * x[..., None] + 5, x, offset=1e-6).round(3))
      [[3.]]
    """
    where = "edge_gains"
    require_array(where, edges=edges, inputs=inputs)
    require(edges.ndim >= 2, where, "edges", edges, "shape (*batch, inputs, outputs)")
    want = edges.shape[:-1]
    require(inputs.shape == want, where, "inputs", inputs, f"the shape {want} of `edges` but one")
    require(math.prod(want[:-1]) > 1, where, "edges", edges, "at least two examples")
    require_positive(where, offset=offset)
    spread, width = (
        _spread(array.reshape(-1, *array.shape[n:]))
        for array, n in ((edges, edges.ndim - 2), (inputs, inputs.ndim - 1))
    )
    return (spread / (width + offset)[:, None]).astype(edges.dtype)


def _spread(x: jax.Array) -> jax.Array:
    """Give the standard deviation over the first axis, of a sample."""
    x = x.astype(accumulation_dtype(x.dtype))
    centred = x - jnp.mean(x, 0, keepdims=True)
    return root(jnp.sum(centred**2, 0) / (len(x) - 1))


def regularization(
    scores: PyTree[Float[Array, "_ _"]], *, l1: float = 1.0, entropy: float = 1.0
) -> Float[Array, ""]:
    r"""Penalise the sizes of edges and their even spread over the edges of a layer.

    .. math:: \sum_l \mu_1 |\Phi_l|_1 + \mu_2 S(\Phi_l)

    The paper adds λ times this to the loss, with μ₁ = μ₂ = 1.

    Args:
      scores: norms of the edges of one layer, or a tree of several layers' as from
        :func:`edge_scores`; or their gains.
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


def coefficient_penalty(
    coefficients: Float[Array, "functions inputs outputs"],
    *,
    l1: float = 1.0,
    difference: float = 1.0,
) -> Float[Array, ""]:
    r"""Penalise the sizes of coefficients, and the steps between neighbouring functions.

    .. math:: \frac{1}{n_\text{out}} \sum_{ij} \Bigl( \mu_3 \sum_b |c_{bij}|
        + \mu_4 \sum_b |c_{b+1,ij} - c_{bij}| \Bigr)

    The second term is the total variation of the control polygon, which bounds that of the
    spline: 0 for constants, and the same for any monotone curve between two values.

    Args:
      coefficients: c, of functions in the order of their places, as splines and bumps are.
      l1: μ₃.
      difference: μ₄.

    Returns:
      A scalar in the dtype of ``coefficients``.

    Raises:
      TypeError: ``coefficients`` is not a floating-point array.
      ValueError: it has not three axes.

    Source: ``lamb_coef`` and ``lamb_coefdiff`` of the code published with "KAN:
    Kolmogorov-Arnold Networks" (2024).

    Example:
      >>> c = jnp.array([0.0, 1.0, 3.0])[:, None, None]
      >>> coefficient_penalty(c, l1=1.0, difference=10.0).tolist()  # 4 + 10 * 3
      34.0
    """
    where = "coefficient_penalty"
    require_array(where, coefficients=coefficients)
    needs = "shape (functions, inputs, outputs)"
    require(coefficients.ndim == 3, where, "coefficients", coefficients, needs)
    wide = coefficients.astype(accumulation_dtype(coefficients.dtype))
    size = jnp.sum(jnp.abs(wide))
    variation = jnp.sum(jnp.abs(jnp.diff(wide, axis=0)))
    total = (l1 * size + difference * variation) / coefficients.shape[2]
    return total.astype(coefficients.dtype)
