r"""The Fourier head: logits over ordered bins that are samples of one smooth density.

Source: "Fourier Head: Helping Large Language Models Learn Complex Probability Distributions"
(2024). A linear map gives N + 1 complex numbers per token, whose autocorrelation are the Fourier
coefficients of a density on [-1, 1]; that makes it non-negative whatever they are.

===========  ====================================================================
a            ``amplitudes``, N + 1 complex numbers: real parts, then imaginary
N            number of frequencies; k from 0 to N is one of them
c            coefficients, the autocorrelation of a
m            ``bins``: [-1, 1] in m equal parts, in the order of the classes
p            density; it integrates to 1
γ            ``regularization``
===========  ====================================================================

The autocorrelation is that of |A|², so the density needs no convolution: it is the squared
magnitude of a trigonometric polynomial, one product with a table of sines and cosines.

.. math::
    A(z) = \sum_{l=0}^{N} a_l e^{-i l \pi z}, \quad
    p(z) = \frac{|A(z)|^2}{2 \sum_l |a_l|^2}
         = \frac{1}{2} + \mathrm{Re} \sum_{k=1}^{N} \frac{c_k}{c_0} e^{i k \pi z}, \quad
    c_k = \sum_{l=0}^{N-k} a_l \bar a_{l+k}
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.feedforward._dense import Dense


def fourier_density(
    amplitudes: Float[Array, "*batch amplitudes"], z: Float[Array, " points"]
) -> Float[Array, "*batch points"]:
    r"""Evaluate the density p at some points.

    It is non-negative in floating point too, being a sum of two squares, and has period 2.

    Args:
      amplitudes: a, the N + 1 real parts and then the N + 1 imaginary parts. Only their ratios
        matter. All zero, the density is 0/0; it is given as the uniform 1/2.
      z: points of [-1, 1].

    Returns:
      The density, in the dtype of ``amplitudes``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: ``amplitudes`` cannot be halved, or ``z`` is not one row of points.

    Example:
      >>> fourier_density(jnp.array([1.0, 0.0]), jnp.array([-0.5, 0.5])).tolist()
      [0.5, 0.5]
    """
    where = "fourier_density"
    _check_amplitudes(where, amplitudes)
    require_array(where, z=z)
    require(z.ndim == 1, where, "z", z, "shape (points,)")
    return _density(amplitudes, z).astype(amplitudes.dtype)


def fourier_head(
    amplitudes: Float[Array, "*batch amplitudes"], bins: int, *, floor: float = 1e-5
) -> Float[Array, "*batch bins"]:
    r"""Give logits over ordered bins: the logarithm of the density at the bins' centres.

    .. math:: y_j = \log\Big(\frac{p(z_j)}{\sum_i p(z_i)} + \epsilon\Big), \quad
       z_j = \frac{2 j + 1}{m} - 1

    Their softmax is the density at the centres, normalised (all but ε). With more bins than
    frequencies the sum is m/2 whatever a: the centres then integrate p exactly.

    Args:
      amplitudes: a, the N + 1 real parts and then the N + 1 imaginary parts.
      bins: number m of equal parts of [-1, 1].
      floor: ε, which keeps the logarithm finite where the density vanishes.

    Returns:
      Logits, in the dtype of ``amplitudes``.

    Raises:
      TypeError: ``amplitudes`` is not an array of floating-point numbers.
      ValueError: it cannot be halved, ``bins`` is not a whole number above zero, or ``floor``
        is negative.

    Example:
      >>> jax.nn.softmax(fourier_head(jnp.array([1.0, 0.0]), 4)).tolist()
      [0.25, 0.25, 0.25, 0.25]
    """
    where = "fourier_head"
    _check_amplitudes(where, amplitudes)
    require_count(where, bins=bins)
    require(floor >= 0, where, "floor", floor, "a number of at least zero")
    centres = (2 * np.arange(bins) + 1) / bins - 1
    density = _density(amplitudes, jnp.asarray(centres, accumulation_dtype(amplitudes.dtype)))
    share = density / jnp.sum(density, axis=-1, keepdims=True)
    return jnp.log(share + floor).astype(amplitudes.dtype)


def fourier_coefficients(
    amplitudes: Float[Array, "*batch amplitudes"],
) -> tuple[Float[Array, "*batch frequencies"], Float[Array, "*batch frequencies"]]:
    r"""Give the coefficients c, the autocorrelation of the amplitudes.

    Args:
      amplitudes: a, the N + 1 real parts and then the N + 1 imaginary parts.

    Returns:
      Real and imaginary parts of c from frequency 0 to N, in the dtype of ``amplitudes``. The
      first imaginary part is zero, the first real part the sum of squares.

    Raises:
      TypeError: ``amplitudes`` is not an array of floating-point numbers.
      ValueError: it cannot be halved.

    Example:
      >>> fourier_coefficients(jnp.array([1.0, 2.0, 0.0, 0.0]))[0].tolist()
      [5.0, 2.0]
    """
    _check_amplitudes("fourier_coefficients", amplitudes)
    real, imaginary = _coefficients(amplitudes)
    return real.astype(amplitudes.dtype), imaginary.astype(amplitudes.dtype)


def fourier_penalty(amplitudes: Float[Array, "*batch amplitudes"]) -> Float[Array, "*batch"]:
    r"""Measure how much of each density lies in its high frequencies.

    .. math:: 4 \pi^2 \sum_{k=1}^{N} k^2 |c_k|^2

    It is the integral of the squared slope of \|A\|² over [-1, 1] (by Parseval's theorem, 2π²k²
    for each of the frequencies k and -k), so it grows with the fourth power of the amplitudes:
    the coefficients are those before normalisation, as in the authors' code.

    Args:
      amplitudes: a, the N + 1 real parts and then the N + 1 imaginary parts.

    Returns:
      One number for each density, in the dtype of ``amplitudes``.

    Raises:
      TypeError: ``amplitudes`` is not an array of floating-point numbers.
      ValueError: it cannot be halved.

    Example:
      >>> fourier_penalty(jnp.array([1.0, 0.0])).item()
      0.0
    """
    _check_amplitudes("fourier_penalty", amplitudes)
    real, imaginary = _coefficients(amplitudes)
    k = jnp.arange(real.shape[-1], dtype=real.dtype)
    return ((real**2 + imaginary**2) @ (4 * math.pi**2 * k**2)).astype(amplitudes.dtype)


def _check_amplitudes(where, amplitudes):
    require_array(where, amplitudes=amplitudes)
    require_rank(where, "amplitudes", amplitudes, 1, "(*batch, 2 * (frequencies + 1))")
    count = amplitudes.shape[-1]
    needs = "an even last axis: as many imaginary parts as real ones"
    require(count > 0 and count % 2 == 0, where, "amplitudes", amplitudes, needs)


def _density(amplitudes, z):
    """Evaluate p in float32 or wider."""
    wide = accumulation_dtype(amplitudes.dtype)
    count = amplitudes.shape[-1] // 2
    # Scaled first: only ratios matter, and squares of large numbers are infinite.
    scale = jnp.max(jnp.abs(lax.stop_gradient(amplitudes)), axis=-1, keepdims=True)
    silent = scale == 0
    a = jnp.where(silent, 1, amplitudes).astype(wide) / jnp.where(silent, 1, scale).astype(wide)
    angle = math.pi * jnp.arange(count, dtype=wide)[:, None] * z.astype(wide)[None, :]
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    # The rows of the table are (real parts, imaginary parts), the columns Re A and Im A.
    table = jnp.block([[cosine, -sine], [sine, cosine]])
    parts = jnp.dot(a, table, precision="highest")
    real, imaginary = jnp.split(parts, 2, axis=-1)
    power = real**2 + imaginary**2
    density = power / (2 * jnp.sum(a**2, axis=-1, keepdims=True))
    return jnp.where(silent, 0.5, density)


def _coefficients(amplitudes):
    """Correlate the amplitudes with themselves, in float32 or wider."""
    a = amplitudes.astype(accumulation_dtype(amplitudes.dtype))
    real, imaginary = jnp.split(a, 2, axis=-1)
    count = real.shape[-1]
    lags = np.arange(count)[:, None] + np.arange(count)[None, :]  # k, l -> l + k
    pad = [(0, 0)] * (a.ndim - 1) + [(0, count - 1)]
    later_real = jnp.pad(real, pad)[..., lags]
    later_imaginary = jnp.pad(imaginary, pad)[..., lags]

    def correlate(now, later):
        return jnp.einsum("...l,...kl->...k", now, later, precision="highest")

    return (
        correlate(real, later_real) + correlate(imaginary, later_imaginary),
        correlate(imaginary, later_real) - correlate(real, later_imaginary),
    )


class FourierHead(nn.Module):
    """A linear map to amplitudes, in the submodule ``amplitudes``, and :func:`fourier_head`.

    It stands where a linear layer to logits stands, as the ``dense`` of a head: called as
    ``FourierHead(bins, name=..., dtype=..., param_dtype=...)``.

    When ``regularization`` is above zero, γ times the mean :func:`fourier_penalty` is sown
    into ``losses`` as ``fourier_penalty``.

    Attributes:
      bins: number of classes, which are ordered.
      frequencies: N, the highest frequency; fewer are smoother.
      regularization: γ, the paper's 1e-6 or zero.
      floor: added to the probabilities before their logarithm.
      dense: factory of the linear map.
      use_bias: whether the linear map has a bias.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of the linear map's kernel. Only ratios of amplitudes matter;
        small ones, as the authors', let an optimiser with steps of fixed size turn them soon.
    """

    bins: int
    frequencies: int = 12
    regularization: float = 0.0
    floor: float = 1e-5
    dense: Callable[..., nn.Module] = Dense
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.variance_scaling(1e-4, "fan_in", "normal")

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch bins"]:
        """Map ``(*batch, inputs)`` to ``(*batch, bins)``."""
        where = "FourierHead"
        require_array(where, x=x)
        require_count(where, bins=self.bins, frequencies=self.frequencies)
        gamma = self.regularization
        require(gamma >= 0, where, "regularization", gamma, "a number of at least zero")
        amplitudes: jax.Array = self.dense(
            2 * (self.frequencies + 1),
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="amplitudes",
        )(x)
        if gamma and self.is_mutable_collection("losses"):
            penalty = fourier_penalty(amplitudes)
            wide = accumulation_dtype(penalty.dtype)
            self.sow("losses", "fourier_penalty", gamma * jnp.mean(penalty, dtype=wide))
        return fourier_head(amplitudes, self.bins, floor=self.floor)
