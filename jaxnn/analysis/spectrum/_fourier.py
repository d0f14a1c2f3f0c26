r"""Spectra of feature maps: how much of them is fine detail.

===  ==========================================================================
x    maps, ``(*batch, height, width, channels)``
F    the two-dimensional discrete Fourier transform of each map
f    frequency along an axis, from 0 to 1, where 1 alternates from place to place
===  ==========================================================================

Sources: "How Do Vision Transformers Work?" (2022), section 2, for the relative log amplitude
along the diagonal; "Spiking Neural Networks Need High Frequency Information" (2025).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype


def fourier_log_amplitude(
    x: Float[Array, "*batch size size channels"],
) -> Float[Array, " frequencies"]:
    r"""Measure amplitudes along the diagonal of the spectrum, relative to that of the mean.

    .. math:: \Delta_k = \operatorname{mean}_{\text{maps}} \log |F_{kk}|
              - \operatorname{mean}_{\text{maps}} \log |F_{00}|,
              \qquad k = 0 \dots \lfloor n / 2 \rfloor

    with n the side; index k is the frequency f = 2 k / n along both axes.

    Args:
      x: square maps; the logarithms are averaged over examples and channels.

    Returns:
      The ⌊n / 2⌋ + 1 natural logarithms Δ, the first 0; a layer that holds high frequencies back
      has lower ones at the end than the layer before it. Amplitudes count as no less than the
      rounding of the map's largest, so that constant maps give about -16 in float32, and maps of
      zeros 0. Scale is ignored. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: the maps are not square.

    Example:
      >>> fourier_log_amplitude(jnp.zeros((4, 4, 1)).at[0, 0, 0].set(3.0)).tolist()
      [0.0, 0.0, 0.0]
    """
    where = "fourier_log_amplitude"
    power = _power(where, x)
    size = x.shape[-3]
    require(size == x.shape[-2], where, "x", x, "square maps, (*batch, size, size, channels)")
    largest = jax.lax.stop_gradient(jnp.max(power, (-3, -2), keepdims=True))
    floor = jnp.finfo(power.dtype).eps ** 2 * jnp.where(largest > 0, largest, 1)
    k = np.arange(size // 2 + 1)
    diagonal = jnp.maximum(power, jnp.broadcast_to(floor, power.shape))[..., k, k, :]
    logs = jnp.mean(jnp.log(diagonal) / 2, (*range(x.ndim - 3), -1))
    return logs - logs[:1]


def high_frequency_fraction(
    x: Float[Array, "*batch height width channels"], *, cutoff: float = 0.5
) -> Float[Array, ""]:
    r"""Measure the share of the maps' variance that lies above a frequency.

    .. math:: \frac{\sum_{|f| > c} |F_f|^2}{\sum_{f \ne 0} |F_f|^2},
              \qquad |f|^2 = f_y^2 + f_x^2

    Both sums run over all maps: large ones count for more.

    Args:
      x: the maps.
      cutoff: c, at least 0; along an axis frequencies reach 1, along the diagonal √2.

    Returns:
      A share from 0 to 1; for white noise that of the frequencies above c. 0 where no map varies.
      The mean, frequency 0, is not counted. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: it has fewer than three axes, or no frequency lies above ``cutoff``.

    Example:
      >>> stripes = jnp.broadcast_to(jnp.arange(4.0)[:, None, None] % 2, (4, 4, 1))
      >>> high_frequency_fraction(stripes).item()
      1.0
    """
    where = "high_frequency_fraction"
    power = _power(where, x)
    axes = [2 * np.fft.fftfreq(length) for length in x.shape[-3:-1]]
    frequency = np.hypot(*np.meshgrid(*axes, indexing="ij"))
    high = frequency > cutoff
    needs = f"a number from 0 to below {frequency.max():.3g}, the highest frequency of `x`"
    require(cutoff >= 0 and bool(high.any()), where, "cutoff", cutoff, needs)
    total = jnp.sum(power, (*range(x.ndim - 3), -1))
    largest = jax.lax.stop_gradient(jnp.max(power))
    varying = jnp.sum(jnp.where(frequency > 0, total, 0))
    # What is left of a constant by rounding is no variance.
    varies = varying > jnp.finfo(power.dtype).eps * largest * 1e-3
    above = jnp.sum(jnp.where(high, total, 0))
    return jnp.where(varies, above / jnp.where(varies, varying, 1), 0)


def _power(where: str, x: jax.Array) -> jax.Array:
    """Give the squared amplitudes of each map's transform, in float32 or wider."""
    require_array(where, x=x)
    require_rank(where, "x", x, 3, "(*batch, height, width, channels)")
    require(x.size > 0, where, "x", x, "at least one place, example and channel")
    x = x.astype(accumulation_dtype(x.dtype))
    transformed = jnp.fft.fft2(x, axes=(-3, -2))
    return transformed.real**2 + transformed.imag**2
