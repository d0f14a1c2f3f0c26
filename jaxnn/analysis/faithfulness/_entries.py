"""What the measures share: attributions beside an example, ranks, correlations, distances."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype, unit_vectors
from jaxnn.analysis._function import chunked_map


def check_attributions(where: str, shape: tuple[int, ...], attributions: jax.Array) -> int:
    """Require attributions of an example of that shape; count them."""
    require_array(where, attributions=attributions)
    leading = attributions.shape == shape[: attributions.ndim]
    needs = f"the shape {shape} of `x`, or that of its leading axes"
    require(leading, where, "attributions", attributions, needs)
    return math.prod(attributions.shape)


def beside(attributions: jax.Array, ndim: int) -> jax.Array:
    """Give attributions of the leading axes of an example as many axes as it has."""
    return attributions.reshape(attributions.shape + (1,) * (ndim - attributions.ndim))


def places(attributions: jax.Array) -> jax.Array:
    """Give each entry its place from the largest, 0, on; among equals the earlier goes first."""
    size = math.prod(attributions.shape)
    order = jnp.argsort(-attributions.reshape(size), stable=True)
    place = jnp.zeros(size, jnp.int32).at[order].set(jnp.arange(size, dtype=jnp.int32))
    return place.reshape(attributions.shape)


def mean_ranks(values: jax.Array) -> jax.Array:
    """Rank from 1, the smallest; equals share their mean rank. Flat, float32 or wider."""
    values = jax.lax.stop_gradient(values).reshape(-1)
    ordered = jnp.sort(values)
    below, through = (jnp.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return (below + through + 1).astype(accumulation_dtype(values.dtype)) / 2


def correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    """Pearson's correlation of two vectors; zero if one is constant."""
    wide = accumulation_dtype(jnp.promote_types(a.dtype, b.dtype))
    a, b = (v.astype(wide) for v in (a, b))
    return jnp.sum(unit_vectors(a - a.mean()) * unit_vectors(b - b.mean()))


def length(x: jax.Array) -> jax.Array:
    """Euclidean length in float32 or wider; zero has the gradient zero."""
    x = x.astype(accumulation_dtype(x.dtype))
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), initial=0)
    some = size > 0
    x = x / jnp.where(some, size, 1)
    square = jnp.sum(x**2)
    return jnp.where(some, size * jnp.sqrt(jnp.where(some, square, 1)), 0)


def check_neighbors(where: str, argument: str, x: jax.Array, neighbors: jax.Array) -> None:
    """Require an array of examples like ``x``."""
    require_array(where, floating=True, x=x, **{argument: neighbors})
    require_rank(where, argument, neighbors, 1, "(samples, *shape)")
    needs = f"shape {('samples', *x.shape)}, with one sample at least".replace("'", "")
    ok = neighbors.shape[1:] == x.shape and neighbors.shape[0] > 0
    require(ok, where, argument, neighbors, needs)


def over_neighbors(
    where: str,
    ratio: Callable[[jax.Array, jax.Array], jax.Array],
    explain: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    neighbors: jax.Array,
    batch_size: int | None,
) -> jax.Array:
    """Measure ``ratio(neighbor, explain(neighbor))`` at each neighbor."""
    check_neighbors(where, "neighbors", x, neighbors)
    return chunked_map(where, lambda z: ratio(z, explain(z)), neighbors, batch_size)
