r"""Sparsity-informed adaptive pruning: the weights themselves say how many of them to remove.

Each round computes, from the index of sparsity of the weights that are left, how many have to
be kept, and removes a share of the rest.

Source: "Pruning Deep Neural Networks from a Sparsity Perspective" (2023), algorithm 1.

=====  ======================================================
d      weights left in a group
r      how many have to be kept, from the index's bound
γ      ``gamma``, the share of the rest that is removed
β      ``beta``, the largest fraction removed in a round
=====  ======================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree, Shaped

from jaxnn._check import require, require_positive
from jaxnn.train.pruning._masks import Prunable, Scope, is_matrix, prune_groups


def sap_count(
    retained: Float[Array, "..."] | float,
    size: Shaped[Array, "..."] | int,
    *,
    gamma: float = 1.0,
    beta: float = 0.9,
) -> Int[Array, "..."]:
    r"""Say how many weights a round removes.

    .. math:: c = \lfloor d \min(γ (1 - r / d), β) \rfloor

    Args:
      retained: r, how many of the weights have to be kept.
      size: d, how many weights are left.
      gamma: the share γ of the others that is removed.
      beta: the fraction β of all left that is removed at most.

    Returns:
      Counts, int32, from 0 to ``beta * size``.

    Raises:
      ValueError: ``gamma`` is not above zero, or ``beta`` not in (0, 1].

    Example:
      >>> sap_count(70.5, 100).item(), sap_count(3.0, 100).item()
      (29, 90)
    """
    require_positive("sap_count", gamma=gamma, beta=beta)
    require(beta <= 1, "sap_count", "beta", beta, "a fraction in (0, 1]")
    d = jnp.asarray(size).astype(jnp.float32)
    fraction = 1 - jnp.asarray(retained).astype(jnp.float32) / jnp.maximum(d, 1)
    return jnp.floor(d * jnp.clip(gamma * fraction, 0, beta)).astype(jnp.int32)


def sap_masks(
    params: PyTree,
    bound: Callable[[jax.Array], jax.Array],
    *,
    masks: PyTree | None = None,
    gamma: float = 1.0,
    beta: float = 0.9,
    scope: Scope = "global",
    prunable: Prunable = is_matrix,
) -> PyTree:
    """Make the masks of the next round of sparsity-informed adaptive pruning.

    Args:
      params: the trained parameters of this round.
      bound: how many of a vector of weights have to be kept, as one number. Pruned weights
        are zeros in it and must not change the answer, as they do not that of
        ``jaxnn.analysis.sparsity.pq_bound``, the paper's.
      masks: what is pruned already, and stays so; nothing if ``None``.
      gamma: see :func:`sap_count`.
      beta: see :func:`sap_count`.
      scope: the group for which ``bound`` is asked and within which weights compete:
        ``"global"``, ``"layer"`` or ``"neuron"``, as in :func:`magnitude_masks`.
      prunable: ``(path, array) -> bool``; arrays of two axes or more by default.

    Returns:
      Booleans like ``params``.

    Raises:
      TypeError: a leaf is not an array of floating-point numbers.
      ValueError: an option is out of range, nothing is prunable, ``bound`` gives more than
        one number, or ``masks`` is not like ``params``.

    Example:
      >>> params = {"kernel": jnp.array([[9.0, 0.1], [0.1, 9.0]])}
      >>> bound = lambda w: jnp.sum(jnp.abs(w)) ** 2 / jnp.sum(w**2)
      >>> sap_masks(params, bound)["kernel"].tolist()
      [[True, False], [True, True]]
    """
    where = "sap_masks"

    def count(weights: jax.Array, kept: jax.Array) -> jax.Array:
        retained = jnp.asarray(bound(weights))
        require(retained.ndim == 0, where, "bound(weights)", retained, "shape (), one number")
        left = jnp.sum(kept, dtype=jnp.int32)
        return weights.size - left + sap_count(retained, left, gamma=gamma, beta=beta)

    return prune_groups(where, params, masks, scope, prunable, count)
