r"""Polynomial regression: linear in the monomials, so that the best one is a linear solve.

.. math:: y = C^\top φ(P^\top x) + b, \qquad
          \min_{C, b} \sum_n \|y_n - C^\top φ(P^\top x_n) - b\|^2 + λ \|C\|^2

There is no step size, no starting point and no second minimum. P, the directions in which the
inputs vary most, keeps the monomials few where the inputs are many.

===========  ==========================================
x            input, ``(*batch, inputs)``
C            ``kernel``, ``(monomials, outputs)``
b            ``bias``, ``(outputs,)``, not penalised
P            ``projection``, ``(inputs, components)``
λ            ``ridge``
===========  ==========================================

Source: "Polynomial Regression As an Alternative to Neural Nets" (2018).
"""

import functools
from numbers import Real

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers._ridge import fit_ridge
from jaxnn.layers.feedforward import dense
from jaxnn.layers.polynomial._features import count_monomials, polynomial_features

HIGHEST = jax.lax.Precision.HIGHEST


def fit_polynomial(
    x: Float[Array, "samples inputs"],
    y: Float[Array, "samples outputs"],
    *,
    degree: int,
    ridge: float | Float[Array, ""] = 1.0,
    interaction_only: bool = False,
    components: int | None = None,
) -> dict[str, jax.Array]:
    r"""Find the polynomial nearest to the targets, by least squares with a ridge.

    .. math:: \min_{C, b} \sum_n \|y_n - C^\top φ(P^\top x_n) - b\|^2 + λ \|C\|^2

    Standardise the inputs: monomials of large numbers dwarf all others, and the ridge does not
    see them. Classes are fitted as one-hot targets, and the largest output is the class.

    Args:
      x: examples and their features.
      y: what to give for them.
      degree: the most factors of a monomial.
      ridge: λ, at least 0, in the units of scikit-learn's ``Ridge``. At 0 the monomials must be
        linearly independent on these examples, and hence fewer than they.
      interaction_only: leave out monomials with an input twice in them.
      components: take polynomials of this many principal components of ``x``; of ``x`` itself
        if ``None``.

    Returns:
      Parameters of :class:`PolynomialRegression`: ``kernel``, ``bias`` and, with ``components``,
      ``projection``, in the dtype of ``y``.

    Raises:
      TypeError: an array does not hold floating-point numbers.
      ValueError: shapes disagree, or a number is out of its range.

    Gradient: through the solution, exactly, from one more solve; none through the directions of
    the components.

    Example:
      >>> x = jnp.linspace(-1, 1, 9)[:, None]
      >>> params = fit_polynomial(x, 3 * x**2 - x + 2, degree=2, ridge=0.0)
      >>> [f"{c:.3f}" for c in (*params["kernel"][:, 0], params["bias"][0])]
      ['-1.000', '3.000', '2.000']
    """
    where = "fit_polynomial"
    require_array(where, x=x, y=y)
    ok = x.ndim == 2 and x.shape[0] > 0
    require(ok, where, "x", x, "shape (samples, inputs), with at least one sample")
    ok = y.ndim == 2 and y.shape[0] == x.shape[0]
    require(ok, where, "y", y, f"shape ({x.shape[0]}, outputs), for the samples of `x`")
    if isinstance(ridge, Real):
        ok = 0 <= float(ridge) < float("inf")
        require(ok, where, "ridge", ridge, "a finite number of at least 0")
    require_count(where, degree=degree)
    if components is not None:
        require_count(where, components=components)
        needs = f"at most {x.shape[1]}, the inputs of `x`"
        require(components <= x.shape[1], where, "components", components, needs)
    return _fit(x, y, jnp.asarray(ridge), degree, interaction_only, components)


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
@functools.partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _fit(
    x: jax.Array,
    y: jax.Array,
    ridge: jax.Array,
    degree: int,
    interaction_only: bool,
    components: int | None,
) -> dict[str, jax.Array]:
    wide = accumulation_dtype(y.dtype)
    rows, params = x.astype(wide), {}
    if components is not None:
        projection = _directions(rows, components).astype(y.dtype)
        params["projection"] = projection
        rows = jnp.dot(rows, projection.astype(wide), precision=HIGHEST)
    values = polynomial_features(
        rows, degree=degree, interaction_only=interaction_only, include_bias=False
    )
    kernel, bias = fit_ridge(values, y.astype(wide), ridge.astype(wide))
    return params | {"kernel": kernel.astype(y.dtype), "bias": bias.astype(y.dtype)}


def _directions(x: jax.Array, components: int) -> jax.Array:
    """Give the directions of most variance as columns, each with its largest entry positive."""
    x = jax.lax.stop_gradient(x)
    x = x - jnp.mean(x, 0)[None]
    vectors = jnp.linalg.eigh(jnp.dot(x.T, x, precision=HIGHEST))[1][:, ::-1][:, :components]
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), 0)[None], 0)
    return vectors * jnp.where(largest < 0, -1, 1).astype(x.dtype)


class PolynomialRegression(nn.Module):
    """A polynomial of all inputs together, with its coefficients as parameters.

    :func:`fit_polynomial` gives the best parameters at once; any optimiser can train them, too.
    Parameters are ``kernel``, ``bias`` and, with ``components``, ``projection``.

    Attributes:
      features: size of the output's last axis.
      degree: the most factors of a monomial.
      interaction_only: leave out monomials with an input twice in them.
      components: first project the inputs to this many directions; not if ``None``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel`` and ``projection``.
      bias_init: initialiser of ``bias``.
    """

    features: int
    degree: int = 2
    interaction_only: bool = False
    components: int | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        where = "PolynomialRegression"
        require_array(where, x=x)
        require_rank(where, "x", x, 1, "(*batch, inputs)")
        require_count(where, features=self.features, degree=self.degree)
        inputs, projection = x.shape[-1], None
        if self.components is not None:
            require_count(where, components=self.components)
            shape = (inputs, self.components)
            projection = self.param("projection", self.kernel_init, shape, self.param_dtype)
            inputs = self.components
        monomials = count_monomials(inputs, self.degree, self.interaction_only)
        shape = (monomials, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, shape[1:], self.param_dtype)
        x, kernel, bias, projection = promote_dtype(x, kernel, bias, projection, dtype=self.dtype)
        if projection is not None:
            x = dense(x, projection)
        values = polynomial_features(
            x, degree=self.degree, interaction_only=self.interaction_only, include_bias=False
        )
        return dense(values, kernel, bias)
