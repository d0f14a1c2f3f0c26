r"""Universal random features: f(w·x) as the dot product of features of x and features of w.

A Fourier transform writes f as a mean of exponentials, and each of them comes apart under normal
directions g:

.. math::
    f(z) = \mathrm{E}\bigl[A \, \mathrm{Re}\, e^{s z + iφ}\bigr], \quad s = α + iω, \qquad
    e^{s \, w \cdot x} =
        \mathrm{E}_g\bigl[e^{s\, g \cdot x - s^2 \|x\|^2 / 2} \; e^{g \cdot w - \|w\|^2 / 2}\bigr]

The second factor is real, so that the real part of the first is enough: no complex numbers. A
wave (α = 0) grows with :math:`e^{ω^2 \|x\|^2 / 2}`, and so does the variance: keep \|ω x\| and
\|w\| near 1. A layer's bias b is one more feature: append 1 to x and b to w.

===========  ============================================================
x            input, ``(*batch, inputs)``
w            weights of a unit, ``(*units, inputs)``: a kernel transposed
g            ``directions``, ``(features, inputs)``, standard normal
α            ``growth``
ω            ``frequency``
A, φ         ``amplitude`` and ``phase``
m            features
===========  ============================================================

Source: "Scalable Neural Network Kernels" (2024); the arc-cosine kernel is that of "Kernel Methods
for Deep Learning" (2009).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import (
    require,
    require_array,
    require_count,
    require_key,
    require_positive,
    require_rank,
)
from jaxnn._numeric import accumulation_dtype

HIGHEST = jax.lax.Precision.HIGHEST


class Spectrum(NamedTuple):
    r"""A function as a mean of exponentials and waves, :math:`f(z) = E[A e^{αz} \cos(ωz + φ)]`.

    Attributes:
      growth: α of each draw, ``(features,)``.
      frequency: ω of each.
      amplitude: A of each: the Fourier transform's magnitude over the density of the draw.
      phase: φ of each.
    """

    growth: Float[Array, " features"]
    frequency: Float[Array, " features"]
    amplitude: Float[Array, " features"]
    phase: Float[Array, " features"]


def sine_spectrum(key: Array | None, features: int) -> Spectrum:
    """Give the sine: one frequency, so that the key is not used."""
    del key
    return _constant("sine_spectrum", features, 0.0, 1.0, -math.pi / 2)


def cosine_spectrum(key: Array | None, features: int) -> Spectrum:
    """Give the cosine: one frequency, so that the key is not used."""
    del key
    return _constant("cosine_spectrum", features, 0.0, 1.0, 0.0)


def exponential_spectrum(key: Array | None, features: int) -> Spectrum:
    """Give the exponential function: one growth, so that the key is not used."""
    del key
    return _constant("exponential_spectrum", features, 1.0, 0.0, 0.0)


def gaussian_spectrum(key: Array, features: int, *, width: float = 2.0) -> Spectrum:
    r"""Draw the spectrum of the bump :math:`\exp(-z^2 / 2 l^2)`, whose frequencies are normal.

    Args:
      key: a random key.
      features: how many draws.
      width: l. The variance is infinite for inputs longer than l / √2.

    Returns:
      Frequencies of standard deviation 1 / l, amplitude 1.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a number is not above zero.
    """
    where = "gaussian_spectrum"
    require_key(where, key)
    require_positive(where, width=width)
    constant = _constant(where, features, 0.0, 1.0, 0.0)
    return constant._replace(frequency=jax.random.normal(key, (features,), jnp.float32) / width)


def _constant(where: str, features: int, growth: float, frequency: float, phase: float):
    require_count(where, features=features)
    ones = jnp.ones(features, jnp.float32)
    return Spectrum(growth * ones, frequency * ones, ones, phase * ones)


def random_directions(key: Array, inputs: int, features: int) -> Float[Array, "features inputs"]:
    """Draw g, in float32 whatever the default, so that a key means the same everywhere.

    Args:
      key: a random key.
      inputs: size of x.
      features: m, how many directions.

    Returns:
      Standard normal numbers, ``(features, inputs)``.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a number is not whole or not above zero.
    """
    require_key("random_directions", key)
    require_count("random_directions", inputs=inputs, features=features)
    return jax.random.normal(key, (features, inputs), jnp.float32)


def universal_phi(
    x: Float[Array, "*batch inputs"],
    directions: Float[Array, "features inputs"],
    spectrum: Spectrum,
) -> Float[Array, "*batch features"]:
    r"""Take the features of an input whose product with those of weights estimates f(w·x).

    .. math:: Φ_k(x) = \frac{A_k}{\sqrt m}
        e^{α_k g_k \cdot x - (α_k^2 - ω_k^2) \|x\|^2 / 2}
        \cos\bigl(ω_k g_k \cdot x - α_k ω_k \|x\|^2 + φ_k\bigr)

    Args:
      x: any leading axes, then the inputs.
      directions: g, from :func:`random_directions`.
      spectrum: of f, with as many draws as directions.

    Returns:
      Features in the dtype of ``x``, computed in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> directions = random_directions(jax.random.key(0), 2, 100_000)
      >>> phi = universal_phi(jnp.array([0.6, 0.2]), directions, sine_spectrum(None, 100_000))
      >>> round(float(phi @ universal_psi(jnp.array([1.0, -0.5]), directions)), 1)  # sin 0.5
      0.5
    """
    where = "universal_phi"
    projected, square = _project(where, "x", x, directions)
    count = directions.shape[0]
    parts = {}
    for name, values in spectrum._asdict().items():
        require_array(where, **{f"spectrum.{name}": values})
        require(values.shape == (count,), where, f"spectrum.{name}", values, f"shape ({count},)")
        parts[name] = values.astype(projected.dtype).reshape((1,) * (x.ndim - 1) + (count,))
    growth, frequency = parts["growth"], parts["frequency"]
    exponent = growth * projected - (growth**2 - frequency**2) * square / 2
    angle = frequency * projected - growth * frequency * square + parts["phase"]
    values = parts["amplitude"] * jnp.exp(exponent) * jnp.cos(angle)
    return (values / math.sqrt(count)).astype(x.dtype)


def universal_psi(
    w: Float[Array, "*units inputs"], directions: Float[Array, "features inputs"]
) -> Float[Array, "*units features"]:
    r"""Take the features of weights that :func:`universal_phi` of an input is multiplied with.

    .. math:: Ψ_k(w) = e^{g_k \cdot w - \|w\|^2 / 2} / \sqrt m

    They do not depend on f: other functions of the same weights only need other features of x.

    Args:
      w: weights of each unit, inputs last: the transpose of a dense layer's kernel.
      directions: g, the same as for the input.

    Returns:
      Features in the dtype of ``w``, all positive.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    projected, square = _project("universal_psi", "w", w, directions)
    return (jnp.exp(projected - square / 2) / math.sqrt(directions.shape[0])).astype(w.dtype)


def relu_features(
    x: Float[Array, "*batch inputs"], directions: Float[Array, "features inputs"]
) -> Float[Array, "*batch features"]:
    r"""Take features of inputs and weights alike whose product is the arc-cosine kernel.

    .. math:: Φ_k(x) = Ψ_k(x) = \sqrt{2 / m} \, \max(g_k \cdot x, 0)

    It is the mechanism's ReLU variant: its mean is :func:`arc_cosine_kernel`, a layer of infinitely
    many random ReLU units, and not max(w·x, 0). Lengths are kept in the mean.

    Args:
      x: any leading axes, then the inputs; or weights, as for :func:`universal_psi`.
      directions: g, from :func:`random_directions`.

    Returns:
      Features in the dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> relu_features(jnp.array([1.0, 2.0]), jnp.array([[1.0, 0.0], [0.0, -1.0]])).tolist()
      [1.0, 0.0]
    """
    projected, _ = _project("relu_features", "x", x, directions)
    return (jax.nn.relu(projected) * math.sqrt(2 / directions.shape[0])).astype(x.dtype)


def _project(
    where: str, name: str, x: jax.Array, directions: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Give g·x and the square of x's length, with one more axis, both widened."""
    arrays: dict = {name: x, "directions": directions}
    require_array(where, **arrays)
    require_rank(where, name, x, 1, "(*batch, inputs)")
    ok = directions.ndim == 2 and directions.shape[1] == x.shape[-1] and directions.shape[0] > 0
    require(ok, where, "directions", directions, f"shape (features, {x.shape[-1]})")
    wide = accumulation_dtype(x.dtype)
    x = x.astype(wide)
    projected = jnp.dot(x, directions.astype(wide).T, precision=HIGHEST)
    return projected, jnp.sum(x * x, -1, keepdims=True)


def arc_cosine_kernel(
    x: Float[Array, "*batch inputs"], w: Float[Array, "*batch inputs"]
) -> Float[Array, "*batch"]:
    r"""Give the arc-cosine kernel of first order, which ReLU features estimate.

    .. math:: k(x, w) = \tfrac{1}{π} \|x\| \|w\| (\sin θ + (π - θ) \cos θ)
              = 2 \, \mathrm{E}_g[\max(g \cdot x, 0) \max(g \cdot w, 0)]

    with θ the angle between x and w.

    Args:
      x: any leading axes, then the inputs.
      w: of the same shape.

    Returns:
      One number a pair, in the dtype of ``x``; 0 where x or w is.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes differ.

    Example:
      >>> print(arc_cosine_kernel(jnp.array([2.0, 0.0]), jnp.array([2.0, 0.0])))
      4.0
    """
    where = "arc_cosine_kernel"
    require_array(where, x=x, w=w)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    require(w.shape == x.shape, where, "w", w, f"shape {x.shape}, that of `x`")
    wide = accumulation_dtype(x.dtype)
    a, b = x.astype(wide), w.astype(wide)
    squares = jnp.sum(a * a, -1), jnp.sum(b * b, -1)
    present = (squares[0] > 0) & (squares[1] > 0)
    # Roots one by one: the product of the squares may overflow.
    lengths = [jnp.sqrt(jnp.where(present, square, 1)) for square in squares]
    length = lengths[0] * lengths[1]
    cosine = jnp.clip(jnp.sum(a * b, -1) / length, -1, 1)
    return jnp.where(present, length * _turned(cosine), 0).astype(x.dtype)


@jax.custom_jvp
def _turned(cosine: jax.Array) -> jax.Array:
    """Give (sin θ + (π - θ) cos θ) / π."""
    angle = jnp.arccos(cosine)
    return (jnp.sqrt(1 - cosine * cosine) + (math.pi - angle) * cosine) / math.pi


@_turned.defjvp
def _turned_jvp(primals, tangents):
    # The slopes of sine and angle are infinite at θ = 0 and cancel.
    (cosine,), (tangent,) = primals, tangents
    return _turned(cosine), (1 - jnp.arccos(cosine) / math.pi) * tangent
