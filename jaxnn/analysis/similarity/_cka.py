r"""Centred kernel alignment: do two representations call the same examples alike?

.. math:: \mathrm{CKA}(K, L) = \frac{\mathrm{HSIC}(K, L)}
   {\sqrt{\mathrm{HSIC}(K, K) \, \mathrm{HSIC}(L, L)}}

HSIC is the Hilbert-Schmidt independence criterion. Its plain estimate is positive even for
unrelated representations, the more so the fewer the examples; the debiased one is zero in the
mean, and may be added up over batches.

=======  ====================================================
x, y     activations of the same examples, ``(examples, units)``
n        examples
K, L     Gram matrices, ``(n, n)``; x xᵀ and y yᵀ in linear CKA
H        centring, 1 - 1 1ᵀ / n
K̃, L̃     the same with a diagonal of zeros
=======  ====================================================

Sources: "Similarity of Neural Network Representations Revisited" (2019), equations 3 and 5;
"Feature Selection via Dependence Maximization" (2012), theorem 4, for the debiased estimate;
"Do Wide and Deep Networks Learn the Same Things? Uncovering How Neural Network Representations
Vary with Width and Depth" (2021), equations 2 to 4, for batches.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import ratio, root
from jaxnn.analysis.similarity._pairs import (
    centred,
    check_examples,
    check_pair,
    compiled,
    matmul,
    scaled,
    widen,
)


def linear_cka(
    x: Float[Array, "examples units"],
    y: Float[Array, "examples others"],
    *,
    debiased: bool = False,
) -> Float[Array, ""]:
    r"""Measure how alike two representations place the same examples.

    .. math:: \frac{\|Y^\top X\|_F^2}{\|X^\top X\|_F \, \|Y^\top Y\|_F}
       \quad \text{for centred X and Y}

    No Gram matrix is made where the examples outnumber the units.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order; any number of units.
      debiased: estimate HSIC without bias; needs four examples or more.

    Returns:
      1 for representations that differ by an orthogonal map, a shift and a scale; between 0
      and 1 otherwise, and about 0, of either sign, for unrelated ones if ``debiased``. 0 if one
      never changes.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different or too few examples.

    Example:
      >>> x = jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
      >>> print(linear_cka(x, x[:, ::-1] * 3 + 1), linear_cka(x, x[:, :1]).round(4))
      1.0 0.7071
    """
    check_pair("linear_cka", x, y, least=4 if debiased else 2)
    return _aligned(x, y, debiased=debiased)


@partial(compiled, static_argnames="debiased")
def _aligned(x: jax.Array, y: jax.Array, *, debiased: bool) -> jax.Array:
    x, y = centred(x), centred(y)
    both = _linear_hsic(x, y, debiased)
    return ratio(both, root(_linear_hsic(x, x, debiased)) * root(_linear_hsic(y, y, debiased)))


def kernel_cka(
    first: Float[Array, "examples examples"],
    second: Float[Array, "examples examples"],
    *,
    debiased: bool = False,
) -> Float[Array, ""]:
    """Measure how alike two Gram matrices of the same examples are, once centred.

    Args:
      first: K, e.g. :func:`rbf_kernel` of one layer, or a target ``y @ y.T``.
      second: L.
      debiased: estimate HSIC without bias; needs four examples or more.

    Returns:
      HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)), 0 if one matrix is constant; that of linear
      kernels is :func:`linear_cka`.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: matrices that are not square, of different sizes or too small.

    Example:
      >>> x = jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
      >>> print(kernel_cka(x @ x.T, x[:, :1] @ x[:, :1].T).round(4))
      0.7071
    """
    _check_gram("kernel_cka", first, second, 4 if debiased else 2)
    return _aligned_grams(first, second, debiased=debiased)


@partial(compiled, static_argnames="debiased")
def _aligned_grams(first: jax.Array, second: jax.Array, *, debiased: bool) -> jax.Array:
    k, l = (_changing(_centre(scaled(widen(gram)), debiased)) for gram in (first, second))  # noqa: E741
    return ratio(jnp.sum(k * l), root(jnp.sum(k * k)) * root(jnp.sum(l * l)))


def hsic(
    first: Float[Array, "examples examples"],
    second: Float[Array, "examples examples"],
    *,
    debiased: bool = False,
) -> Float[Array, ""]:
    r"""Estimate the Hilbert-Schmidt independence criterion from two Gram matrices.

    .. math:: \frac{\operatorname{tr} K H L H}{(n - 1)^2} \quad \text{or, debiased,} \quad
       \frac{1}{n (n - 3)} \Big(\operatorname{tr} \tilde K \tilde L
       + \frac{1^\top \tilde K 1 \; 1^\top \tilde L 1}{(n - 1)(n - 2)}
       - \frac{2}{n - 2} 1^\top \tilde K \tilde L 1 \Big)

    Args:
      first: K, symmetric.
      second: L, symmetric, of the same examples.
      debiased: the second form, whose expectation is 0 for independent data; needs four
        examples or more.

    Returns:
      The estimate, 0 or above unless ``debiased``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: matrices that are not square, of different sizes or too small.

    Example:
      >>> x = jnp.array([[1.0], [-1], [1], [-1]])
      >>> jnp.allclose(hsic(x @ x.T, x @ x.T), 16 / 9).item()
      True
    """
    _check_gram("hsic", first, second, 4 if debiased else 2)
    return _criterion(first, second, debiased=debiased)


@partial(compiled, static_argnames="debiased")
def _criterion(first: jax.Array, second: jax.Array, *, debiased: bool) -> jax.Array:
    n = first.shape[0]
    k, l = (_centre(widen(gram), debiased) for gram in (first, second))  # noqa: E741
    return jnp.sum(k * l) / (n * (n - 3) if debiased else (n - 1) ** 2)


def rbf_kernel(
    x: Float[Array, "examples units"], *, bandwidth: float = 1.0
) -> Float[Array, "examples examples"]:
    r"""Make a Gram matrix that sees near neighbours only, for :func:`kernel_cka`.

    .. math:: K_{ij} = \exp(-\|x_i - x_j\|^2 / (2 \sigma^2))

    Args:
      x: activations.
      bandwidth: σ as a fraction of the median distance between two examples. Above 2 or so
        the kernel tends to the linear one.

    Returns:
      K, 1 on its diagonal; all ones if all examples are equal.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``x`` is not ``(examples, units)``, or ``bandwidth`` not above zero.

    Gradient: flows to ``x``; the median is a constant.

    Example:
      >>> gram = rbf_kernel(jnp.array([[0.0], [2.0]]))
      >>> jnp.allclose(gram[0, 1], jnp.exp(-1 / 2)).item()
      True
    """
    where = "rbf_kernel"
    check_examples(where, "x", x)
    require_positive(where, bandwidth=bandwidth)
    return _rbf(x, bandwidth=bandwidth)


@partial(compiled, static_argnames="bandwidth")
def _rbf(x: jax.Array, *, bandwidth: float) -> jax.Array:
    square = squared_distances(centred(x))
    n = x.shape[0]
    apart = jax.lax.stop_gradient(square)[jnp.triu_indices(n, 1)]
    return jnp.exp(-ratio(square, 2 * (bandwidth * jnp.median(root(apart))) ** 2))


class CKAState(NamedTuple):
    """Sums over batches of debiased estimates.

    Attributes:
      both: HSIC of the two representations.
      first: HSIC of the first with itself.
      second: HSIC of the second with itself.
    """

    both: Float[Array, ""]
    first: Float[Array, ""]
    second: Float[Array, ""]


def cka_init() -> CKAState:
    """Start a linear CKA over batches, for :func:`cka_update`.

    Example:
      >>> cka_value(cka_init()).item()  # nothing seen
      0.0
    """
    return CKAState(*(jnp.zeros((), jnp.float32) for _ in range(3)))


def cka_update(
    state: CKAState, x: Float[Array, "examples units"], y: Float[Array, "examples others"]
) -> CKAState:
    """Add one batch to a linear CKA.

    The debiased HSIC of a batch is right in the mean for any batch, so the sums become those
    of all data, in memory of one batch. The state is small enough to be carried by a scan over
    batches, or to have one for each pair of layers under ``vmap``.

    Args:
      state: sums so far.
      x: activations of the batch's examples, four or more; batches should be of one size.
      y: those of the other representation.

    Returns:
      The sums with this batch.

    Raises:
      TypeError: an array is not of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different or too few examples.

    Example:
      >>> x = jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
      >>> cka_value(cka_update(cka_init(), x, -2 * x)).round(4).item()
      1.0
    """
    check_pair("cka_update", x, y, least=4)
    x, y = (_less_mean(widen(array)) for array in (x, y))
    n = x.shape[0]
    pairs = ((x, y), (x, x), (y, y))
    new = (_linear_hsic(a, b, True) / (n * (n - 3)) for a, b in pairs)
    return CKAState(*(old + one.astype(old.dtype) for old, one in zip(state, new, strict=True)))


def cka_value(state: CKAState) -> Float[Array, ""]:
    """Give the linear CKA of all batches that :func:`cka_update` has seen.

    Args:
      state: the sums; states of several devices may be added before.

    Returns:
      The debiased CKA, 0 if nothing was seen or one representation never changed.

    Example:
      >>> cka_value(CKAState(jnp.array(1.0), jnp.array(4.0), jnp.array(1.0))).item()
      0.5
    """
    return ratio(state.both, root(state.first) * root(state.second))


def squared_distances(x: jax.Array) -> jax.Array:
    """Give the squared distances of all pairs, exactly zero on the diagonal."""
    lengths = jnp.sum(x * x, 1)
    square = lengths[:, None] + lengths[None, :] - 2 * matmul(x, x.T)
    return jnp.where(jnp.eye(x.shape[0], dtype=bool), 0, jnp.maximum(square, 0))


def _less_mean(x: jax.Array) -> jax.Array:
    return x - jnp.mean(x, 0, keepdims=True)


def _linear_hsic(x: jax.Array, y: jax.Array, debiased: bool) -> jax.Array:
    """Give HSIC of linear kernels of centred arrays, without its leading factor."""
    n, units, others = x.shape[0], x.shape[1], y.shape[1]
    if units * others <= n * (units + others) // 2:
        total = jnp.sum(matmul(x.T, y) ** 2)
    else:
        total = jnp.sum(matmul(x, x.T) * matmul(y, y.T))
    if not debiased:
        return total
    # K 1 = 0 for centred kernels, so that K̃ 1 = -diag K, and all three terms are sums over it.
    k, l = jnp.sum(x * x, 1), jnp.sum(y * y, 1)  # noqa: E741
    return total - n / (n - 2) * jnp.sum(k * l) + jnp.sum(k) * jnp.sum(l) / ((n - 1) * (n - 2))


def _centre(gram: jax.Array, debiased: bool) -> jax.Array:
    """Centre a Gram matrix; the product with another, summed, is HSIC without its factor."""
    n = gram.shape[0]
    if not debiased:
        mean = jnp.mean(gram, 0)
        return gram - mean[:, None] - mean[None, :] + jnp.mean(mean)
    # "U-centring": the sum of the products is the debiased form, term by term.
    apart = 1 - jnp.eye(n, dtype=gram.dtype)
    gram = gram * apart
    sums = jnp.sum(gram, 0)
    total = jnp.sum(sums) / ((n - 1) * (n - 2))
    return (gram - (sums[:, None] + sums[None, :]) / (n - 2) + total) * apart


def _changing(gram: jax.Array) -> jax.Array:
    """Make zero what is left of a constant matrix, whose largest entry was 1: rounding."""
    return jnp.where(jnp.max(jnp.abs(gram)) > 8 * jnp.finfo(gram.dtype).eps, gram, 0)


def _check_gram(where: str, first: jax.Array, second: jax.Array, least: int) -> None:
    require_array(where, first=first, second=second)
    shape = first.shape
    square = len(shape) == 2 and shape[0] == shape[1] and shape[0] >= least
    require(square, where, "first", first, f"a square matrix of at least {least} examples")
    require(second.shape == shape, where, "second", second, f"the shape {shape} of `first`")
