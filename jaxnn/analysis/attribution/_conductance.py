r"""Attribution to hidden units along the straight line from a baseline.

The network is given as two functions of one example, before and after a layer; of a linen
model, ``activations.cut`` makes them. What needs only one of them is a method of this family
applied to it:

=============================  ============================================================
gradient of a unit             ``gradient(lambda x: before(x)[unit], x)``
integrated gradients of it     ``integrated_gradients(lambda x: before(x)[unit], x)``
layer gradient x activation    ``input_x_gradient(lambda h: after(h, x), before(x))``
layer integrated gradients     ``integrated_gradients(lambda h: after(h, x), before(x), before(b))``
conductance of a unit, by      ``integrated_gradients(through(before, after, unit), x)``
entries of the example
=============================  ============================================================

Source: "How Important Is a Neuron?" (2018), equations 2 and 3; "Influence-Directed Explanations
for Deep Convolutional Networks" (2018), definition 1 with the uniform distribution on the line.

=======  ====================================================
h        ``before``, from an example to the layer's value
g        ``after``, from the layer's value, and the example, to one number
x, x'    the example and ``baseline``, any shape
j        a unit, one entry of the layer's value
γ(α)     x' + α (x - x')
=======  ====================================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_sum, fill, scalar
from jaxnn.analysis.attribution._integrated_gradients import Method, quadrature


def conductance(
    before: Callable[[jax.Array], jax.Array],
    after: Callable[[jax.Array, jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    baseline: Float[Array, "*shape"] | float | int | None = None,
    *,
    steps: int = 50,
    method: Method = "gausslegendre",
    batch_size: int | None = None,
) -> Float[Array, "..."]:
    r"""Attribute to the units of a layer by conductance.

    .. math:: a_j = \int_0^1 \frac{\partial g(h(γ(α)))}{\partial h_j}
       \, \frac{d h_j(γ(α))}{d α} \, dα

    Args:
      before: h, one example to the layer's value.
      after: g, called as ``after(value, x)``, to one number.
      x: the example.
      baseline: x', an array like ``x`` or a number; zeros if ``None``.
      steps: points of the quadrature.
      method: the quadrature, as in :func:`integrated_gradients`.
      batch_size: points held at once; ``None`` takes 5.

    Returns:
      An array like ``before(x)``. Where no path leads around the layer, its sum approximates
      the change in output from the baseline to the example.

    Raises:
      TypeError: ``x``, ``baseline`` or a value of the functions is not an array of floats.
      ValueError: ``after`` returns more than one number; shapes disagree; or ``steps`` is too
        small.

    Differs: captum takes the differences of the layer's value between neighbouring points for
    the derivative, which is exact here; its sums come close at first order in ``steps`` only.

    Example:
      >>> before, after = lambda x: x**2, lambda h, x: h[0] + 3 * h[1]
      >>> conductance(before, after, jnp.array([1.0, 2.0])).round(4).tolist()
      [1.0, 12.0]
    """
    where = "conductance"

    def at(point: jax.Array, path: jax.Array) -> jax.Array:
        value, change = jax.jvp(before, (point,), (path,))
        return jax.grad(scalar(where, lambda h: after(h, point)))(value) * change

    return _along(at, where, before, x, baseline, method, steps, batch_size)


def internal_influence(
    before: Callable[[jax.Array], jax.Array],
    after: Callable[[jax.Array, jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    baseline: Float[Array, "*shape"] | float | int | None = None,
    *,
    steps: int = 50,
    method: Method = "gausslegendre",
    batch_size: int | None = None,
) -> Float[Array, "..."]:
    r"""Measure the mean slope of the output in each unit of a layer, along the line.

    .. math:: a_j = \int_0^1 \frac{\partial g(h(γ(α)))}{\partial h_j} \, dα

    Arguments and errors are those of :func:`conductance`.

    Returns:
      An array like ``before(x)``.

    Example:
      >>> before, after = lambda x: x**2, lambda h, x: h[0] + 3 * h[1]
      >>> internal_influence(before, after, jnp.array([1.0, 2.0])).round(4).tolist()
      [1.0, 3.0]
    """
    where = "internal_influence"

    def at(point: jax.Array, path: jax.Array) -> jax.Array:
        return jax.grad(scalar(where, lambda h: after(h, point)))(before(point))

    return _along(at, where, before, x, baseline, method, steps, batch_size)


def through(
    before: Callable[[jax.Array], jax.Array],
    after: Callable[[jax.Array, jax.Array], jax.Array],
    unit: Any,
) -> Callable[[jax.Array], jax.Array]:
    r"""Make the network whose gradient flows through chosen units of a layer alone.

    .. math:: \nabla_x = \sum_{j} \frac{\partial g}{\partial h_j} \nabla_x h_j(x)
       \quad \text{over the units chosen}

    Its values are those of the network. ``integrated_gradients`` of it is the conductance of
    the units, split by the entries of the example; over all single units of a layer that no
    path leads around, these add up to the integrated gradients of the network.

    Args:
      before: one example to the layer's value.
      after: called as ``after(value, x)``, to one number.
      unit: the units: any index of the layer's value, e.g. ``3``, ``(0, 2, 7)`` or a mask.

    Returns:
      A function from one example to what ``after`` returns.

    Raises:
      TypeError: the layer's value is not an array of floats (when called).

    Example:
      >>> f = through(lambda x: x**2, lambda h, x: h[0] + 3 * h[1], 1)
      >>> jax.grad(f)(jnp.array([1.0, 2.0])).tolist()
      [0.0, 12.0]
    """

    def passing(x: jax.Array) -> jax.Array:
        value = before(x)
        require_array("through", floating=True, **{"before(x)": value})
        chosen = jnp.zeros(value.shape, bool).at[unit].set(True)
        value = jnp.where(chosen, value, jax.lax.stop_gradient(value))
        return after(value, jax.lax.stop_gradient(x))

    return passing


def _along(
    at: Callable[[jax.Array, jax.Array], jax.Array],
    where: str,
    before: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    baseline: jax.Array | float | None,
    method: str,
    steps: int,
    batch_size: int | None,
) -> jax.Array:
    """Integrate ``at(point, path)``, of the shape of the layer, from the baseline to ``x``."""
    require_array(where, x=x)
    start = fill(where, x, baseline)
    value = before(x)
    require_array(where, floating=True, **{"before(x)": value})
    points, weights = quadrature(where, method, steps)
    wide = accumulation_dtype(x.dtype)
    origin, path = start.astype(wide), x.astype(wide) - start.astype(wide)

    def slope_at(point: jax.Array) -> jax.Array:
        return at((origin + point * path).astype(x.dtype), path.astype(x.dtype))

    total = chunked_sum(where, slope_at, points, weights, value, batch_size)
    return total.astype(value.dtype)
