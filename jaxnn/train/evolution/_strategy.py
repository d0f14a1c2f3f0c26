"""What a strategy is, and the way between a pytree and one long vector."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxnn._check import require


class Strategy(NamedTuple):
    """Three pure functions, to be composed as those of an optimiser are.

    Attributes:
      init: ``init(params) -> state``.
      ask: ``ask(state, key) -> population``, a pytree like ``params`` with a first axis.
      tell: ``tell(state, population, losses) -> state``; ``losses`` has one number for each of
        the population, and one that is not a number counts as the worst.
    """

    init: Callable[[PyTree], Any]
    ask: Callable[[Any, jax.Array], PyTree]
    tell: Callable[[Any, PyTree, jax.Array], Any]


def to_vector(tree: PyTree) -> jax.Array:
    """Join the leaves of a pytree into one vector, float32 or wider."""
    leaves = jax.tree.leaves(tree)
    return jnp.concatenate([jnp.ravel(leaf).astype(jnp.float32) for leaf in leaves])


def to_vectors(population: PyTree) -> jax.Array:
    """Join the leaves of a population into one row for each member."""
    return jax.vmap(to_vector)(population)


def to_tree(vector: jax.Array, like: PyTree) -> PyTree:
    """Cut a vector, or the rows of a matrix, into the leaves of a pytree."""
    leaves, form = jax.tree.flatten(like)
    parts, start = [], 0
    for leaf in leaves:
        part = vector[..., start : start + leaf.size]
        parts.append(part.reshape(*vector.shape[:-1], *leaf.shape).astype(leaf.dtype))
        start += leaf.size
    return jax.tree.unflatten(form, parts)


def require_params(where: str, params: PyTree) -> None:
    """Raise ``ValueError`` unless the pytree holds floating-point arrays, one at least."""
    leaves = jax.tree.leaves(params)
    ok = bool(leaves) and all(
        hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves
    )
    require(ok, where, "params", params, "a pytree of floating-point arrays")


def require_losses(where: str, losses: jax.Array, count: int) -> None:
    """Raise ``ValueError`` unless there is one loss for each member of the population."""
    require(losses.shape == (count,), where, "losses", losses, f"shape {(count,)}")
