r"""Networks whose units are squared, written out as polynomials.

.. math:: h_0 = x, \qquad h_l = (W_l^\top h_{l-1} + b_l)^2, \qquad y = W_{L+1}^\top h_L + b_{L+1}

Every hidden layer doubles the degree: y is a polynomial of degree 2^L in x, with no remainder.
A layer's sums are sums of coefficients; its squares multiply the coefficients of all pairs of
monomials and add them up where the products are the same monomial.

===========  ======================================================
x            input, ``(*batch, inputs)``
W            ``kernels``, ``(inputs, units)`` of each layer
b            ``biases``, ``(units,)`` of each layer
L            hidden layers, one fewer than kernels
===========  ======================================================

Source: "Polynomial Regression As an Alternative to Neural Nets" (2018).
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.polynomial._features import polynomial_exponents


def expand_network(
    kernels: Sequence[jax.Array], biases: Sequence[jax.Array]
) -> dict[str, jax.Array]:
    r"""Write a network with squared hidden units as the polynomial that it is.

    .. math:: W_{L+1}^\top \bigl(\cdots (W_1^\top x + b_1)^2 \cdots\bigr)^2 + b_{L+1}
              = \sum_e c_e \, φ_e(x)

    Args:
      kernels: W of each layer, ``(inputs, units)``; the last one's outputs are not squared.
      biases: b of each layer, ``(units,)``.

    Returns:
      The parameters ``kernel``, ``(monomials, outputs)``, and ``bias`` of
      :class:`PolynomialRegression` of degree 2^L. Their number grows with the inputs to the power
      of the degree: this is for few inputs and layers.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: there is no layer, or sizes disagree.

    Example:
      >>> one, zero = jnp.ones((1, 1)), jnp.zeros(1)  # ((x + 1)²)² = 1 + 4 x + 6 x² + 4 x³ + x⁴
      >>> y = expand_network([one, one, one], [zero + 1, zero, zero])
      >>> y["bias"].tolist(), y["kernel"][:, 0].tolist()
      ([1.0], [4.0, 6.0, 4.0, 1.0])
    """
    where = "expand_network"
    require(len(kernels) > 0, where, "kernels", kernels, "at least one layer")
    require(len(biases) == len(kernels), where, "biases", biases, f"one for {len(kernels)} layers")
    units = None
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        arrays: dict[str, Any] = {f"kernels[{i}]": kernel, f"biases[{i}]": bias}
        require_array(where, **arrays)
        ok = kernel.ndim == 2 and kernel.shape[0] > 0 and units in (None, kernel.shape[0])
        rows = "inputs" if units is None else units
        require(ok, where, f"kernels[{i}]", kernel, f"shape ({rows}, units)")
        units = kernel.shape[1]
        require(bias.shape == (units,), where, f"biases[{i}]", bias, f"shape ({units},)")

    table = _expand(tuple(kernels), tuple(biases))
    return {"kernel": table[1:], "bias": table[0]}


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
@functools.partial(jax.jit, inline=True)
def _expand(kernels: tuple[jax.Array, ...], biases: tuple[jax.Array, ...]) -> jax.Array:
    """Give the coefficients, one row a monomial."""
    inputs = kernels[0].shape[0]
    wide = accumulation_dtype(kernels[0].dtype)
    # Rows are monomials: before any layer, h is x and has those of degree 1.
    table = jnp.eye(inputs + 1, inputs, -1, wide)
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        if layer:
            table = _square(table, inputs, 2 ** (layer - 1))
        table = jnp.dot(table, kernel.astype(wide), precision=jax.lax.Precision.HIGHEST)
        table = table.at[0].add(bias.astype(wide))
    return table.astype(kernels[-1].dtype)


def _square(table: jax.Array, inputs: int, degree: int) -> jax.Array:
    """Square polynomials whose coefficients are columns, of ``degree`` before."""
    count, units = table.shape
    pairs = (table[:, None] * table[None]).reshape(count * count, units)
    places, products = _products(inputs, degree)
    return jax.ops.segment_sum(pairs, places, num_segments=products)


@functools.cache
def _products(inputs: int, degree: int) -> tuple[np.ndarray, int]:
    """Say which monomial the product of each pair is, and how many products there are."""
    below = polynomial_exponents(inputs, degree=degree)
    above = polynomial_exponents(inputs, degree=2 * degree)
    place = {tuple(row): i for i, row in enumerate(above.tolist())}
    sums = (below[:, None] + below[None]).reshape(-1, inputs)
    return np.array([place[tuple(row)] for row in sums.tolist()], np.int32), len(above)
