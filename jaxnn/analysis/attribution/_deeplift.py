r"""Attribution of differences: each operation passes on its share of the change from a baseline.

The function is run on the example and on the baseline. Going back, every operation has
multipliers m from its inputs to its output that account for the whole change of that output,
:math:`\sum_i m_i Δz_i = Δh`, and so for the change of f:

==========================  =========================================================
elementwise, one input      :math:`m = Δh / Δz`, the rescale rule; the derivative where
                            \|Δz\| is below ``epsilon``
linear                      the transpose
products z w                :math:`m_z = \bar w, m_w = \bar z`, the means of both points
quotients z / w             :math:`m_z = \overline{1 / w}, m_w = -\bar z / (w w')`
maxima                      what h rose by to the place of the example's maximum, what it fell
                            by to the place of the baseline's
==========================  =========================================================

Elementwise includes what is made of several operations on one value, such as GELU.

Source: "Learning Important Features Through Propagating Activation Differences" (2017),
equations 1 to 5 and section 3.5.1; "A Unified Approach to Interpreting Model Predictions"
(2017) for several baselines.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
z, h     input and output of one operation
Δ        at the example minus at the baseline
=======  ====================================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map, fill, scalar
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

LINEAR = MOVES | {
    "add",
    "add_any",
    "cumsum",
    "neg",
    "real",
    "reduce_sum",
    "reduce_window_sum",
    "scatter-add",
    "stop_gradient",
    "sub",
}
MAXIMA = frozenset(["max", "reduce_max", "reduce_window_max"])


def deeplift(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    baseline: Float[Array, "*shape"] | float | int | None = None,
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "*shape"]:
    r"""Attribute by DeepLIFT with the rescale rule.

    .. math:: a_i = m_i (x_i - x'_i), \quad \sum_i a_i = f(x) - f(x')

    Args:
      f: one example to one number.
      x: the example.
      baseline: the x' that means "nothing there": an array like ``x``, or a number for all
        entries; zeros if ``None``.
      epsilon: change of an operation's input below which its derivative is taken.

    Returns:
      An array like ``x`` that adds up to ``f(x) - f(baseline)`` but for rounding, and for at
      most about ``epsilon`` where a kink lies between two inputs that close.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or uses an operation with no rule: a loop
        (``lax.scan``), a sort, a choice by an unrelated value; or shapes disagree.

    Values under ``stop_gradient`` are held as they are at ``x``; softmax, which so holds its
    largest logit, is handled as quotient of exponentials.

    Differs: captum has its rules by kind of module: it takes the product of two values, which
    it does not see, by its derivative, and softmax by a rule of its own. Where a ReLU and max
    pooling are neighbours, captum 0.9's attributions do not add up to the change; these do.

    Example:
      >>> f = lambda x: 1 - jax.nn.relu(1 - x[0] - x[1])
      >>> deeplift(f, jnp.array([1.0, 3.0])).tolist()
      [0.25, 0.75]
    """
    where = "deeplift"
    require_array(where, x=x)
    start = fill(where, x, baseline)
    require_positive(where, epsilon=epsilon)
    return _attributions(where, f, x, start, epsilon)


def deeplift_shap(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    baselines: Float[Array, "count *shape"],
    *,
    epsilon: float = 1e-6,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by DeepLIFT averaged over baselines, an approximation of Shapley values.

    .. math:: a = \mathrm{mean}_{x'} \; m(x, x') \odot (x - x')

    Args:
      f: one example to one number.
      x: the example.
      baselines: examples to compare with, usually a sample of the training data.
      epsilon: change of an operation's input below which its derivative is taken.
      batch_size: baselines held at once; ``None`` takes 5.

    Returns:
      An array like ``x`` that adds up to ``f(x)`` minus the mean of f over ``baselines``.

    Raises:
      TypeError: ``x``, ``baselines`` or the output of ``f`` is not an array of floats.
      ValueError: as :func:`deeplift`.

    Example:
      >>> f = lambda x: jax.nn.relu(x[0] - x[1])
      >>> deeplift_shap(f, jnp.array([2.0, 1.0]), jnp.array([[0.0, 0.0], [0.0, 1.0]])).tolist()
      [1.5, -0.5]
    """
    where = "deeplift_shap"
    require_array(where, x=x, baselines=baselines)
    require(
        baselines.ndim > 0 and baselines.shape[1:] == x.shape and len(baselines) > 0,
        where,
        "baselines",
        baselines,
        f"the shape (count, {', '.join(map(str, x.shape))}): rows like `x`",
    )
    require_positive(where, epsilon=epsilon)
    wide = accumulation_dtype(x.dtype)

    def against(row: jax.Array) -> jax.Array:
        return _attributions(where, f, x, row.astype(x.dtype), epsilon).astype(wide)

    return jnp.mean(chunked_map(where, against, baselines, batch_size), 0).astype(x.dtype)


def _attributions(
    where: str, f: Callable[..., jax.Array], x: jax.Array, start: jax.Array, epsilon: float
) -> jax.Array:
    """Multiply the multipliers of the whole function by the change of its input."""

    def table(node: Node) -> Rule | None:
        return _rule(where, node, epsilon)

    return propagate(scalar(where, f), (x, start), table) * (x - start)


def _rule(where: str, node: Node, epsilon: float) -> Rule | None:
    """Choose the rule of an operation; None for what is linear, and for calls."""
    name, carrying = node.name, node.carrying
    changing = [i for i, value in enumerate(node.inputs) if value.carries]
    if name in CALLS:
        return None
    linear = name in LINEAR or (name in PRODUCTS and len(carrying) == 1)
    linear = linear or (name == "div" and carrying == [0])
    linear = linear or (name == "select_n" and 0 not in changing)
    if linear and changing == carrying:
        return None
    if node.source is not None:
        return lambda node, given: _rescale(node, given, epsilon)
    if name in PRODUCTS:
        return _at_the_means
    if name == "div":
        return _quotient
    if name in MAXIMA:
        return lambda node, given: _largest(node, given, epsilon)
    needs = "operations that DeepLIFT has a rule for"
    hint = "Unroll loops in Python, or give the part of `f` that has rules."
    require(False, where, "f", name, needs, hint)
    return None


def _pair(value: Value) -> tuple[Any, Any]:
    """Give a value at the example and at the baseline."""
    return value.points[0], value.points[-1]


def _multiplier(change: jax.Array, by: jax.Array, slope: jax.Array, epsilon: float) -> jax.Array:
    """Divide a change by what made it, where that is not too small."""
    small = jnp.abs(by) < epsilon
    return jnp.where(small, slope, change / jnp.where(small, jnp.ones_like(by), by))


def _rescale(node: Node, given: list[Any], epsilon: float) -> list[tuple[Value, jax.Array]]:
    """Give the whole change to the one value that made it, through whatever operations."""
    (out,), source = given, node.source
    assert source is not None
    before, after = (jnp.subtract(*_pair(value)) for value in (source, node.outputs[0]))
    small = jnp.abs(before) < epsilon
    rescaled = _multiplier(after, before, jnp.zeros_like(before), epsilon) * out
    # Where the change is too small, what came in goes the ordinary way, operation by operation.
    return [(source, rescaled), *derivative(node, [jnp.where(small, out, jnp.zeros_like(out))])]


def _at_the_means(node: Node, given: list[Any]) -> list[tuple[Value, jax.Array]]:
    """Differentiate a product at the middle of both points."""
    means = [(a + b) / 2 for a, b in map(_pair, node.inputs)]
    return derivative(node, given, means)


def _quotient(node: Node, given: list[Any]) -> list[tuple[Value, jax.Array]]:
    """Take a quotient as the product with an inverse, whose change is Δ(1/w) = -Δw / (w w')."""
    above, below = node.inputs
    (z, z0), (w, w0), (out,) = _pair(above), _pair(below), given
    shares = [(above, out * 0.5 * (1 / w + 1 / w0)), (below, -out * 0.5 * (z + z0) / (w * w0))]
    return [(value, fit(share, value)) for value, share in shares if value.carries]


def _largest(node: Node, given: list[Any], epsilon: float) -> list[tuple[Value, jax.Array]]:
    """Pass on what a maximum rose by to the example's places, what it fell by to the baseline's."""
    (out,) = given
    high, low = _pair(node.outputs[0])
    top = jnp.maximum(high, low)
    rise = derivative(node, [out * (top - low)])
    fall = derivative(node, [out * (high - top)], [value.points[-1] for value in node.inputs])
    slopes = derivative(node, given)
    shares = []
    for (value, up), (_, down), (_, slope) in zip(rise, fall, slopes, strict=True):
        by = jnp.subtract(*_pair(value))
        shares.append((value, _multiplier(up + down, by, slope, epsilon)))
    return shares
