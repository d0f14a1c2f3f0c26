"""From spike trains and membrane traces to numbers: one value for each unit.

All reduce ``time_axis``, by default that of ``(*batch, time, units)``.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def spike_count(spikes: Float[Array, "..."], *, time_axis: int = -2) -> Float[Array, "..."]:
    """Count the spikes of each unit.

    Args:
      spikes: 0 or 1, ``(*batch, time, units)`` unless ``time_axis`` says otherwise.
      time_axis: where time is.

    Returns:
      Counts in the dtype of ``spikes``, summed in float32 or wider.

    Raises:
      TypeError: ``spikes`` is not an array of floating-point numbers.
      ValueError: there is no such axis.
    """
    _require_trace("spike_count", "spikes", spikes, time_axis)
    wide = accumulation_dtype(spikes.dtype)
    return jnp.sum(spikes, axis=time_axis, dtype=wide).astype(spikes.dtype)


def membrane_mean(v: Float[Array, "..."], *, time_axis: int = -2) -> Float[Array, "..."]:
    """Average the membrane potential over time.

    Args:
      v: potentials, ``(*batch, time, units)`` unless ``time_axis`` says otherwise.
      time_axis: where time is.

    Returns:
      Means in the dtype of ``v``, summed in float32 or wider.

    Raises:
      TypeError: ``v`` is not an array of floating-point numbers.
      ValueError: there is no such axis.
    """
    _require_trace("membrane_mean", "v", v, time_axis)
    wide = accumulation_dtype(v.dtype)
    return jnp.mean(v, axis=time_axis, dtype=wide).astype(v.dtype)


def membrane_max(v: Float[Array, "..."], *, time_axis: int = -2) -> Float[Array, "..."]:
    """Take the highest membrane potential over time; its gradient goes to that step.

    Args:
      v: potentials, ``(*batch, time, units)`` unless ``time_axis`` says otherwise.
      time_axis: where time is.

    Returns:
      Maxima in the dtype of ``v``; steps that tie share the gradient.

    Raises:
      TypeError: ``v`` is not an array of floating-point numbers.
      ValueError: there is no such axis.
    """
    _require_trace("membrane_max", "v", v, time_axis)
    return jnp.max(v, axis=time_axis)


def first_spike_time(spikes: Float[Array, "..."], *, time_axis: int = -2) -> Int[Array, "..."]:
    """Find the step in which each unit fires first.

    Args:
      spikes: 0 or 1, ``(*batch, time, units)`` unless ``time_axis`` says otherwise.
      time_axis: where time is.

    Returns:
      The step, counted from 0, int32; the number of steps for a unit that never fires.

    Raises:
      TypeError: ``spikes`` is not an array of floating-point numbers.
      ValueError: there is no such axis.

    Example:
      >>> first_spike_time(jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])).tolist()
      [1, 3]
    """
    _require_trace("first_spike_time", "spikes", spikes, time_axis)
    fired = spikes > 0
    first = jnp.argmax(fired, axis=time_axis).astype(jnp.int32)
    return jnp.where(jnp.any(fired, axis=time_axis), first, spikes.shape[time_axis])


def _require_trace(where: str, argument: str, value: jax.Array, time_axis: int) -> None:
    require_array(where, floating=True, **{argument: value})
    require(
        -value.ndim <= time_axis < value.ndim,
        where,
        "time_axis",
        time_axis,
        f"an axis of `{argument}`, which has {value.ndim}",
    )
