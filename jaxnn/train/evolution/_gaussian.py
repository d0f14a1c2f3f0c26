r"""The plain evolution strategy: Gaussian mutants of the best parents, with elitism.

.. math:: x_k = p_{k \bmod \mu} + \sigma z_k, \quad z_k \sim N(0, I), \qquad
    P' = \text{best } \mu \text{ of } P \cup \{x_k\}, \quad \sigma' = \gamma \sigma

Source: "Evolution strategies: A comprehensive introduction" (2002), the (μ + λ) strategy.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxnn._check import require_count, require_positive
from jaxnn.train.evolution._strategy import (
    Strategy,
    require_losses,
    require_params,
    to_tree,
    to_vector,
    to_vectors,
)


class GaussianState(NamedTuple):
    """State of :func:`gaussian_es`.

    Attributes:
      best: the parameters with the least loss so far, a pytree.
      best_loss: their loss.
      parents: ``(parents, n)``.
      losses: of the parents, infinite where none was told.
      sigma: size of the next mutations.
    """

    best: PyTree
    best_loss: jax.Array
    parents: jax.Array
    losses: jax.Array
    sigma: jax.Array


def gaussian_es(
    population: int = 64, *, parents: int = 8, sigma: float = 0.1, sigma_decay: float = 1.0
) -> Strategy:
    """Mutate the best so far; keep the best of them and of their children.

    Args:
      population: λ, children a generation.
      parents: μ, kept from generation to generation.
      sigma: standard deviation of the mutations.
      sigma_decay: γ, its factor from generation to generation.

    Returns:
      The strategy; its state is a :class:`GaussianState`.

    Raises:
      ValueError: a count or a size is not above zero.
    """
    where = "gaussian_es"
    require_count(where, population=population, parents=parents)
    require_positive(where, sigma=sigma, sigma_decay=sigma_decay)

    def init(params: PyTree) -> GaussianState:
        require_params(where, params)
        start = to_vector(params)
        return GaussianState(
            best=params,
            best_loss=jnp.asarray(jnp.inf),
            parents=jnp.tile(start, (parents, 1)),
            losses=jnp.full(parents, jnp.inf),
            sigma=jnp.asarray(sigma),
        )

    def ask(state: GaussianState, key: jax.Array) -> PyTree:
        base = state.parents[jnp.arange(population) % parents]
        noise = jax.random.normal(key, base.shape)
        return to_tree(base + state.sigma * noise, state.best)

    def tell(state: GaussianState, candidates: PyTree, losses: jax.Array) -> Any:
        require_losses(where, losses, population)
        pool = jnp.concatenate([state.parents, to_vectors(candidates)])
        worth = jnp.concatenate([state.losses, jnp.where(jnp.isnan(losses), jnp.inf, losses)])
        order = jnp.argsort(worth)[:parents]
        return GaussianState(
            best=to_tree(pool[order[0]], state.best),
            best_loss=worth[order[0]],
            parents=pool[order],
            losses=worth[order],
            sigma=state.sigma * sigma_decay,
        )

    return Strategy(init, ask, tell)
