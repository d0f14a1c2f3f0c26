"""The cache that a causal model reads on from: made empty, and its rows picked."""

from typing import Any

import jax
import jax.numpy as jnp
from flax.typing import Dtype

from jaxnn._check import require, require_count
from jaxnn.models.generation._read import combine, partition

# What grows with the length; sums and states are left in the dtype their updates have.
CAST = frozenset({"cached_key", "cached_value", "context_key", "context_value"})


def init_cache(
    model: Any,
    variables: Any,
    batch: int,
    length: int,
    *,
    dtype: Dtype | None = None,
    **inputs: Any,
) -> Any:
    """Make an empty cache for a causal model of tokens; nothing is computed.

    Reading on is ``logits, state = model.apply({**variables, "cache": cache}, tokens,
    mutable=["cache"])``, and the next cache ``state["cache"]``.

    Args:
      model: linen module from tokens ``(batch, time)`` to logits, whose layers keep what they
        have read in the collection ``cache``, as :class:`~jaxnn.models.Transformer` does.
      variables: its variables, or their shapes.
      batch: number of sequences.
      length: steps there is room for.
      dtype: of the keys and values kept; that of the computation if ``None``.
      inputs: further keyword arguments of the model.

    Returns:
      The collection ``cache``, a pytree of zeros.

    Raises:
      ValueError: ``batch`` or ``length`` is not above 0, or the model keeps no cache.

    Example:
      >>> model = Transformer(vocabulary=8)
      >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))
      >>> cache = init_cache(model, variables, 2, 16)
      >>> cache["blocks_0"]["attention"]["cached_key"].shape
      (2, 16, 4, 16)
    """
    where = "init_cache"
    require_count(where, batch=batch, length=length)
    tokens = jax.ShapeDtypeStruct((batch, length), jnp.int32)

    plain = {name: x for name, x in variables.items() if name != "cache"}

    def first(variables: Any, tokens: jax.Array) -> Any:
        return model.apply(variables, tokens, mutable=["cache"], **inputs)[1]

    state = jax.eval_shape(first, plain, tokens)
    require(
        bool(jax.tree.leaves(state)),
        where,
        "model",
        type(model).__name__,
        "layers that keep a cache",
        "Is it causal?",
    )

    def empty(path: Any, x: Any) -> jax.Array:
        name = getattr(path[-1], "key", None)
        return jnp.zeros(x.shape, x.dtype if dtype is None or name not in CAST else dtype)

    return jax.tree_util.tree_map_with_path(empty, state["cache"])


def batch_axes(model: Any, variables: Any, batch: int, length: int, inputs: Any) -> Any:
    """Find the axis over sequences of each leaf of a cache, the one that grows with them.

    -1 where there is none. Arrays among ``inputs`` whose first axis is ``batch`` grow too.
    """
    data, fixed, structure = partition(inputs)

    def shapes(factor: int) -> Any:
        rows = factor * batch
        tokens = jax.ShapeDtypeStruct((rows, length), jnp.int32)

        def first(variables: Any, tokens: jax.Array, data: Any) -> Any:
            more = combine(data, fixed, structure)
            return model.apply(variables, tokens, mutable=["cache"], **more)[1]["cache"]

        grown = jax.tree.map(lambda x: _grow(jnp.asarray(x), batch, rows), data)
        return jax.eval_shape(first, variables, tokens, grown)

    def axis(a: Any, b: Any) -> int:
        found = [i for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)) if m != n]
        return found[0] if found else -1

    return jax.tree.map(axis, shapes(1), shapes(2))


def _grow(x: jax.Array, batch: int, rows: int) -> jax.ShapeDtypeStruct:
    own = x.ndim > 0 and x.shape[0] == batch
    return jax.ShapeDtypeStruct((rows, *x.shape[1:]) if own else x.shape, x.dtype)


def repeat_rows(tree: Any, batch: int, times: int) -> Any:
    """Repeat each sequence of the arrays that have ``batch`` of them."""

    def repeat(x: Any) -> Any:
        own = isinstance(x, jax.Array) and x.ndim > 0 and x.shape[0] == batch
        return jnp.repeat(x, times, axis=0) if own else x

    return jax.tree.map(repeat, tree)


def pick_rows(cache: Any, axes: Any, rows: jax.Array) -> Any:
    """Gather sequences from every leaf that has an axis over them."""

    def pick(leaf: jax.Array, axis: int) -> jax.Array:
        return leaf if axis < 0 else jnp.take(leaf, rows, axis=axis, mode="clip")

    return jax.tree.map(pick, cache, axes)
