r"""The PQ index: sparsity as the ratio of a p-norm to a q-norm, and what it says of pruning.

Source: "Pruning Deep Neural Networks from a Sparsity Perspective" (2023), definition 1 and
theorem 2 (the bound on the retained count).

=====  =================================================
w      the numbers, of which only magnitudes matter
d      how many there are along ``axis``
p, q   the orders of the norms, 0 < p <= 1 <= q and p < q
I      the index
η      ``eta``: p-th powers given up, relative to those kept
r      the retained count
=====  =================================================
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_positive
from jaxnn.analysis.sparsity._axes import Axis, scaled_magnitudes


def pq_index(
    w: Float[Array, "..."], p: float = 0.5, q: float = 1.0, *, axis: Axis = None
) -> Float[Array, "..."]:
    r"""Measure sparsity by the PQ index.

    .. math:: I_{p,q}(w) = 1 - d^{1/q - 1/p} \, \|w\|_p / \|w\|_q

    It does not change with scale or when w is repeated, and it grows when zeros are added,
    when a large entry takes from a small one, and when one entry outgrows the others.

    Args:
      w: the numbers, of any scale.
      p: the lower order, at most 1.
      q: the higher order, at least 1.
      axis: axes measured together; all if ``None``: ``axis=0`` of a kernel is neuron by neuron.

    Returns:
      0 where all magnitudes are equal, all zeros included; ``1 - d ** (1/q - 1/p)`` where a
      single one is not zero.

    Raises:
      TypeError: ``w`` is not an array of floating-point numbers.
      ValueError: orders out of range, no entry along ``axis``, or no such axis.

    Gradient: at entries that are exactly zero, where the true one is infinite for p < 1, it
    is zero.

    Example:
      >>> pq_index(jnp.array([0.0, 0.0, 0.0, -5.0])).item()
      0.75
    """
    # Equal entries may round to just below 0.
    return jnp.maximum(1 - _norm_ratio("pq_index", w, p, q, axis), 0)


def pq_bound(
    w: Float[Array, "..."],
    p: float = 0.5,
    q: float = 1.0,
    *,
    eta: float = 0.0,
    axis: Axis = None,
) -> Float[Array, "..."]:
    r"""Bound from below how many of the largest magnitudes have to be kept.

    .. math:: r \ge d \, (1 + η)^{-q / (q - p)} \, (1 - I_{p,q}(w))^{p q / (q - p)}

    holds for the least r whose r largest entries satisfy
    :math:`\sum_{tail} |w_i|^p \le η \sum_{head} |w_i|^p`. It does not change when zeros are
    added to w, so weights that are pruned already need not be taken out.

    Args:
      w: the numbers, of any scale.
      p: the lower order, at most 1.
      q: the higher order, at least 1.
      eta: the η allowed; 0 asks how many entries are not zero.
      axis: axes measured together; all if ``None``.

    Returns:
      The bound, a real number between 0 and d; d where all entries are zero, as for all equal.

    Raises:
      TypeError: ``w`` is not an array of floating-point numbers.
      ValueError: orders or ``eta`` out of range, no entry along ``axis``, or no such axis.

    Example:
      >>> pq_bound(jnp.array([0.0, 0.0, 3.0, -3.0])).item()
      2.0
    """
    require(eta >= 0, "pq_bound", "eta", eta, "a number of at least zero")
    ratio = _norm_ratio("pq_bound", w, p, q, axis)
    d = w.size // max(1, ratio.size)
    return d * (1 + eta) ** (-q / (q - p)) * ratio ** (p * q / (q - p))


def _norm_ratio(where: str, w: jax.Array, p: float, q: float, axis: Axis) -> jax.Array:
    """Give 1 - I, as the ratio of two power means, in which d cancels and nothing overflows."""
    require_positive(where, p=p, q=q)
    require(p <= 1, where, "p", p, "0 < p <= 1")
    require(q >= 1 and q > p, where, "q", q, f"q >= 1 and q > p = {p}")
    scaled, present = scaled_magnitudes(where, w, axis)
    # Powers below one have no finite slope at zero: zeros are taken out of the power.
    positive = scaled > 0
    inner = jnp.where(positive, scaled, 1)

    def power_mean(order: float) -> jax.Array:
        powers = jnp.where(positive, inner**order, 0)
        return jnp.where(present, jnp.mean(powers, -1), 1) ** (1 / order)

    return power_mean(p) / power_mean(q)
