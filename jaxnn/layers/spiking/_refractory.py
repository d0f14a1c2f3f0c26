"""Absolute refractoriness for any neuron: after a spike it is held for some steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require


class RefractoryState(NamedTuple):
    """State of a neuron that rests after each spike.

    Attributes:
      inner: the neuron's own state.
      remaining: steps it will still be held, int32, ``(*batch, units)``.
    """

    inner: Any
    remaining: jax.Array


def refractory_init(inner: Any) -> RefractoryState:
    """Make the state of a neuron that has not fired yet.

    Args:
      inner: the neuron's own state, such as ``leaky_init(shape)``.

    Returns:
      The state before the first step.
    """
    shape = jax.tree.leaves(inner)[0].shape
    return RefractoryState(inner, jnp.zeros(shape, jnp.int32))


def refractory(
    step: Callable[..., tuple[Any, jax.Array]], *, steps: int
) -> Callable[..., tuple[RefractoryState, jax.Array]]:
    """Make a step whose units, once they fired, neither fire nor change for some steps.

    Args:
      step: ``step(state, x, *params) -> (state, spikes)``, element-wise over the units.
      steps: how long a unit is held; a unit fires at most every ``steps + 1`` steps.

    Returns:
      A step of the same arguments on :class:`RefractoryState`. Input to a held unit is lost.

    Raises:
      ValueError: ``steps`` is not a whole number of at least 0.

    Example:
      >>> step = refractory(integrate_step, steps=2)
      >>> state = refractory_init(leaky_init((1,)))
      >>> _, spikes = run(step, state, jnp.full((6, 1), 1.5))
      >>> spikes[:, 0].tolist()
      [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    """
    ok = isinstance(steps, int) and steps >= 0
    require(ok, "refractory", "steps", steps, "a whole number of at least 0")

    def held_step(
        state: RefractoryState, x: Float[Array, "*batch units"], *params: Any, **options: Any
    ) -> tuple[RefractoryState, Float[Array, "*batch units"]]:
        free = state.remaining == 0
        inner, spikes = step(state.inner, x, *params, **options)
        inner = jax.tree.map(lambda new, old: jnp.where(free, new, old), inner, state.inner)
        spikes = jnp.where(free, spikes, jnp.zeros_like(spikes))
        waited = jnp.maximum(state.remaining - 1, 0)
        return RefractoryState(inner, jnp.where(spikes > 0, steps, waited)), spikes

    return held_step
