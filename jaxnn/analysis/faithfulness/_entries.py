"""What the measures share: attributions beside an example, ranks, correlations, distances."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype, root, unit_vectors
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


def correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    """Pearson's correlation of two vectors; zero if one is constant."""
    wide = accumulation_dtype(jnp.promote_types(a.dtype, b.dtype))
    a, b = (v.astype(wide) for v in (a, b))
    return jnp.sum(unit_vectors(a - a.mean()) * unit_vectors(b - b.mean()))


def length(x: jax.Array) -> jax.Array:
    """Euclidean length in float32 or wider; zero has the gradient zero."""
    x = x.astype(accumulation_dtype(x.dtype))
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), initial=0)
    return size * root(jnp.sum((x / jnp.where(size > 0, size, 1)) ** 2))


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
