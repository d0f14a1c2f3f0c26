"""Backward passes in which the derivative of single operations is replaced.

A function is traced to its operations (a jaxpr), these are run on one or several points, and
then gone through backwards; a table says, operation by operation, what stands in for its
derivative. Calls (``jit``, ``remat``, functions with derivatives of their own) are entered;
a function with a derivative of its own keeps it where the table replaces nothing in it.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
OWN_DERIVATIVE = frozenset(["custom_jvp_call", "custom_vjp_call"])
LOOPS = frozenset(["scan", "while", "cond"])
# fmt: off
ELEMENTWISE = frozenset([
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh",
    "cbrt", "ceil", "clamp", "convert_element_type", "copy", "copy_p", "cos", "cosh", "digamma",
    "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt",
    "integer_pow", "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min",
    "mul", "ne", "neg", "not", "or", "pow", "rem", "round", "rsqrt", "select_n", "sign", "sin",
    "sinh", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh"
])
# What only moves numbers, by indices (if any) that do not depend on the input.
MOVES = frozenset([
    "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "copy_p",
    "dynamic_slice", "dynamic_update_slice", "expand_dims", "gather", "pad", "reduce_precision",
    "reshape", "rev", "slice", "split", "squeeze", "transpose"
])
# fmt: on
PRODUCTS = frozenset(["mul", "dot_general", "conv_general_dilated"])


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A value on the way.

    Attributes:
      points: the array at each point; the same one where it does not depend on the input.
      carries: whether something may be propagated through it to the input.
      zero: whether it is known to be zero everywhere, whatever the input.
      sources: the values, from far to near, of each of which it is an elementwise function.
    """

    points: tuple[Any, ...]
    carries: bool = False
    zero: bool = False
    sources: tuple["Value", ...] = ()

    @property
    def inexact(self) -> bool:
        """Whether it is of numbers that have derivatives."""
        return jnp.issubdtype(self.points[0].dtype, jnp.inexact)


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """An operation.

    Attributes:
      eqn: the operation as traced.
      inputs: what it was given.
      common: the values, from far to near, of each of which it is an elementwise function.
      outputs: what it gave.
      rule: what stands in for its derivative.
    """

    eqn: Any
    inputs: list[Value]
    common: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    rule: "Rule | None" = None

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.eqn.primitive.name

    @property
    def carrying(self) -> list[int]:
        """Positions of the inputs through which something may be propagated."""
        return [i for i, value in enumerate(self.inputs) if value.carries and value.inexact]

    @property
    def source(self) -> Value | None:
        """The nearest value of which it is an elementwise function, if it is of one."""
        return next((v for v in reversed(self.common) if v.carries and v.inexact), None)

    @property
    def joins(self) -> bool:
        """Whether several of its inputs depend on the function's input."""
        return sum(_moving(value) for value in self.inputs) > 1

    def run(self, *arrays: Any) -> list[jax.Array]:
        """Do the operation on these arrays."""
        primitive = self.eqn.primitive
        outputs = primitive.bind(*arrays, **primitive.get_bind_params(self.eqn.params))
        return outputs if primitive.multiple_results else [outputs]


# From what has come to the outputs (None: nothing), what goes to which values.
Rule = Callable[[Node, list[Any]], Iterable[tuple[Value, jax.Array]]]
# The rule of an operation; None: its derivative.
Table = Callable[[Node], Rule | None]


def propagate(
    f: Callable[[jax.Array], jax.Array],
    points: tuple[jax.Array, ...],
    table: Table,
    *,
    start: Callable[[jax.Array], jax.Array] = jnp.ones_like,
    blocked: frozenset[str] = frozenset(["stop_gradient"]),
) -> jax.Array:
    """Run ``f`` on the points, then go back from its output by the rules of ``table``.

    Args:
      f: one array to one array.
      points: arrays of one shape; derivatives are taken at the first.
      table: the rules.
      start: what to begin with, from the output at the first point.
      blocked: operations through which nothing is propagated.

    Returns:
      What has come to the input, in its shape.
    """
    closed = jax.make_jaxpr(f)(points[0])
    tape: list[Node] = []
    x = Value(points, carries=True)
    (y,) = _record(closed.jaxpr, closed.consts, [x], table, blocked, tape)
    arrived = {y: start(y.points[0])} if y.carries else {}
    for node in reversed(tape):
        given = [arrived.pop(value, None) for value in node.outputs]
        if any(g is not None for g in given):
            for value, share in (node.rule or derivative)(node, given):
                arrived[value] = arrived[value] + share if value in arrived else share
    return arrived.get(x, jnp.zeros_like(points[0]))


def derivative(
    node: Node, given: list[Any], arrays: Iterable[Any] | None = None
) -> list[tuple[Value, jax.Array]]:
    """Propagate as differentiation does, at the first point unless given other arrays."""
    arrays = [v.points[0] for v in node.inputs] if arrays is None else list(arrays)
    carrying = node.carrying
    if is_relu(node):  # as of jax.nn.relu, whose slope at zero is zero
        (i,) = carrying
        return [(node.inputs[i], jnp.where(arrays[i] > 0, given[0], jnp.zeros_like(given[0])))]
    inexact = [i for i, value in enumerate(node.outputs) if value.inexact]

    def run(*some: jax.Array) -> list[jax.Array]:
        new = {**dict(enumerate(arrays)), **dict(zip(carrying, some, strict=True))}
        outputs = node.run(*new.values())
        return [outputs[i] for i in inexact]

    outputs, pull = jax.vjp(run, *[arrays[i] for i in carrying])
    zeros = [jnp.zeros_like(output) for output in outputs]
    filled = [z if given[i] is None else given[i] for i, z in zip(inexact, zeros, strict=True)]
    return [(node.inputs[i], share) for i, share in zip(carrying, pull(filled), strict=True)]


def fit(share: jax.Array, value: Value) -> jax.Array:
    """Add up over the axes along which an operation stretched a value."""
    sizes = zip(share.shape, value.points[0].shape, strict=True)
    return share.sum(tuple(i for i, (n, own) in enumerate(sizes) if n != own), keepdims=True)


def is_relu(node: Node) -> bool:
    """Say whether it is ``jax.nn.relu(x)`` or ``jnp.maximum(x, 0)``.

    Not ``jnp.maximum(0, x)``: so flax's normalisations keep a variance from falling below zero.
    """
    return node.name == "max" and node.inputs[1].zero and node.carrying == [0]


def _record(
    jaxpr: Any,
    consts: Iterable[Any],
    inputs: list[Value],
    table: Table,
    blocked: frozenset[str],
    tape: list[Node],
) -> tuple[Value, ...]:
    """Run a jaxpr on all points and write its operations down."""
    env = dict(zip(jaxpr.constvars, (Value((const,)) for const in consts), strict=True))
    env.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, core.Var):
            return env[atom]
        array = np.asarray(atom.val, atom.aval.dtype)
        return Value((array,), zero=not array.any())

    for eqn in jaxpr.eqns:
        values = [read(atom) for atom in eqn.invars]
        node = Node(eqn, values, _common(eqn, values))
        carries = any(value.carries for value in values)
        inexact = any(jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in eqn.outvars)
        rule = table(node) if carries and inexact else None
        if rule is None and node.name in CALLS:
            body, within = eqn.params[CALLS[node.name]], []
            inner, known = (body.jaxpr, body.consts) if hasattr(body, "consts") else (body, ())
            outputs = _record(inner, known, values, table, blocked, within)
            if node.name in OWN_DERIVATIVE and all(step.rule is None for step in within):
                outputs = tuple(dataclasses.replace(value) for value in outputs)
                within = [dataclasses.replace(node, outputs=outputs)]
            tape.extend(within)
        else:
            outputs = _outputs(node, carries, blocked)
            tape.append(dataclasses.replace(node, outputs=outputs, rule=rule))
        env.update(zip(eqn.outvars, outputs, strict=True))
    return tuple(read(atom) for atom in jaxpr.outvars)


def _outputs(node: Node, carries: bool, blocked: frozenset[str]) -> tuple[Value, ...]:
    """Run an operation on all points, and say what is known of its outputs."""
    count = max((len(value.points) for value in node.inputs), default=1)
    if node.name == "stop_gradient":  # a constant, that of the first point
        count = 1
    points = [node.run(*(v.points[p % len(v.points)] for v in node.inputs)) for p in range(count)]
    carries = carries and node.name not in blocked
    if node.joins and node.common:
        # A way through a blocked operation is within one elementwise function, as in softplus.
        carries = node.common[-1].carries
    zero = node.name in MOVES and all(value.zero for value in node.inputs)
    return tuple(Value(each, carries, zero, node.common) for each in zip(*points, strict=True))


def _moving(value: Value) -> bool:
    """Say whether a value depends on the input, as far as that is of interest."""
    return value.carries or bool(value.sources)


def _common(eqn: Any, inputs: list[Value]) -> tuple[Value, ...]:
    """Find the values of each of which an operation's output is an elementwise function."""
    origins = [(*value.sources, value) for value in inputs if _moving(value)]
    shape = eqn.outvars[0].aval.shape if eqn.outvars else None
    same = all(value.points[0].shape == shape for chain in origins for value in chain[-1:])
    if eqn.primitive.name not in ELEMENTWISE or not origins or not same:
        return ()
    return tuple(v for v in origins[0] if all(v in chain for chain in origins[1:]))
