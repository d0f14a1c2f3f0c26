r"""Attribution by the first terms of a Taylor expansion.

Source: "Methods for Interpreting and Understanding Deep Neural Networks" (2018), sections 4.1
and 4.2.

=====  ===========================================
f      the function, one example to one number
x      the example, any shape
r      the root point that it is expanded at
=====  ===========================================
"""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from jaxnn._check import require_array
from jaxnn.analysis._function import fill, scalar


def sensitivity(
    f: Callable[[jax.Array], jax.Array], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    r"""Attribute by the squared gradient.

    .. math:: a_i = (\partial f(x) / \partial x_i)^2

    It adds up to the squared length of the gradient: it explains the slope, not the value.

    Args:
      f: one example to one number.
      x: the example.

    Returns:
      An array like ``x``.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floating-point numbers.
      ValueError: ``f`` returns more than one number.

    Example:
      >>> sensitivity(lambda x: x[0] ** 2 - x[1], jnp.array([3.0, 1.0])).tolist()
      [36.0, 1.0]
    """
    require_array("sensitivity", x=x)
    return jax.grad(scalar("sensitivity", f))(x) ** 2


def simple_taylor(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    baseline: Float[Array, "*shape"] | float | int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by the linear terms of the Taylor expansion at a root point.

    .. math:: a_i = (x_i - r_i) \, \partial f(r) / \partial x_i

    Args:
      f: one example to one number.
      x: the example.
      baseline: the root point r, near ``x`` and where f is zero: an array like ``x``, or a
        number for all entries; zeros if ``None``.

    Returns:
      An array like ``x`` whose sum approximates ``f(x) - f(baseline)``.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Example:
      >>> simple_taylor(lambda x: x[0] ** 2 - x[1], jnp.array([3.0, 1.0]), 1.0).tolist()
      [4.0, -0.0]
    """
    require_array("simple_taylor", x=x)
    point = fill("simple_taylor", x, baseline)
    return (x - point) * jax.grad(scalar("simple_taylor", f))(point)
