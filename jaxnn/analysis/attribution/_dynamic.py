r"""Attribution by the linear map that a dynamically linear function is at the example.

Where :math:`f(x) = W(x)\,x`, the rows of W(x) are the explanation: :math:`W_i(x)\,x_i` is what
entry i contributes, and the contributions add up to f(x), exactly and without a baseline.

Source: "B-cos Networks: Alignment is All We Need for Interpretability" (2022), equations 8 to
13; "B-cosification: Transforming Deep Neural Networks to be Inherently Interpretable" (2024).

=====  =====================================================
f      the function, one example to one number
x      the example, any shape
W(x)   the gradient of f if its scales did not change with x
=====  =====================================================
"""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn.analysis._function import scalar
from jaxnn.analysis.attribution._rules import LOOPS, Node, Rule, Value, propagate

MARK = "dynamic"


def dynamic_weights(
    f: Callable[[jax.Array], jax.Array], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    r"""Read off the linear map of a dynamically linear function at the example.

    .. math:: f(x) = \sum_i W_i(x) \, x_i

    Contributions are ``x * dynamic_weights(f, x)``. They add up to ``f(x)`` if f has no offsets
    and is otherwise of ReLUs, maxima and products with weights.

    Args:
      f: one example to one number. Its scales, which count as constants, are marked by
        ``jax.ad_checkpoint.checkpoint_name(scale, "dynamic")``, as those of
        ``jaxnn.layers.interpretable`` are; without any the result is the gradient.
      x: the example.

    Returns:
      W(x), an array like ``x``.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floating-point numbers.
      ValueError: ``f`` returns more than one number, or has a mark in a loop (``lax.scan``).

    Example:
      >>> from jax.ad_checkpoint import checkpoint_name
      >>> f = lambda x: checkpoint_name(jnp.abs(x[0]), "dynamic") * (2 * x[0] + x[1])
      >>> dynamic_weights(f, jnp.array([3.0, -1.0])).tolist()
      [6.0, 3.0]
    """
    require_array("dynamic_weights", x=x)
    return propagate(scalar("dynamic_weights", f), (x,), _table)


def _nothing(node: Node, given: list[Any]) -> list[tuple[Value, jax.Array]]:
    del node, given
    return []


def _table(node: Node) -> Rule | None:
    hidden = node.name in LOOPS and _has_mark(node.eqn.params)
    needs = "its marks outside of loops, whose insides are not seen"
    require(not hidden, "dynamic_weights", "f", node.name, needs, "Unroll the loop in Python.")
    return _nothing if node.name == "name" and node.eqn.params["name"] == MARK else None


def _has_mark(value: Any) -> bool:
    """Look for the mark in a jaxpr, or in all of an operation's parameters."""
    if isinstance(value, dict | tuple | list):
        return any(map(_has_mark, value.values() if isinstance(value, dict) else value))
    for eqn in getattr(getattr(value, "jaxpr", value), "eqns", ()):
        if eqn.primitive.name == "name" and eqn.params["name"] == MARK:
            return True
        if _has_mark(eqn.params):
            return True
    return False
