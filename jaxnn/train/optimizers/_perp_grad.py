r"""The part of each gradient that does not merely scale the weights.

==========  =========================================
θ           one parameter tensor, seen as one vector
g           its gradient
==========  =========================================

Where outputs grow with the weights and all examples are fitted, growing the weights along
themselves lowers the cross-entropy while no prediction changes. With that direction taken out of
the gradient, what is left must change predictions.

Source: "Grokking at the Edge of Numerical Stability" (2025).
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def perp_grad() -> optax.GradientTransformation:
    r"""Remove from each gradient its component along its parameters.

    .. math:: g_\perp = g - \frac{\langle \theta, g \rangle}{\langle \theta, \theta \rangle} \theta

    Put it first: ``optax.chain(perp_grad(), optax.adam(1e-3))``. Each tensor is projected by
    itself; parameters that are all zero have no direction, and their gradient is left as it is.
    A tensor with one entry has no other direction, so its gradient becomes zero: give biases and
    scales of one entry to another transformation, by ``optax.masked`` or ``optax.partition``.

    Returns:
      A transformation without a state whose ``update`` needs ``params``.

    Raises:
      TypeError: (from ``update``) a gradient or parameter is not an array of floating-point
        numbers.
      ValueError: (from ``update``) ``params`` is missing, or a shape differs from its gradient's.

    Differs: the authors' code also scales the result to the length of g.

    Example:
      >>> tx = perp_grad()
      >>> params = {"kernel": jnp.array([2.0, 0.0])}
      >>> updates, _ = tx.update({"kernel": jnp.array([3.0, 1.0])}, tx.init(params), params)
      >>> updates["kernel"].tolist()
      [0.0, 1.0]
    """

    def init(params: PyTree) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, optax.EmptyState]:
        require(
            params is not None,
            "perp_grad",
            "params",
            params,
            "the parameters whose gradients the updates are",
            "Call tx.update(updates, state, params).",
        )
        return jax.tree.map(_perpendicular, updates, params), state

    return optax.GradientTransformation(init, update)


def _perpendicular(gradient: jax.Array, theta: jax.Array) -> jax.Array:
    require_array("perp_grad", updates=gradient, params=theta)
    needs = f"shape {gradient.shape}, that of its update"
    require(gradient.shape == theta.shape, "perp_grad", "params", theta, needs)
    wide = accumulation_dtype(gradient.dtype)
    direction, g = theta.astype(wide), gradient.astype(wide)
    # Scaled first: only the direction matters, and squares of large numbers are infinite.
    largest = jnp.max(jnp.abs(direction), initial=0)
    direction = direction / jnp.where(largest == 0, 1, largest)
    along, square = jnp.sum(direction * g), jnp.sum(direction * direction)
    return (g - along / jnp.where(square == 0, 1, square) * direction).astype(gradient.dtype)
