r"""From numbers to spike trains: by rate, by the time of one spike, or not at all.

===  ================================================
x    values, usually in [0, 1], ``(*batch, units)``
T    ``steps``
===  ================================================

Source: "Training Spiking Neural Networks Using Lessons From Deep Learning" (2023), section 3.
All return time at ``time_axis``, by default ``(*batch, time, units)``.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_key
from jaxnn._numeric import accumulation_dtype


def rate_encode(
    key: jax.Array, x: Float[Array, "*shape"], steps: int, *, time_axis: int = -2
) -> Float[Array, "..."]:
    r"""Draw a spike in each step with the value as its probability.

    .. math:: P(s_t = 1) = \min(\max(x, 0), 1), \quad \text{independently for each } t

    Args:
      key: random key.
      x: probabilities; what lies outside [0, 1] counts as the nearer end.
      steps: T.
      time_axis: where the time axis goes.

    Returns:
      Spikes, exactly 0 or 1, in the dtype of ``x``.

    Gradient: none; drawing is not differentiable in x.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers, or ``key`` no key.
      ValueError: ``steps`` is below 1, or there is no such axis.
    """
    require_key("rate_encode", key)
    _require_encoding("rate_encode", x, steps, time_axis)
    # Drawn in float32 or wider: bfloat16 uniforms are multiples of 1/128.
    wide = x.astype(accumulation_dtype(x.dtype))
    shape = (steps, *x.shape)
    spikes = jax.random.uniform(key, shape, wide.dtype) < jnp.broadcast_to(wide, shape)
    return jnp.moveaxis(spikes, 0, time_axis).astype(x.dtype)


def latency_encode(
    x: Float[Array, "*shape"], steps: int, *, threshold: float = 0.0, time_axis: int = -2
) -> Float[Array, "..."]:
    r"""Fire once, the earlier the larger the value: at once at 1, in the last step near 0.

    .. math:: s_t = [t = \mathrm{round}((1 - x)(T - 1))]\,[x > \theta]

    Args:
      x: values; what lies above 1 counts as 1.
      steps: T.
      threshold: θ; values at or below it never fire.
      time_axis: where the time axis goes.

    Returns:
      Spikes, exactly 0 or 1, in the dtype of ``x``.

    Gradient: none.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``steps`` is below 1, or there is no such axis.

    Example:
      >>> latency_encode(jnp.array([0.0, 0.5, 1.0]), 3).tolist()
      [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    _require_encoding("latency_encode", x, steps, time_axis)
    late = 1 - jnp.clip(x.astype(accumulation_dtype(x.dtype)), 0, 1)
    shape = (steps, *x.shape)
    firing = jnp.broadcast_to(jnp.round(late * (steps - 1)).astype(jnp.int32), shape)
    now = jax.lax.broadcasted_iota(jnp.int32, shape, 0)
    spikes = (now == firing) & jnp.broadcast_to(x > threshold, shape)
    return jnp.moveaxis(spikes, 0, time_axis).astype(x.dtype)


def direct_encode(
    x: Float[Array, "*shape"], steps: int, *, time_axis: int = -2
) -> Float[Array, "..."]:
    """Give the value itself as a constant current in every step; the first layer spikes.

    A linear layer that follows sees the same input T times: apply it to ``x`` first, and
    encode its output, for T times fewer products.

    Args:
      x: values.
      steps: T.
      time_axis: where the time axis goes.

    Returns:
      ``x`` repeated along the time axis.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``steps`` is below 1, or there is no such axis.
    """
    _require_encoding("direct_encode", x, steps, time_axis)
    return jnp.moveaxis(jnp.broadcast_to(x, (steps, *x.shape)), 0, time_axis)


def _require_encoding(where: str, x: jax.Array, steps: int, time_axis: int) -> None:
    require_array(where, x=x)
    ok = isinstance(steps, int) and steps >= 1
    require(ok, where, "steps", steps, "a whole number of at least 1")
    require(
        -x.ndim - 1 <= time_axis <= x.ndim,
        where,
        "time_axis",
        time_axis,
        f"an axis of the result, which has {x.ndim + 1}",
    )
