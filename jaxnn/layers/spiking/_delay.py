r"""Synapses with learnable delays: a sparse temporal convolution whose tap positions train.

Each synapse has a weight and a delay. While training, its single tap is spread over the lags as
a normalised Gaussian, so that the position has a gradient; the width shrinks by a schedule, and
at inference the delay is rounded and the synapse is one tap.

===  =================================================================
x    input, spikes or currents, ``(*batch, time, inputs)``
w    ``weight``, ``(inputs, outputs)``
d    ``delay`` in steps, ``(inputs, outputs)``, counted from 0
σ    ``sigma``, width of the Gaussian in steps
D    ``max_delay``; the kernel has D + 1 taps
k    lag, 0 to D
===  =================================================================

Source: "Learning Delays in Spiking Neural Networks using Dilated Convolutions with Learnable
Spacings" (2023), equations 5 to 8. The paper numbers taps from the oldest, n = D - k.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.spiking._parameters import step_shape


def delay_kernel(
    weight: Float[Array, "inputs outputs"],
    delay: Float[Array, "inputs outputs"],
    sigma: float | Float[Array, ""] | None,
    *,
    max_delay: int,
) -> Float[Array, "taps inputs outputs"]:
    r"""Spread each synapse over the lags around its delay.

    .. math:: K_{kij} = \frac{w_{ij}}{c_{ij}}
              \exp\Big(-\frac{(k - d_{ij})^2}{2 \sigma^2}\Big), \quad k = 0 \dots D

    with c so that the taps of a synapse sum to its weight. Without σ the delay is rounded:
    :math:`K_{kij} = w_{ij} [k = \mathrm{round}(d_{ij})]`.

    Args:
      weight: w.
      delay: d, in steps; outside [0, D] it counts as the nearer end.
      sigma: σ, a positive number or scalar array, such as a schedule's value; ``None`` for the
        rounded form, used at inference.
      max_delay: D.

    Returns:
      The taps by lag, ``(D + 1, inputs, outputs)``, in the dtype of ``weight``.

    Gradient: that of a delay outside [0, D] is taken at the nearer end and passed on, so that
    it can return. None reaches the delays in the rounded form.

    Raises:
      TypeError: ``weight`` or ``delay`` is not an array of floating-point numbers.
      ValueError: their shapes differ, or ``sigma`` or ``max_delay`` is out of range.

    Example:
      >>> w, d = jnp.full((1, 1), 2.0), jnp.full((1, 1), 1.2)
      >>> delay_kernel(w, d, None, max_delay=3)[:, 0, 0].tolist()
      [0.0, 2.0, 0.0, 0.0]
      >>> [round(float(tap), 2) for tap in delay_kernel(w, d, 0.5, max_delay=3)[:, 0, 0]]
      [0.09, 1.47, 0.44, 0.0]
    """
    _require_synapses("delay_kernel", weight, delay, sigma, max_delay)
    wide = accumulation_dtype(weight.dtype)
    position = delay.astype(accumulation_dtype(delay.dtype))
    inside = jnp.clip(position, 0, max_delay)
    lags = jnp.arange(max_delay + 1, dtype=position.dtype)[:, None, None]
    if sigma is None:
        taps = (lags == jnp.round(inside)[None]).astype(wide)
    else:
        position = position + jax.lax.stop_gradient(inside - position)
        distance = (lags - position[None]) / jnp.asarray(sigma, position.dtype)
        # A softmax is the normalised Gaussian, and keeps it finite for any small width.
        taps = jax.nn.softmax(-(distance**2) / 2, axis=0).astype(wide)
    return (weight.astype(wide)[None] * taps).astype(weight.dtype)


def delayed_dense(
    x: Float[Array, "..."],
    weight: Float[Array, "inputs outputs"],
    delay: Float[Array, "inputs outputs"],
    sigma: float | Float[Array, ""] | None,
    *,
    max_delay: int,
    bias: Float[Array, " outputs"] | None = None,
    time_axis: int = -2,
) -> Float[Array, "..."]:
    r"""Apply a dense layer whose synapses are delayed, as one causal convolution over time.

    .. math:: y_{tj} = b_j + \sum_i \sum_{k=0}^{D} K_{kij}\, x_{t-k,\, i}

    with K of :func:`delay_kernel`; in the rounded form
    :math:`y_{tj} = b_j + \sum_i w_{ij}\, x_{t - d_{ij},\, i}`. Before its first step x is zero.

    Args:
      x: inputs of all steps, ``(*batch, time, inputs)`` unless ``time_axis`` says otherwise.
      weight: w.
      delay: d, in steps; outside [0, D] it counts as the nearer end.
      sigma: σ, a positive number or scalar array; ``None`` rounds the delays.
      max_delay: D.
      bias: b, not delayed; none if ``None``.
      time_axis: where time is.

    Returns:
      An array in the dtype of ``x``, with outputs in place of inputs.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, there is no such axis, or a number is out of range.

    Example:
      >>> x = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
      >>> one, delay = jnp.ones((2, 1)), jnp.array([[3.0], [1.0]])
      >>> delayed_dense(x, one, delay, None, max_delay=3)[:, 0].tolist()
      [0.0, 0.0, 0.0, 2.0]
    """
    where = "delayed_dense"
    step_shape(where, x, time_axis, argument="x")
    _require_synapses(where, weight, delay, sigma, max_delay)
    inputs, outputs = weight.shape
    needs = f"a last axis of {inputs}, the rows of `weight`"
    require(x.shape[-1] == inputs, where, "x", x, needs)
    kernel = delay_kernel(weight, delay, sigma, max_delay=max_delay).astype(x.dtype)
    sequence = jnp.moveaxis(x, time_axis, -2)
    batch, steps = sequence.shape[:-2], sequence.shape[-2]
    y = jax.lax.conv_general_dilated(
        sequence.reshape(math.prod(batch), steps, inputs),
        kernel[::-1],  # the convolution of the frameworks is a correlation: oldest tap first
        window_strides=(1,),
        padding=[(max_delay, 0)],
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    if bias is not None:
        require_array(where, bias=bias)
        require(bias.shape == (outputs,), where, "bias", bias, f"shape ({outputs},)")
        wide = accumulation_dtype(x.dtype)
        y = (y.astype(wide) + bias.astype(wide)[None, None]).astype(x.dtype)
    return jnp.moveaxis(y.reshape(*batch, steps, outputs), -2, time_axis)


class DelayedDense(nn.Module):
    """A dense layer over spike trains whose synapses learn delays; see :func:`delayed_dense`.

    Parameters ``kernel``, ``delay`` and ``bias``. The width is the variable ``sigma`` of the
    collection ``delays``, for a schedule to set: before a step,
    ``delays = jax.tree.map(lambda _: schedule(step), delays)`` with, for instance,
    ``optax.exponential_decay``. Widths from ``max_delay / 2`` down to 0.5 are the paper's. As
    batch statistics do, the layer follows that collection: where it is mutable (training) the
    Gaussian is used, elsewhere the delays are rounded. Keep weight decay off ``delay``, whose
    rate may be about 100 times that of the weights.

    Attributes:
      features: outputs.
      max_delay: D, in steps.
      sigma: the width at the start; half of ``max_delay``, and at least 0.5, if ``None``.
      use_bias: whether to add ``bias``.
      time_axis: where time is in the inputs.
      dtype: compute in this dtype; ``None`` promotes input and parameters. Delays stay wide.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``.
      delay_init: initialiser of ``delay``; uniform over [0, D] if ``None``.
      bias_init: initialiser of ``bias``.
    """

    features: int
    max_delay: int
    sigma: float | None = None
    use_bias: bool = True
    time_axis: int = -2
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    delay_init: Initializer | None = None
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "..."], *, rounded: bool | None = None
    ) -> Float[Array, "..."]:
        """Map trains ``(*batch, time, inputs)`` to currents ``(*batch, time, features)``.

        Args:
          inputs: spikes or currents of all steps.
          rounded: whether delays are whole steps; unless ``delays`` is mutable, if ``None``.
        """
        step_shape("DelayedDense", inputs, self.time_axis, argument="inputs")
        require_count("DelayedDense", features=self.features, max_delay=self.max_delay)
        width = max(self.max_delay / 2, 0.5) if self.sigma is None else self.sigma
        require_positive("DelayedDense", sigma=width)
        shape = (inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        start = self.delay_init or nn.initializers.uniform(float(self.max_delay))
        delay = self.param("delay", start, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape[1:], self.param_dtype)
        if rounded is None:
            rounded = not self.is_mutable_collection("delays")
        sigma = width
        if self.has_variable("delays", "sigma") or self.is_mutable_collection("delays"):
            sigma = self.variable("delays", "sigma", lambda: jnp.float32(width)).value
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return delayed_dense(
            inputs,
            kernel,
            delay,
            None if rounded else sigma,
            max_delay=self.max_delay,
            bias=bias,
            time_axis=self.time_axis,
        )


def _require_synapses(
    where: str,
    weight: jax.Array,
    delay: jax.Array,
    sigma: float | jax.Array | None,
    max_delay: int,
) -> None:
    require_array(where, weight=weight, delay=delay)
    require(weight.ndim == 2, where, "weight", weight, "shape (inputs, outputs)")
    needs = f"shape {weight.shape}, that of `weight`"
    require(delay.shape == weight.shape, where, "delay", delay, needs)
    require_count(where, max_delay=max_delay)
    if isinstance(sigma, int | float):
        require_positive(where, sigma=sigma)
    elif sigma is not None:
        require_array(where, sigma=sigma)
        require(sigma.ndim == 0, where, "sigma", sigma, "a single number")
