r"""From numbers to spike trains: by rate, by time, by change, by many units, or not at all.

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

from jaxnn._check import require, require_array, require_key, require_positive
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


def delta_encode(
    x: Float[Array, "..."],
    *,
    threshold: float = 0.1,
    off_spikes: bool = False,
    padding: bool = False,
    time_axis: int = -2,
) -> Float[Array, "..."]:
    r"""Fire when a signal has risen since the step before, as an event camera does.

    .. math:: s_t = [x_t - x_{t-1} \ge \theta] - [x_{t-1} - x_t \ge \theta]

    of which the second term is there only with ``off_spikes``.

    Args:
      x: the signal, ``(*batch, time, units)`` unless ``time_axis`` says otherwise.
      threshold: θ, above zero; equality fires, as in snntorch.
      off_spikes: also answer falls, by spikes of -1.
      padding: take the first step as unchanged; else it is compared with zero.
      time_axis: where time is.

    Returns:
      0 and 1, and -1 with ``off_spikes``, in shape and dtype of ``x``.

    Gradient: none.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: there is no such axis, or ``threshold`` is not above zero.

    Example:
      >>> delta_encode(jnp.array([[1.0], [3.0], [3.0], [0.0]]), off_spikes=True)[:, 0].tolist()
      [1.0, 1.0, 0.0, -1.0]
    """
    require_array("delta_encode", x=x)
    require_positive("delta_encode", threshold=threshold)
    ok = -x.ndim <= time_axis < x.ndim
    require(ok, "delta_encode", "time_axis", time_axis, f"an axis of `x`, which has {x.ndim}")
    signal = jnp.moveaxis(x, time_axis, 0)
    first = signal[:1] if padding else jnp.zeros_like(signal[:1])
    change = signal - jnp.concatenate([first, signal[:-1]])
    spikes = (change >= threshold).astype(x.dtype)
    if off_spikes:
        spikes = spikes - (change <= -threshold).astype(x.dtype)
    return jnp.moveaxis(spikes, 0, time_axis)


def population_encode(
    x: Float[Array, "*shape"],
    neurons: int,
    *,
    low: float = 0.0,
    high: float = 1.0,
    overlap: float = 1.5,
) -> Float[Array, "*shape neurons"]:
    r"""Spread each value over units with overlapping Gaussian receptive fields.

    .. math:: r_j = \exp\Big(-\frac{(x - \mu_j)^2}{2 \sigma^2}\Big), \quad
        \mu_j = a + \frac{2 j - 3}{2} \cdot \frac{b - a}{m - 2}, \quad
        \sigma = \frac{b - a}{\beta (m - 2)}, \quad j = 1 \dots m

    so that the outermost units lie half a distance outside [a, b]. Activations are in (0, 1]:
    :func:`latency_encode` or :func:`rate_encode` makes spikes of them.

    Args:
      x: values.
      neurons: m, at least 3.
      low: a, the smallest value expected.
      high: b, the largest.
      overlap: β; larger is narrower.

    Returns:
      Activations in the dtype of ``x``, with one more, last axis.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``neurons`` is below 3, ``high`` not above ``low``, or ``overlap`` not positive.

    Source: "Error-Backpropagation in Temporally Encoded Networks of Spiking Neurons" (2002),
    section 4.1.
    """
    where = "population_encode"
    require_array(where, x=x)
    ok = isinstance(neurons, int) and neurons >= 3
    require(ok, where, "neurons", neurons, "a whole number of at least 3")
    require(low < high, where, "high", high, f"a number above `low`, which is {low}")
    require_positive(where, overlap=overlap)
    wide = x.astype(accumulation_dtype(x.dtype))[..., None]
    spacing = (high - low) / (neurons - 2)
    centres = low + (jnp.arange(neurons, dtype=wide.dtype) - 0.5) * spacing
    centres = centres.reshape((1,) * x.ndim + (neurons,))
    return jnp.exp(-(((wide - centres) * (overlap / spacing)) ** 2) / 2).astype(x.dtype)


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
