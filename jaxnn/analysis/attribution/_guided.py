r"""Attribution by a gradient whose way back through the ReLUs is changed.

The derivative of :math:`h = \max(z, 0)` passes what comes back where z is positive;
the deconvolution passes what is positive, and guided backpropagation what is both. All else
(transposed filters, max pooling back to the places its maxima came from) is the derivative.

Source: "Visualizing and Understanding Convolutional Networks" (2014), section 2.1, for the
deconvolution; "Striving for Simplicity: The All Convolutional Net" (2015), section 3.4, for
guided backpropagation.

=====  =====================================================
f      the function, one example to one number
x      the example, any shape
z      the input of a ReLU
R      what has come back to the ReLU's output
=====  =====================================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn.analysis._function import scalar
from jaxnn.analysis.attribution._rules import LOOPS, Node, Rule, Table, Value, is_relu, propagate


def deconvolution(
    f: Callable[[jax.Array], jax.Array], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    r"""Attribute by the deconvolution: only what is positive goes back through a ReLU.

    .. math:: R_z = \max(R, 0)

    Args:
      f: one example to one number: a class's score, or one unit of a layer within.
      x: the example; it says which places max pooling goes back to.

    Returns:
      An array like ``x``.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floating-point numbers.
      ValueError: ``f`` returns more than one number, or has a ReLU in a loop (``lax.scan``).

    A ReLU is ``jax.nn.relu(z)`` or ``jnp.maximum(z, 0)``. ``jnp.maximum(0, z)``, with which
    flax's normalisations clip a variance, is not one.

    Example:
      >>> f = lambda x: jax.nn.relu(x[0]) - jax.nn.relu(x[1])
      >>> deconvolution(f, jnp.array([-1.0, 1.0])).tolist()
      [1.0, 0.0]
    """
    require_array("deconvolution", x=x)
    f = scalar("deconvolution", f)
    return propagate(f, (x,), _table("deconvolution", _deconvolve))


def guided_backpropagation(
    f: Callable[[jax.Array], jax.Array], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    r"""Attribute by guided backpropagation: only what is positive goes back to positive units.

    .. math:: R_z = [z > 0] \, \max(R, 0)

    Args:
      f: one example to one number: a class's score, or one unit of a layer within.
      x: the example.

    Returns:
      An array like ``x``.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floating-point numbers.
      ValueError: ``f`` returns more than one number, or has a ReLU in a loop (``lax.scan``).

    What counts as a ReLU is said at :func:`deconvolution`.

    Example:
      >>> f = lambda x: jax.nn.relu(x[0]) + jax.nn.relu(x[1]) - jax.nn.relu(x[2])
      >>> guided_backpropagation(f, jnp.array([-1.0, 1.0, 1.0])).tolist()
      [0.0, 1.0, 0.0]
    """
    require_array("guided_backpropagation", x=x)
    f = scalar("guided_backpropagation", f)
    return propagate(f, (x,), _table("guided_backpropagation", _guide))


def _deconvolve(node: Node, given: list[Any]) -> list[tuple[Value, jax.Array]]:
    return [(node.inputs[0], jax.nn.relu(given[0]))]


def _guide(node: Node, given: list[Any]) -> list[tuple[Value, jax.Array]]:
    z = node.inputs[0]
    return [(z, jnp.where(z.points[0] > 0, jax.nn.relu(given[0]), jnp.zeros_like(given[0])))]


def _table(where: str, rule: Rule) -> Table:
    """Make the table with one rule, for ReLUs."""

    def table(node: Node) -> Rule | None:
        hidden = node.name in LOOPS and _has_relu(node.eqn.params)
        needs = "its ReLUs outside of loops, whose insides are not seen"
        require(not hidden, where, "f", node.name, needs, "Unroll the loop in Python.")
        return rule if is_relu(node) else None

    return table


def _has_relu(value: Any) -> bool:
    """Look for ``max(z, 0)`` in a jaxpr, or in all of an operation's parameters."""
    if isinstance(value, dict | tuple | list):
        return any(map(_has_relu, value.values() if isinstance(value, dict) else value))
    for eqn in getattr(getattr(value, "jaxpr", value), "eqns", ()):
        last = eqn.invars[-1] if eqn.primitive.name == "max" else None
        if (isinstance(last, core.Literal) and last.val == 0) or _has_relu(eqn.params):
            return True
    return False
