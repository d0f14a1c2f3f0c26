r"""A penalty on spike rates, for sparse and therefore cheap spiking networks.

===  =================================================
r    rate of a unit, its spikes a step
ρ    ``target``
===  =================================================
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype


def spike_rate_penalty(spikes: Float[Array, "*batch units"], *, target: float) -> Float[Array, ""]:
    r"""Penalise units that fire more often than a target rate.

    .. math:: \frac{1}{n} \sum_{j=1}^n \max(0, r_j - \rho)^2

    Units below the target are left alone, so silence is never rewarded. The gradient reaches
    the weights through the spikes' surrogate.

    Args:
      spikes: 0 or 1; all axes but the last, the units', are averaged into the rates r.
      target: ρ, spikes a step, from 0 to 1.

    Returns:
      A scalar in the dtype of ``spikes``.

    Raises:
      TypeError: ``spikes`` is not an array of floating-point numbers.
      ValueError: ``spikes`` has no axis, or ``target`` lies outside [0, 1].

    Example:
      >>> spike_rate_penalty(jnp.array([[1.0, 0.0], [1.0, 0.0]]), target=0.5).item()
      0.125
    """
    require_array("spike_rate_penalty", spikes=spikes)
    require_rank("spike_rate_penalty", "spikes", spikes, 1, "(*batch, units)")
    require(0 <= target <= 1, "spike_rate_penalty", "target", target, "a rate from 0 to 1")
    wide = accumulation_dtype(spikes.dtype)
    rates = jnp.mean(spikes, axis=tuple(range(spikes.ndim - 1)), dtype=wide)
    return jnp.mean(jnp.maximum(rates - target, 0) ** 2).astype(spikes.dtype)
