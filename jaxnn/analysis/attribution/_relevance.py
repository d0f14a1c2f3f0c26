r"""Layer-wise relevance propagation: the output's value handed down, layer by layer.

Relevance starts as the output itself. Each operation divides what its outputs have among its
inputs, in proportion to what they contributed (the ε rule), unless a table gives the layer
another rule:

=======================================  =============================================
elementwise functions (ReLU, GELU)       relevance unchanged
max pooling, choices, reshapes           to the place the value came from
sums, means, convolutions, matrices      in proportion to the contributions
products of two values                   half to each
quotients, normalisations, attention     denominators, standard deviations and softmax
                                         weights are taken as constants
=======================================  =============================================

Source: "Methods for Interpreting and Understanding Deep Neural Networks" (2018), section 5, and
"On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
Propagation" (2015); for normalisations and attention "XAI for Transformers: Better Explanations
through Conservative Propagation" (2022).

=====  ===========================================
f      the function, one example to one number
x      the example, any shape
R      relevance
=====  ===========================================
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn.analysis._function import scalar
from jaxnn.analysis.attribution._relevance_rules import (
    AlphaBetaRule,
    EpsilonRule,
    Layer,
    LayerRule,
    ZPlusRule,
    stabilized,
)
from jaxnn.analysis.attribution._rules import (
    CALLS,
    MOVES,
    PRODUCTS,
    Node,
    Rule,
    Value,
    derivative,
    fit,
    propagate,
)

Rules = Sequence[tuple[str | type[nn.Module], LayerRule]]

# Which composite suits which part of a network: the overview of 2019, section 3.
EPSILON_PLUS: Rules = ((nn.Conv, ZPlusRule()), ("", EpsilonRule()))
EPSILON_ALPHA2_BETA1: Rules = ((nn.Conv, AlphaBetaRule(2.0, 1.0)), ("", EpsilonRule()))

AFFINE = frozenset(["add", "add_any", "sub", "neg", "mul"])
SUMS = frozenset(["reduce_sum", "reduce_window_sum", "cumsum", "scatter-add"])
ROUTES = frozenset(["max", "min", "reduce_max", "reduce_min", "reduce_window_max", "select_n"])
BLOCKED = frozenset(["stop_gradient", "exp", "exp2", "rsqrt", "sqrt"])


def layerwise_relevance(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    rules: Rules = (),
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "*shape"]:
    r"""Attribute by layer-wise relevance propagation.

    .. math:: \sum_i R_i \approx f(x)

    with equality where no rule lets relevance go: there are no biases, and ε is small.

    Args:
      f: one example to one number, any JAX function; a logit, for nothing passes a softmax.
      x: the example.
      rules: pairs that give linen layers with a ``kernel`` (``nn.Dense``, ``nn.Conv`` ...)
        rules of their own; the first that fits decides. A layer fits a module class, or a
        regular expression found in its path, such as ``"Conv_0"`` or ``"blocks_1/dense"``.
        ``EPSILON_PLUS`` and ``EPSILON_ALPHA2_BETA1`` are the usual composites, to which a first
        layer is added by ``(("Conv_0", ZBoxRule(0.0, 1.0)), *EPSILON_PLUS)``.
      epsilon: of the ε rule for all that the table does not name.

    Returns:
      The relevance of each entry, an array like ``x``.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floating-point numbers.
      ValueError: ``f`` returns more than one number; a pattern fits no layer; or ``f`` uses an
        operation that has no rule, such as a loop (``lax.scan``).

    Differs: captum wants each layer to be used once, and takes softmax and normalisations by
    their ε rule or not at all.

    Example:
      >>> model = nn.Sequential([nn.Dense(8, use_bias=False), nn.relu, nn.Dense(2, use_bias=False)])
      >>> x = jnp.array([1.0, -2.0, 3.0])
      >>> variables = model.init(jax.random.key(0), x)
      >>> f = lambda x: model.apply(variables, x)[0]
      >>> relevance = layerwise_relevance(f, x, [("layers_0", WSquareRule()), ("", ZPlusRule())])
      >>> bool(jnp.allclose(relevance.sum(), f(x), atol=1e-5))
      True
    """
    where = "layerwise_relevance"
    require_array(where, x=x)
    require_positive(where, epsilon=epsilon)
    layers: dict[str, tuple[LayerRule, list[str]]] = {}
    marked = _marked(where, f, rules, layers)

    def table(node: Node) -> Rule | None:
        if node.name in CALLS and node.eqn.params.get("name") in layers:
            rule, names = layers[node.eqn.params["name"]]
            return lambda node, given: _through_layer(node, given, rule, names)
        return _rule(where, node, epsilon)

    start = lambda y: y  # noqa: E731
    return propagate(scalar(where, marked), (x,), table, start=start, blocked=BLOCKED)


def _marked(
    where: str, f: Callable[..., Any], rules: Rules, layers: dict[str, tuple[LayerRule, list[str]]]
) -> Callable[[jax.Array], Any]:
    """Make ``f`` call each layer that the table names as a function whose name says its rule."""
    paths: list[str] = []
    inside = False

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal inside
        module = context.module
        if inside or context.method_name != "__call__" or not _is_layer(module, args, kwargs):
            return call(*args, **kwargs)
        paths.append("/".join(module.path))
        rule = next((rule for key, rule in rules if _fits(module, key)), None)
        if rule is None:
            return call(*args, **kwargs)
        params = dict(module.variables["params"])
        alone = module.clone(parent=None)

        def layer(params: dict[str, jax.Array], x: jax.Array) -> Any:
            return alone.apply({"params": params}, x)

        layer.__name__ = f"relevance_{len(layers)}"
        layers[layer.__name__] = (rule, sorted(params))
        inside = True
        try:
            return jax.jit(layer)(params, *args)
        finally:
            inside = False

    def run(x: jax.Array) -> Any:
        with nn.intercept_methods(intercept):
            y = f(x)
        for key, _ in rules:
            found = not isinstance(key, str) or any(re.search(key, path) for path in paths)
            needs = f"a pattern found in the path of a layer with a kernel: {', '.join(paths)}"
            require(found, where, "rules", key, needs)
        return y

    return run


def _is_layer(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether a module is one product of its input with a kernel, and perhaps a bias."""
    params = module.variables.get("params", {})
    return (
        "kernel" in params and set(params) <= {"kernel", "bias"} and len(args) == 1 and not kwargs
    )


def _fits(module: nn.Module, key: str | type[nn.Module]) -> bool:
    if isinstance(key, str):
        return re.search(key, "/".join(module.path)) is not None
    return isinstance(module, key)


def _through_layer(
    node: Node, given: list[Any], rule: LayerRule, names: list[str]
) -> list[tuple[Value, jax.Array]]:
    """Apply a layer's rule."""
    *params, x = [jnp.asarray(value.points[0]) for value in node.inputs]

    def run(params: Any, x: jax.Array) -> jax.Array:
        return node.run(*(params[name] for name in names), x)[0]

    layer = Layer(run, dict(zip(names, params, strict=True)), x)
    return [(node.inputs[-1], rule(layer, given[0]))]


def _rule(where: str, node: Node, epsilon: float) -> Rule | None:
    """Choose the rule of an operation; None for what only moves numbers, and for calls."""
    name, carrying = node.name, node.carrying
    if name in CALLS or not carrying:
        return None
    if node.source is not None and node.joins:
        return _unchanged
    routes = name in ROUTES and (node.source is None or name == "select_n")
    if routes or name in MOVES or name in BLOCKED:
        return None
    if name == "div":
        return _to_the_numerator
    if name in AFFINE or name in PRODUCTS or name in SUMS:
        return lambda node, given: _proportional(node, given, epsilon)
    if node.source is not None:
        return _unchanged
    needs = "operations that relevance has a rule for"
    require(False, where, "f", name, needs, "Unroll loops in Python, or cut `f` behind it.")
    return None


def _unchanged(node: Node, given: list[Any]) -> list[tuple[Value, jax.Array]]:
    """Give all relevance to the one value of which the output is an elementwise function."""
    assert node.source is not None
    return [(node.source, given[0])]


def _to_the_numerator(node: Node, given: list[Any]) -> list[tuple[Value, jax.Array]]:
    """Give all relevance to the numerator, or in 1 / x to x."""
    value = next(value for value in node.inputs if value.carries)
    return [(value, fit(given[0], value))]


def _proportional(node: Node, given: list[Any], epsilon: float) -> list[tuple[Value, jax.Array]]:
    """Divide in proportion to the contributions."""
    ratio = given[0] / stabilized(node.outputs[0].points[0], epsilon)
    factors = len(node.carrying) if node.name in PRODUCTS else 1
    return [(v, v.points[0] * slope / factors) for v, slope in derivative(node, [ratio])]
