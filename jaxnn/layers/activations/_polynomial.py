r"""Polynomials composed with ReLU, or of normalised powers, with trained coefficients.

Source: "Polynomial Composition Activations: Unleashing the Dynamics of Large Language Models"
(2024), equations 2 and 3.

===========  ==============================================
x            input, ``(*batch, features)``
a            ``coefficients``, ``(order + 1,)``; a_i goes with the i-th power
r            order, 3 in the paper
ε            ``epsilon``, keeps rows of zeros finite
===========  ==============================================
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def poly_relu(x: Float[Array, "..."], coefficients: Float[Array, " powers"]) -> Float[Array, "..."]:
    r"""Apply a polynomial to the positive part, entry by entry.

    .. math:: y = \sum_{i=0}^{r} a_i \, \mathrm{ReLU}(x)^i

    With a = (0, 1) it is ReLU, with a = (0, 0, 1) its square.

    Args:
      x: an array of any shape.
      coefficients: a, from the constant on.

    Returns:
      An array of the shape and dtype of ``x``; powers are taken in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: ``coefficients`` is not one row of at least two.

    Example:
      >>> poly_relu(jnp.array([-2.0, 2.0]), jnp.array([1.0, 0.0, 0.5])).tolist()
      [1.0, 3.0]
    """
    a = _check("poly_relu", x, coefficients)
    positive = jax.nn.relu(x.astype(a[0].dtype))
    y = jnp.full_like(positive, a[-1])
    for a_i in reversed(a[:-1]):
        y = y * positive + a_i
    return y.astype(x.dtype)


def poly_norm(
    x: Float[Array, "*batch features"],
    coefficients: Float[Array, " powers"],
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "*batch features"]:
    r"""Sum the powers of each row, each power scaled to a root mean square of 1.

    .. math:: y = a_0 + \sum_{i=1}^{r} a_i \, \frac{x^i}{\mathrm{rms}(x^i)}, \quad
       \mathrm{rms}(v) = \sqrt{\mathrm{mean}_j \, v_j^2}

    It does not see the scale of a row: c x gives what x gives, for c above zero; -x gives it
    with the odd powers' signs turned.

    Args:
      x: any leading axes, then features.
      coefficients: a, from the constant on.
      epsilon: ε, added to the mean squares.

    Returns:
      An array in the dtype of ``x``; powers and means are taken in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: ``x`` has no axis, ``coefficients`` is not one row of at least two, or
        ``epsilon`` is not positive.

    Differs: the paper divides by the Euclidean norm of the power, its code by the root mean
    square as here. The code adds ε to the mean square of each power of x; here x is scaled
    first, so that ε weighs alike in all of them and the sixth power of a large x is finite.

    Example:
      >>> poly_norm(jnp.array([3.0, -3.0]), jnp.array([0.0, 1.0, 0.5])).round(3).tolist()
      [1.5, -0.5]
    """
    a = _check("poly_norm", x, coefficients)
    require_rank("poly_norm", "x", x, 1, "(*batch, features)")
    require_positive("poly_norm", epsilon=epsilon)
    unit = power = _rms_normalize(x.astype(a[0].dtype), epsilon)
    # The first power is normalised already.
    y = a[0] + a[1] * unit
    for a_i in a[2:]:
        power = power * unit
        y = y + a_i * _rms_normalize(power, epsilon)
    return y.astype(x.dtype)


def _check(where, x, coefficients):
    """Give the coefficients as widened scalars, once the arguments are sound."""
    require_array(where, x=x, coefficients=coefficients)
    fits = coefficients.ndim == 1 and coefficients.shape[0] >= 2
    require(fits, where, "coefficients", coefficients, "shape (order + 1,), an order of 1 or more")
    wide = accumulation_dtype(x.dtype)
    return [coefficients[i].astype(wide) for i in range(coefficients.shape[0])]


def _rms_normalize(v, epsilon):
    return v * lax.rsqrt(jnp.mean(v * v, axis=-1, keepdims=True) + epsilon)


def polynomial_init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
    """Make the paper's first coefficients: 0 for the constant, 1/r for each of r powers."""
    del key
    return jnp.full(shape, 1 / (shape[0] - 1), dtype).at[0].set(0)


class PolyReLU(nn.Module):
    """:func:`poly_relu` with its parameter ``coefficients``.

    An instance goes into an ``activation`` slot: ``FeedForward(activation=PolyReLU())``. One
    instance is one set of coefficients wherever it is used. For a set of its own in each
    block, as in the paper, make the instance where the block is made (``parent=None`` keeps it
    inside the feed-forward block, as ``activation``)::

        Transformer(
            feedforward=lambda **options: FeedForward(
                activation=PolyReLU(parent=None), **options
            ),
            ...,
        )

    Attributes:
      order: highest power r.
      dtype: unused; the result has the dtype of the input.
      param_dtype: dtype the coefficients are kept in.
      coefficients_init: initialiser of the coefficients.
    """

    order: int = 3
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    coefficients_init: Initializer = polynomial_init

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map an array to one of the same shape."""
        require_count("PolyReLU", order=self.order)
        shape = (self.order + 1,)
        return poly_relu(
            x, self.param("coefficients", self.coefficients_init, shape, self.param_dtype)
        )


class PolyNorm(nn.Module):
    """:func:`poly_norm` with its parameter ``coefficients``; see :class:`PolyReLU` for its use.

    Attributes:
      order: highest power r.
      epsilon: added to the mean squares.
      dtype: unused; the result has the dtype of the input.
      param_dtype: dtype the coefficients are kept in.
      coefficients_init: initialiser of the coefficients.
    """

    order: int = 3
    epsilon: float = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    coefficients_init: Initializer = polynomial_init

    @nn.compact
    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        """Map ``(*batch, features)`` to the same shape."""
        require_count("PolyNorm", order=self.order)
        shape = (self.order + 1,)
        coefficients = self.param("coefficients", self.coefficients_init, shape, self.param_dtype)
        return poly_norm(x, coefficients, epsilon=self.epsilon)
