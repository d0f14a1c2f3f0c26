r"""All monomials of the inputs up to a degree.

.. math:: φ_e(x) = \prod_i x_i^{e_i}, \qquad \sum_i e_i \le d

d inputs of degree k have (d + k)! / (d! k!) monomials. Those of one degree follow from those of
the degree below: the product of inputs i ≤ j ≤ ... is x_i times the product of j ≤ ..., so that a
monomial costs one multiplication, whatever its degree.

===========  =============================================================
x            input, ``(*batch, inputs)``
e            exponents of a monomial, a row of :func:`polynomial_exponents`
===========  =============================================================

Source: "Polynomial Regression As an Alternative to Neural Nets" (2018). Columns are in the order
of scikit-learn's ``PolynomialFeatures``: by degree, then by the inputs' numbers.
"""

import functools
import itertools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype


def polynomial_features(
    x: Float[Array, "*batch inputs"],
    *,
    degree: int,
    interaction_only: bool = False,
    include_bias: bool = True,
) -> Float[Array, "*batch monomials"]:
    r"""Multiply the inputs with each other, in all ways up to a degree.

    .. math:: φ_e(x) = \prod_i x_i^{e_i}, \qquad \sum_i e_i \le d

    Args:
      x: any leading axes, then features.
      degree: d, the most factors of a product.
      interaction_only: leave out products with an input twice in them.
      include_bias: begin with the empty product, 1.

    Returns:
      One column for each row of :func:`polynomial_exponents`, in the dtype of ``x``; products
      are taken in float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``x`` has no features, or ``degree`` is not a whole number above zero.

    Example:
      >>> polynomial_features(jnp.array([2.0, 3.0]), degree=2).tolist()
      [1.0, 2.0, 3.0, 4.0, 6.0, 9.0]
    """
    where = "polynomial_features"
    require_array(where, x=x)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    require_count(where, degree=degree)
    inputs = x.shape[-1]
    require(inputs > 0, where, "x", x, "at least one feature")
    wide = x.astype(accumulation_dtype(x.dtype))
    blocks = [jnp.ones((*x.shape[:-1], 1), wide.dtype)] if include_bias else []
    block = wide
    blocks.append(block)
    for first, rest in _factors(inputs, degree, interaction_only):
        block = wide[..., first] * block[..., rest]
        blocks.append(block)
    return jnp.concatenate(blocks, axis=-1).astype(x.dtype)


def polynomial_exponents(
    inputs: int, *, degree: int, interaction_only: bool = False, include_bias: bool = True
) -> np.ndarray:
    """Give the exponents of all monomials, in the order of :func:`polynomial_features`.

    Args:
      inputs: how many numbers are multiplied with each other.
      degree: the most factors of a product.
      interaction_only: leave out products with an input twice in them.
      include_bias: begin with the empty product.

    Returns:
      A NumPy array of integers, ``(monomials, inputs)``.

    Raises:
      ValueError: a number is not whole or not above zero.

    Example:
      >>> polynomial_exponents(2, degree=2, include_bias=False).tolist()
      [[1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    """
    require_count("polynomial_exponents", inputs=inputs, degree=degree)
    one = np.eye(inputs, dtype=np.int32)
    blocks = [np.zeros((1, inputs), np.int32)] if include_bias else []
    blocks.append(one)
    block = one
    for first, rest in _factors(inputs, degree, interaction_only):
        block = one[first] + block[rest]
        blocks.append(block)
    return np.concatenate(blocks)


def count_monomials(inputs: int, degree: int, interaction_only: bool = False) -> int:
    """Count all monomials but the empty one."""
    if interaction_only:
        return sum(math.comb(inputs, k) for k in range(1, degree + 1))
    return math.comb(inputs + degree, degree) - 1


@functools.cache
def _factors(
    inputs: int, degree: int, interaction_only: bool
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Give, for each degree from 2, the input and the monomial below whose product each is."""
    combine = (
        itertools.combinations if interaction_only else itertools.combinations_with_replacement
    )
    place: dict[tuple[int, ...], int] = {(i,): i for i in range(inputs)}
    tables = []
    for k in range(2, degree + 1):
        tuples = list(combine(range(inputs), k))
        first = np.array([t[0] for t in tuples], np.int32)
        rest = np.array([place[t[1:]] for t in tuples], np.int32)
        tables.append((first, rest))
        place = {t: i for i, t in enumerate(tuples)}
    return tuple(tables)
