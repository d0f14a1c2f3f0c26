r"""Attribution by the slope at the example itself.

Source: "Deep Inside Convolutional Networks: Visualising Image Classification Models and
Saliency Maps" (2014), section 3.

=====  ===========================================
f      the function, one example to one number
x      the example, any shape
=====  ===========================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require_array
from jaxnn.analysis._function import scalar


def gradient(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    absolute: bool = False,
) -> Float[Array, "*shape"]:
    r"""Attribute by the gradient: how fast the output changes with each entry.

    .. math:: a_i = \partial f(x) / \partial x_i

    Args:
      f: one example to one number.
      x: the example.
      absolute: return the magnitudes, which is the saliency map of the paper.

    Returns:
      An array like ``x``.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floating-point numbers.
      ValueError: ``f`` returns more than one number.

    Differs: captum's ``Saliency`` is absolute unless told otherwise.

    Example:
      >>> gradient(lambda x: x[0] ** 2 - x[1], jnp.array([3.0, 1.0])).tolist()
      [6.0, -1.0]
    """
    require_array("gradient", x=x)
    slope = jax.grad(scalar("gradient", f))(x)
    return jnp.abs(slope) if absolute else slope


def input_x_gradient(
    f: Callable[[jax.Array], jax.Array], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    r"""Attribute by the product of input and gradient.

    .. math:: a_i = x_i \, \partial f(x) / \partial x_i

    The attributions of a linear function without offset add up to its value; so do those of
    a network of ReLU layers without biases, which is linear along the ray from zero.

    Args:
      f: one example to one number.
      x: the example.

    Returns:
      An array like ``x``.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floating-point numbers.
      ValueError: ``f`` returns more than one number.

    Example:
      >>> input_x_gradient(lambda x: x[0] ** 2 - x[1], jnp.array([3.0, 1.0])).tolist()
      [18.0, -1.0]
    """
    require_array("input_x_gradient", x=x)
    return x * jax.grad(scalar("input_x_gradient", f))(x)
