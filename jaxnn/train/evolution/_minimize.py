"""Run a strategy: the population vmapped, the generations one scan."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxnn._check import require_count, require_key
from jaxnn.train.evolution._strategy import Strategy


def minimize(
    strategy: Strategy,
    loss: Callable[[PyTree], jax.Array],
    params: PyTree,
    *,
    key: jax.Array,
    generations: int,
    batch_size: int | None = None,
) -> tuple[Any, dict[str, jax.Array]]:
    """Evolve parameters for some generations.

    Args:
      strategy: such as ``cma_es()``.
      loss: of one pytree of parameters; need not be differentiable.
      params: where to start.
      key: random key; generation ``g`` uses ``fold_in(key, g)``.
      generations: how many.
      batch_size: evaluate so many of the population at once, to save memory; all if ``None``.

    Returns:
      The strategy's last state, whose ``best`` has been evaluated with the least loss so far,
      and by generation the ``loss`` of the best member and the ``mean`` of the population.

    Raises:
      TypeError: ``key`` is not a random key.
      ValueError: ``generations`` or ``batch_size`` is below 1.

    Example:
      >>> sphere = lambda x: jnp.sum((x - 3.0) ** 2)
      >>> run = minimize(
      ...     cma_es(), sphere, jnp.zeros(2), key=jax.random.key(0), generations=60
      ... )
      >>> run[0].best.round(2).tolist()
      [3.0, 3.0]
    """
    require_key("minimize", key)
    require_count("minimize", generations=generations)
    if batch_size is not None:
        require_count("minimize", batch_size=batch_size)

    def generation(state: Any, number: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        population = strategy.ask(state, jax.random.fold_in(key, number))
        if batch_size is None:
            losses = jax.vmap(loss)(population)
        else:
            losses = jax.lax.map(loss, population, batch_size=batch_size)
        state = strategy.tell(state, population, losses)
        return state, {"loss": jnp.nanmin(losses), "mean": jnp.nanmean(losses)}

    return jax.lax.scan(generation, strategy.init(params), jnp.arange(generations))
