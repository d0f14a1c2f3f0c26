r"""Canonical correlations: how much of one representation is a linear map of another.

.. math:: \rho_i = \max_{a, b} \operatorname{corr}(x a, y b),
   \quad x a \text{ and } y b \text{ uncorrelated with those before}

They are the singular values of Uᵀ V, with U and V orthonormal bases of the columns.

=======  ====================================================
x, y     activations of the same examples, ``(examples, units)``, centred
U, V     left singular vectors of x and y, ``(examples, rank)``
ρ        correlations, the largest first
h_i      canonical variate x a_i, of length 1
α_i      weight of the i-th correlation
=======  ====================================================

Sources: "Relations Between Two Sets of Variates" (1936); "SVCCA: Singular Vector Canonical
Correlation Analysis for Deep Learning Dynamics and Interpretability" (2017); "Insights on
representational similarity in neural networks with canonical correlation" (2018), equations
3 and 4.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require
from jaxnn._numeric import ratio, root
from jaxnn.analysis.similarity._pairs import centred, check_pair, compiled, matmul, standardised


def cca(
    x: Float[Array, "examples units"], y: Float[Array, "examples others"]
) -> Float[Array, " correlations"]:
    r"""Find the canonical correlations of two representations.

    Args:
      x: activations of one network or layer; several times more examples than units, or noise
        correlates perfectly: unrelated Gaussians reach about √((units + others) / examples).
      y: those of another, of the same examples in the same order.

    Returns:
      min(units, others) numbers from 1 (a subspace of both) down to 0, which also fill up
      where units are weighted sums of others. They do not change under invertible linear maps
      and shifts of either argument.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, or different examples.

    Gradient: exact where the correlations differ from one another. The directions are held,
    for at the best ones the correlation does not change with them.

    Example:
      >>> x = jnp.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
      >>> y = jnp.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], 1)
      >>> jnp.allclose(cca(x, y), 1).item()
      True
    """
    check_pair("cca", x, y)
    return _cca(x, y)


@compiled
def _cca(x: jax.Array, y: jax.Array) -> jax.Array:
    x, y = standardised(x), standardised(y)
    u, to_x = _basis(jax.lax.stop_gradient(x))
    v, to_y = _basis(jax.lax.stop_gradient(y))
    left, rho, right = jnp.linalg.svd(matmul(u.T, v), full_matrices=False)
    one = standardised(matmul(x, matmul(to_x, left)))
    other = standardised(matmul(y, matmul(to_y, right.T)))
    change = jnp.sum(one * other, 0)
    # The value is the singular value, the gradient that of the correlation.
    return jnp.clip(rho, 0, 1) + change - jax.lax.stop_gradient(change)


def svcca(
    x: Float[Array, "examples units"],
    y: Float[Array, "examples others"],
    *,
    variance: float = 0.99,
) -> Float[Array, ""]:
    """Take the mean canonical correlation of the main components of two representations.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order.
      variance: share of the variance that the components kept must hold; as few as do are.

    Returns:
      The mean of as many correlations as components of the smaller one are kept, from 0 to 1.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different examples, or a share not
        above 0 and up to 1.

    Gradient: none; which components are kept changes in jumps.

    Example:
      >>> x = jnp.array([[9.0, 1], [9, -1], [-9, 1], [-9, -1]])
      >>> print(svcca(x, x[:, 1:], variance=0.9).round(4), svcca(x, x[:, 1:], variance=1.0))
      0.0 1.0
    """
    where = "svcca"
    check_pair(where, x, y)
    ok = isinstance(variance, int | float) and 0 < variance <= 1
    require(ok, where, "variance", variance, "a number above 0 and up to 1")
    return _svcca(x, y, variance=variance)


@partial(compiled, static_argnames="variance")
def _svcca(x: jax.Array, y: jax.Array, *, variance: float) -> jax.Array:
    x, y = (centred(jax.lax.stop_gradient(array)) for array in (x, y))
    (u, more), (v, less) = _main(x, variance), _main(y, variance)
    rho = jnp.linalg.svd(matmul(u.T, v), compute_uv=False)
    return jnp.sum(jnp.clip(rho, 0, 1)) / jnp.maximum(jnp.minimum(more, less), 1)


def pwcca(
    x: Float[Array, "examples units"], y: Float[Array, "examples others"]
) -> Float[Array, ""]:
    r"""Weigh each canonical correlation by what it accounts for in the first representation.

    .. math:: \sum_i \alpha_i \rho_i / \sum_i \alpha_i,
       \quad \alpha_i = \sum_j |\langle h_i, x_j \rangle|

    Args:
      x: activations whose variance decides; the measure is not symmetric.
      y: those of another representation, of the same examples in the same order.

    Returns:
      The weighted mean, from 0 to 1; 0 if ``x`` never changes. Where ``y`` has fewer units,
      the directions of ``x`` without a partner have no weight.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, or different examples.

    Gradient: none; the directions have none where correlations meet.

    Example:
      >>> x = jnp.array([[3.0, 1], [3, -1], [-3, 1], [-3, -1]])
      >>> y = jnp.stack([x[:, 0], x[:, 0] * x[:, 1]], 1)
      >>> print(pwcca(x, y).round(4))  # 1 for the first, of weight 3 / 4, and 0 for the other
      0.75
    """
    check_pair("pwcca", x, y)
    return _pwcca(x, y)


@compiled
def _pwcca(x: jax.Array, y: jax.Array) -> jax.Array:
    x, y = (centred(jax.lax.stop_gradient(array)) for array in (x, y))
    (u, _), (v, _) = _basis(standardised(x)), _basis(standardised(y))
    left, rho, _ = jnp.linalg.svd(matmul(u.T, v), full_matrices=False)
    weights = jnp.sum(jnp.abs(matmul(matmul(u, left).T, x)), 1)
    return ratio(jnp.sum(weights * jnp.clip(rho, 0, 1)), jnp.sum(weights))


def procrustes(
    x: Float[Array, "examples units"], y: Float[Array, "examples others"]
) -> Float[Array, ""]:
    r"""Measure what the best rotation or reflection leaves between two representations.

    .. math:: \min_{R^\top R = 1} \|X - Y R\|_F^2 = 2 - 2 \|Y^\top X\|_*

    for X and Y centred and of Frobenius norm 1; the nuclear norm is the sum of singular values.
    The narrower one counts as filled up with zeros.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order.

    Returns:
      The square of the distance: 0 if only a rotation, shift and scale lie between them, 2 if
      nothing is shared (also if one never changes). Its root is a metric.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, or different examples.

    Source: "Grounding Representation Similarity Through Statistical Testing" (2021).

    Example:
      >>> x = jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
      >>> print(procrustes(x, 5 - 2 * x[:, ::-1]).round(4), procrustes(x, x[:, :1]).round(4))
      0.0 0.5858
    """
    check_pair("procrustes", x, y)
    return _procrustes(x, y)


@compiled
def _procrustes(x: jax.Array, y: jax.Array) -> jax.Array:
    x, y = (centred(array) for array in (x, y))
    x, y = (ratio(array, root(jnp.sum(array * array))) for array in (x, y))
    product = matmul(x.T, y)
    left, _, right = jnp.linalg.svd(jax.lax.stop_gradient(product), full_matrices=False)
    # At the best rotation the sum does not change with it, so it is held in the gradient.
    return jnp.maximum(2 - 2 * jnp.sum(product * matmul(left, right)), 0)


def _basis(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give an orthonormal basis of the columns, zeros beyond their rank, and the map to it."""
    u, s, rows = jnp.linalg.svd(x, full_matrices=False)
    kept = s > jnp.finfo(x.dtype).eps * max(x.shape) * s[0]
    u = jnp.where(kept[None, :], u, 0)
    return u, jnp.where(kept[None, :], rows.T / jnp.where(kept, s, 1)[None, :], 0)


def _main(x: jax.Array, variance: float) -> tuple[jax.Array, jax.Array]:
    """Give the left singular vectors that hold a share of the variance, and their number."""
    u, s, _ = jnp.linalg.svd(x, full_matrices=False)
    power = s**2
    before = jnp.cumsum(power) - power
    kept = (before < variance * jnp.sum(power)) & (s > jnp.finfo(x.dtype).eps * max(x.shape) * s[0])
    return jnp.where(kept[None, :], u, 0), jnp.sum(kept.astype(x.dtype))
