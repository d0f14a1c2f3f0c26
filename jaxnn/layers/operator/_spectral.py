r"""The Fourier layer: a convolution over the whole domain, of which only low modes are learned.

.. math::
    \hat y_o(k) = \sum_i W_{k i o}\, \hat x_i(k) \quad \text{for} \quad |k_a| < m_a,
    \qquad 0 \quad \text{for all other } k

with x̂ the Fourier coefficients, divided by the number of places: they do not depend on how
finely x is sampled, as long as the modes are there, and neither does y.

===========  =====================================================================
x, y         ``(*batch, *space, inputs)`` and ``(*batch, *space, outputs)``
m            ``modes``; along the last axis of space k is from 0 to m - 1, as x is real
W            ``real`` + i ``imaginary``, ``(*kept, inputs, outputs)``: kept is 2 m - 1 for
             each axis of space but the last, from k = -(m - 1) to m - 1, and m for the last
===========  =====================================================================

Source: "Fourier Neural Operator for Parametric Partial Differential Equations" (2021). Differs
from the authors' code, which keeps k = -m too: these kernels are symmetric in their frequencies.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype


def spectral_convolution(
    x: Float[Array, "... inputs"],
    real: Float[Array, "*kept inputs outputs"],
    imaginary: Float[Array, "*kept inputs outputs"],
) -> Float[Array, "... outputs"]:
    r"""Multiply the low Fourier modes of a function by matrices over its channels.

    Args:
      x: ``(*batch, *space, inputs)``, with as many axes of space as the kernels.
      real: real part of W, ``(2 m_1 - 1, ..., m_d, inputs, outputs)``.
      imaginary: imaginary part of W; that of mode 0 of a real function has no effect.

    Returns:
      ``(*batch, *space, outputs)`` in the dtype of ``x``; computed in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, or the grid does not hold the modes: m <= (places + 1) // 2.

    Example:
      >>> x = jnp.sin(2 * jnp.pi * jnp.arange(8) / 8)[:, None]
      >>> real, imaginary = jnp.zeros((2, 1, 1)), jnp.array([0.0, 1.0])[:, None, None]
      >>> y = spectral_convolution(x, real, imaginary)  # i times mode 1: a quarter turn
      >>> (jnp.abs(y[:, 0] - jnp.cos(2 * jnp.pi * jnp.arange(8) / 8)) < 1e-6).all().item()
      True
    """
    where = "spectral_convolution"
    require_array(where, x=x, real=real, imaginary=imaginary)
    ok = real.shape == imaginary.shape
    require(ok, where, "imaginary", imaginary, f"shape {real.shape}, as `real` has")
    axes = real.ndim - 2
    ok = axes >= 1 and all(size % 2 for size in real.shape[: axes - 1])
    require(ok, where, "real", real, "shape (*kept, inputs, outputs), kept odd but for the last")
    ok = x.ndim > axes and x.shape[-1] == real.shape[-2]
    require(ok, where, "x", x, f"shape (*batch, {axes} axes of space, {real.shape[-2]})")
    space = x.shape[-1 - axes : -1]
    modes = [(size + 1) // 2 for size in real.shape[: axes - 1]] + [real.shape[axes - 1]]
    for places, m in zip(space, modes, strict=True):
        needs = f"at least {2 * m - 1} places on an axis of {m} modes"
        require(places >= 2 * m - 1, where, "x", x, needs)
    wide = accumulation_dtype(x.dtype)
    over = tuple(range(x.ndim - 1 - axes, x.ndim - 1))
    spectrum = jnp.fft.rfftn(x.astype(wide), axes=over)
    kept = _keep(spectrum, modes, over)
    kernel = jax.lax.complex(real.astype(wide), imaginary.astype(wide))
    letters = "abc"[:axes] if axes <= 3 else "abcdefgh"[:axes]
    product = jnp.einsum(
        f"...{letters}i,{letters}io->...{letters}o", kept, kernel, precision="highest"
    )
    full = _spread(product, space, modes, over)
    return jnp.fft.irfftn(full, s=space, axes=over).astype(x.dtype)


def _keep(spectrum: jax.Array, modes: Sequence[int], over: Sequence[int]) -> jax.Array:
    """Cut out the low modes: from -(m - 1) to m - 1, from 0 along the last axis."""
    for axis, m in zip(over[:-1], modes[:-1], strict=True):
        shifted = jnp.roll(spectrum, m - 1, axis)
        spectrum = jax.lax.slice_in_dim(shifted, 0, 2 * m - 1, axis=axis)
    return jax.lax.slice_in_dim(spectrum, 0, modes[-1], axis=over[-1])


def _spread(
    kept: jax.Array, space: Sequence[int], modes: Sequence[int], over: Sequence[int]
) -> jax.Array:
    """Put the low modes back among zeros."""
    widths = [(0, 0)] * kept.ndim
    for axis, places in zip(over[:-1], space[:-1], strict=True):
        widths[axis] = (0, places - kept.shape[axis])
    widths[over[-1]] = (0, space[-1] // 2 + 1 - kept.shape[over[-1]])
    full = jnp.pad(kept, widths)
    for axis, m in zip(over[:-1], modes[:-1], strict=True):
        full = jnp.roll(full, 1 - m, axis)
    return full


class SpectralConv(nn.Module):
    """The linear part of a Fourier layer with its parameters; see :func:`spectral_convolution`.

    Parameters are ``real`` and ``imaginary``. The domain is taken for periodic; a model pads
    its functions if they are not.

    Attributes:
      features: output channels.
      modes: m for each axis of space, e.g. ``(12, 12)`` in two dimensions.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of both parts; normal with variance 1 / (2 inputs) if ``None``,
        so that a kept mode keeps its size. (The authors' is uniform, of size 1 over inputs
        times outputs.)
    """

    features: int
    modes: Sequence[int]
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "... inputs"]) -> Float[Array, "... features"]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *space, features)``."""
        where = "SpectralConv"
        require_count(where, features=self.features)
        modes = tuple(self.modes)
        require(len(modes) > 0, where, "modes", modes, "a number for each axis of space")
        for m in modes:
            require_count(where, modes=m)
        require_array(where, x=x)
        needs = f"shape (*batch, {len(modes)} axes of space, inputs)"
        require(x.ndim > len(modes), where, "x", x, needs)
        shape = (*(2 * m - 1 for m in modes[:-1]), modes[-1], x.shape[-1], self.features)
        init = self.kernel_init or nn.initializers.normal(1 / math.sqrt(2 * x.shape[-1]))
        parts = (self.param(n, init, shape, self.param_dtype) for n in ("real", "imaginary"))
        x, real, imaginary = promote_dtype(x, *parts, dtype=self.dtype)
        return spectral_convolution(x, real, imaginary)
