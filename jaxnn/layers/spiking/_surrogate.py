r"""Surrogate gradients: the Heaviside step forward, a smooth bump in place of its derivative.

A spike is s = [x > 0] with x the distance of the membrane potential from its threshold. Its
true derivative is zero wherever it exists, so nothing would train; each function here returns
exactly the step and differentiates as if it were a smooth one, under ``grad``, ``jvp``,
``vmap``, ``jit`` and ``scan`` alike. A neuron takes the function itself as its slot, with
options bound by ``functools.partial(fast_sigmoid, slope=10.0)``.

==================  ============================  =====================================
function            derivative, k = ``slope``     source
==================  ============================  =====================================
`fast_sigmoid`      1 / (1 + k|x|)²               "SuperSpike: Supervised Learning in
                                                  Multilayer Spiking Neural Networks" (2018)
`arctan`            (k/2) / (1 + (π k x / 2)²)    "Incorporating Learnable Membrane Time
                                                  Constant to Enhance Learning of Spiking
                                                  Neural Networks" (2021)
`triangular`        max(0, 1 - k|x|)              "Convolutional Networks for Fast,
                                                  Energy-Efficient Neuromorphic Computing"
                                                  (2016)
`sigmoid`           k σ(kx) (1 - σ(kx))           "Surrogate Gradient Learning in Spiking
                                                  Neural Networks" (2019)
`gaussian`          (k/√(2π)) exp(-(kx)²/2)       "Accurate and Efficient Time-Domain
                                                  Classification with Adaptive Spiking
                                                  Recurrent Neural Networks" (2021)
`straight_through`  [k|x| <= 1]                   "Estimating or Propagating Gradients
                                                  Through Stochastic Neurons for Conditional
                                                  Computation" (2013), windowed
`exponential`       exp(-k|x|)                    "Spiking Neuron Models: Single Neurons,
                                                  Populations, Plasticity" (2002), the escape
                                                  rate
`multi_gaussian`    a Gaussian, 15 % higher, less the source of `gaussian`
                    two broad ones at ±1/k
==================  ============================  =====================================

The default slopes of all give a derivative of one, or nearly, at the threshold.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype

# What a neuron's ``surrogate`` slot takes: distance from the threshold in, spikes out.
SpikeFunction = Callable[[jax.Array], jax.Array]


def surrogate(
    derivative: Callable[[jax.Array, jax.Array], jax.Array], *, name: str = "surrogate"
) -> Callable[..., jax.Array]:
    r"""Make a spike function from the derivative to use in place of the true one.

    .. math:: s = [x > 0], \qquad \frac{ds}{dx} := d(x, k)

    Args:
      derivative: the element-wise d, a function of x and the scalar slope k, both in float32
        or wider.
      name: what error messages call the result.

    Returns:
      A function ``spike(x, *, slope=1.0)``: exactly 0 or 1 in the shape and dtype of ``x``.
      The slope may be a traced scalar, for example a schedule's value; it gets no gradient.

    Example:
      >>> soft = surrogate(lambda x, slope: jnp.exp(-slope * jnp.abs(x)))
      >>> soft(jnp.array([-0.5, 0.0, 0.5])).tolist()
      [0.0, 0.0, 1.0]
      >>> jax.grad(soft)(jnp.array(0.0)).item()
      1.0
    """

    @jax.custom_jvp
    def step(x: jax.Array, slope: jax.Array) -> jax.Array:
        return (x > 0).astype(x.dtype)

    @step.defjvp
    def _(primals, tangents):  # pyright: ignore[reportUnusedFunction]
        x, slope = primals
        bump = derivative(x.astype(slope.dtype), slope).astype(x.dtype)
        return step(x, slope), bump * tangents[0]

    def spike(x: jax.Array, *, slope: float | jax.Array = 1.0) -> jax.Array:
        require_array(name, x=x)
        if isinstance(slope, int | float):
            require_positive(name, slope=slope)
        slope = jnp.asarray(slope, accumulation_dtype(x.dtype))
        require(slope.ndim == 0, name, "slope", slope, "a single number")
        return step(x, slope)

    return spike


_fast_sigmoid = surrogate(lambda x, k: 1 / (1 + k * jnp.abs(x)) ** 2, name="fast_sigmoid")
_arctan = surrogate(lambda x, k: k / 2 / (1 + (math.pi / 2 * k * x) ** 2), name="arctan")
_triangular = surrogate(lambda x, k: jnp.maximum(0, 1 - k * jnp.abs(x)), name="triangular")
_sigmoid = surrogate(
    lambda x, k: k * jax.nn.sigmoid(k * x) * jax.nn.sigmoid(-k * x), name="sigmoid"
)
_gaussian = surrogate(
    lambda x, k: k / math.sqrt(2 * math.pi) * jnp.exp(-((k * x) ** 2) / 2), name="gaussian"
)
_straight_through = surrogate(
    lambda x, k: (k * jnp.abs(x) <= 1).astype(x.dtype), name="straight_through"
)

_exponential = surrogate(lambda x, k: jnp.exp(-k * jnp.abs(x)), name="exponential")


def _normal_density(z: jax.Array) -> jax.Array:
    return jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


_multi_gaussian = surrogate(
    # Centre 1 + h of width 1/k, less h of width 6/k at either side, with h = 0.15.
    lambda x, k: (
        k * 1.15 * _normal_density(k * x)
        - k * 0.15 / 6 * (_normal_density((k * x - 1) / 6) + _normal_density((k * x + 1) / 6))
    ),
    name="multi_gaussian",
)


def fast_sigmoid(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 25.0
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; differentiate as the fast sigmoid ``x / (1 + k|x|)``.

    .. math:: \frac{ds}{dx} := \frac{1}{(1 + k |x|)^2}

    Args:
      x: membrane potential minus threshold.
      slope: k; the bump is half its height at ``|x| = 0.41 / k``. Its heavy tail reaches silent
        units far below the threshold.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.

    Example:
      >>> jax.grad(fast_sigmoid)(jnp.array(0.04)).item()
      0.25
    """
    return _fast_sigmoid(x, slope=slope)


def arctan(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 2.0
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; differentiate as an arc tangent.

    .. math:: \frac{ds}{dx} := \frac{k / 2}{1 + (\pi k x / 2)^2}

    Args:
      x: membrane potential minus threshold.
      slope: k, the α of snntorch and spikingjelly.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.
    """
    return _arctan(x, slope=slope)


def triangular(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 1.0
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; differentiate as a triangle of height 1 and half-width 1 / k.

    .. math:: \frac{ds}{dx} := \max(0, 1 - k |x|)

    Args:
      x: membrane potential minus threshold.
      slope: k. Units farther than 1 / k from the threshold get no gradient at all.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.
    """
    return _triangular(x, slope=slope)


def sigmoid(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 4.0
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; differentiate as the logistic function σ(kx).

    .. math:: \frac{ds}{dx} := k\, \sigma(k x) (1 - \sigma(k x))

    Args:
      x: membrane potential minus threshold.
      slope: k. The height is k / 4, so that 4 keeps it at one.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.

    Differs: snntorch's default slope is 25, whose height of 6.25 grows over layers and steps.
    """
    return _sigmoid(x, slope=slope)


def gaussian(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 2.5
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; differentiate as a normal distribution function.

    .. math:: \frac{ds}{dx} := \frac{k}{\sqrt{2 \pi}} e^{-(k x)^2 / 2}

    Args:
      x: membrane potential minus threshold.
      slope: k, one over the standard deviation.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.
    """
    return _gaussian(x, slope=slope)


def straight_through(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 1.0
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; pass gradients unchanged in a window around the threshold.

    .. math:: \frac{ds}{dx} := [k |x| \le 1]

    Args:
      x: membrane potential minus threshold.
      slope: k, one over the window's half-width.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.
    """
    return _straight_through(x, slope=slope)


def exponential(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 2.0
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; differentiate as the escape rate of a noisy threshold.

    .. math:: \frac{ds}{dx} := e^{-k |x|}

    Args:
      x: membrane potential minus threshold.
      slope: k; at 2 the bump's area is that of the step it stands for.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.

    Differs: snntorch's ``spike_rate_escape`` is highest one threshold above the threshold.
    """
    return _exponential(x, slope=slope)


def multi_gaussian(
    x: Float[Array, "*shape"], *, slope: float | Float[Array, ""] = 2.28
) -> Float[Array, "*shape"]:
    r"""Spike where ``x > 0``; differentiate as a Gaussian with shallow negative tails.

    .. math:: \frac{ds}{dx} := 1.15\, N(x; 0, \tfrac{1}{k}) - 0.15\, N(x; \tfrac{1}{k},
              \tfrac{6}{k}) - 0.15\, N(x; -\tfrac{1}{k}, \tfrac{6}{k})

    with N(x; mean, standard deviation) the normal density.

    Args:
      x: membrane potential minus threshold.
      slope: k, one over the standard deviation of the centre. Far from the threshold the
        derivative is below zero.

    Returns:
      Exactly 0 or 1, in the dtype of ``x``; 0 at equality.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``slope`` is not one positive number.
    """
    return _multi_gaussian(x, slope=slope)
