r"""The Kolmogorov-Arnold convolution: a learned function on every tap of the kernel.

.. math::
    y_{p,j} = \sum_{\delta, i} \Bigl( w_{\delta ij}\,\beta(x_{p+\delta,i})
              + \sum_b c_{\delta bij} B_b(x_{p+\delta,i}) \Bigr)

The functions are evaluated once at each place, not once for each tap, and the sums over taps,
functions and channels are one ordinary convolution.

Source: "Convolutional Kolmogorov-Arnold Networks" (2024), equation 4.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require_count
from jaxnn.layers._convolution import Padding, convolve, require_convolution
from jaxnn.layers.kan._families import BasisName
from jaxnn.layers.kan._layer import Basis, edge_inits, named_or_own


def convolve_functions(
    where: str,
    x: jax.Array,
    coefficients: jax.Array,
    base_kernel: jax.Array,
    *,
    basis: Basis,
    base: Callable[[jax.Array], jax.Array],
    strides: int | Sequence[int],
    padding: Padding,
) -> jax.Array:
    """Sum the functions of all taps, as one convolution of the functions' values."""
    *kernel, functions, inputs, features = coefficients.shape
    weights = jnp.concatenate([coefficients, base_kernel[..., None, :, :]], axis=len(kernel))

    def expand(rows: jax.Array) -> jax.Array:
        values = jnp.concatenate([basis(rows), base(rows)[:, None]], axis=1)
        return values.reshape(rows.shape[0], (functions + 1) * inputs)

    weights = weights.reshape(*kernel, (functions + 1) * inputs, features)
    options = {"strides": strides, "padding": padding}
    return convolve(where, x, expand, weights, **options).astype(x.dtype)


class KANConv(nn.Module):
    """A convolution over one to three axes whose taps are learned functions.

    Beyond the edges there is nothing: padding adds no function's value at 0. The parameters are
    ``coefficients``, of shape ``(*kernel_size, functions, inputs, features)``, and
    ``base_kernel``, ``(*kernel_size, inputs, features)``.

    Attributes:
      features: output channels.
      kernel_size: taps along each axis, e.g. ``(3, 3)``; ``(1, 1)`` is a :class:`KANLayer` at
        every place.
      strides: step along each axis, or one for all.
      padding: ``"SAME"``, ``"VALID"``, or pairs of numbers of places.
      grid: as in :class:`KANLayer`, and so are the following.
      degree: k.
      grid_range: where the uniform grid begins and ends.
      basis: a name for :func:`make_basis`, or a function.
      spline_share: part of the output's variance that the basis has at the start.
      base: the fixed function.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      coefficients_init: initialiser of ``coefficients``; variance-keeping if ``None``.
      base_kernel_init: initialiser of ``base_kernel``; variance-keeping if ``None``.
    """

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    grid: int = 5
    degree: int = 3
    grid_range: tuple[float, float] = (-1.0, 1.0)
    basis: BasisName | Basis = "bspline"
    spline_share: float = 0.5
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    coefficients_init: Initializer | None = None
    base_kernel_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *smaller space, features)``."""
        where = "KANConv"
        kernel = require_convolution(where, x, self.kernel_size)
        require_count(where, features=self.features)
        basis = named_or_own(self.basis, self.grid, self.degree, self.grid_range)
        inputs = x.shape[-1]
        row = jax.ShapeDtypeStruct((1, inputs), x.dtype)
        functions = jax.eval_shape(basis, row).shape[-2]
        coefficients_init, base_kernel_init = edge_inits(
            basis,
            self.base,
            fan_in=inputs * math.prod(kernel),
            grid_range=self.grid_range,
            spline_share=self.spline_share,
        )
        coefficients = self.param(
            "coefficients",
            self.coefficients_init or coefficients_init,
            (*kernel, functions, inputs, self.features),
            self.param_dtype,
        )
        base_kernel = self.param(
            "base_kernel",
            self.base_kernel_init or base_kernel_init,
            (*kernel, inputs, self.features),
            self.param_dtype,
        )
        x, coefficients, base_kernel = promote_dtype(x, coefficients, base_kernel, dtype=self.dtype)
        return convolve_functions(
            where,
            x,
            coefficients,
            base_kernel,
            basis=basis,
            base=self.base,
            strides=self.strides,
            padding=self.padding,
        )
