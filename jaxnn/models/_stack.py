"""Blocks one after the other: what all transformers share, whatever their inputs are."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import meta
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Num

from jaxnn._check import require, require_array, require_positive
from jaxnn.layers.normalization import LayerNorm

Factory = Callable[..., nn.Module]
# What blocks keep; under ``scan`` with one more leading axis, over the depth.
COLLECTIONS = ("params", "cache", "memory", "intermediates", "losses")


class TransformerStack(nn.Module):
    """Vectors to vectors: blocks, and a normalisation after the last.

    It reads tokens, patches, the fields of a table's row or the members of a set alike, once
    they are vectors. Submodules are ``blocks_0`` ... and ``norm``.

    Attributes:
      depth: number of blocks.
      block: factory of the blocks, called as ``block(name=..., dtype=..., param_dtype=...)``,
        e.g. a partial of :class:`TransformerBlock`; or several, used in turn.
      is_causal: whether a vector sees only itself and those before it.
      position_bias: called as ``position_bias(query_positions, key_positions)``, a function or a
        module; the result is the attention functions' ``bias``.
      norm: factory of the last normalisation; ``None`` for none.
      scan: whether the blocks, all alike, run in one ``lax.scan``, which compiles one block
        whatever the depth; their parameters are then stacked, in ``blocks``, as
        :func:`stack_blocks` does.
      remat: whether the blocks' inner values are computed again for the gradient and not kept;
        a policy of ``jax.checkpoint_policies`` says which are.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    depth: int
    block: Factory | Sequence[Factory]
    is_causal: bool = False
    position_bias: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    norm: Factory | None = LayerNorm
    scan: bool = False
    remat: bool | Callable[..., Any] = False
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        context: Float[Array, "*batch keys context_features"] | None = None,
        *,
        valid: Bool[Array, "*batch time"] | None = None,
        context_valid: Bool[Array, "*batch keys"] | None = None,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch time features"]:
        """Map ``(*batch, time, features)`` to the same shape.

        ``valid`` is False for padding, which nothing attends to; ``context_valid`` likewise for
        the context that blocks with a ``cross`` part read. ``positions``, ``(time,)`` or
        ``(*batch, time)``, count from 0 if ``None``. ``deterministic=None`` drops units exactly
        when a ``dropout`` key was given.
        """
        require_array("TransformerStack", x=x)
        positions, key_positions = place(self, x.shape[:-1], valid, positions)
        return run_blocks(
            self,
            self.block,
            self.norm,
            x,
            context,
            valid=valid,
            context_valid=context_valid,
            bias=make_bias(self.position_bias, positions, key_positions),
            is_causal=self.is_causal,
            positions=positions,
            deterministic=deterministic,
        )


def make_bias(position_bias: Any, positions: jax.Array, key_positions: jax.Array) -> Any:
    """Call ``position_bias``, a function or a bound module, if there is one."""
    return None if position_bias is None else position_bias(positions, key_positions)


def place(
    module: nn.Module,
    shape: tuple[int, ...],
    valid: jax.Array | None,
    positions: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Give the positions of the inputs and those of all keys that they may attend to.

    Without a cache both count from 0, or are those given. With one (see
    :class:`~jaxnn.layers.attention.MultiHeadAttention`), positions count the valid inputs of
    each row over all calls, and are remembered.
    """
    time = shape[-1]
    stack: Any = module
    caching = module.is_mutable_collection("cache") and not module.is_initializing()
    if not (caching and stack.is_causal):
        positions = jnp.arange(time) if positions is None else positions
        return positions, positions
    empty = not module.has_variable("cache", "positions")
    count = module.variable("cache", "count", jnp.zeros, shape[:-1], jnp.int32)
    index = module.variable("cache", "index", jnp.zeros, (), jnp.int32)
    places = module.variable("cache", "positions", jnp.zeros, shape, jnp.int32)
    real = jnp.ones(shape, bool) if valid is None else valid
    counted = jnp.cumsum(real, axis=-1, dtype=jnp.int32)
    if positions is None:
        before = jnp.broadcast_to(count.value[..., None], shape)
        positions = jnp.maximum(before + counted - 1, 0)
    positions = jnp.broadcast_to(positions, shape)
    if empty:
        return positions, positions
    room, where = places.value.shape[-1], type(module).__name__
    require(time <= room, where, "input", positions, f"at most {room} steps, the cache's room")
    places.value = jax.lax.dynamic_update_slice_in_dim(
        places.value, positions.astype(jnp.int32), index.value, axis=len(shape) - 1
    )
    count.value = count.value + counted[..., -1]
    index.value = index.value + time
    return positions, places.value


def run_blocks(
    module: nn.Module,
    block: Factory | Sequence[Factory],
    norm: Factory | None,
    x: jax.Array,
    context: jax.Array | None = None,
    *,
    valid: jax.Array | None = None,
    context_valid: jax.Array | None = None,
    bias: jax.Array | None = None,
    is_causal: bool = False,
    positions: jax.Array | None = None,
    deterministic: bool | None = None,
) -> jax.Array:
    """Run the blocks and the last normalisation inside the compact method of ``module``.

    Depth, ``scan``, ``remat`` and the dtypes are the fields of ``module``.
    """
    stack: Any = module
    where = type(module).__name__
    require_positive(where, depth=stack.depth)
    said = {
        "mask": None if valid is None else valid[..., None, None, :],
        "bias": bias,
        "is_causal": is_causal,
        "positions": positions,
        "deterministic": deterministic,
    }
    if context is not None or context_valid is not None:
        mask = None if context_valid is None else context_valid[..., None, None, :]
        said |= {"context": context, "context_mask": mask}
    options = {"dtype": stack.dtype, "param_dtype": stack.param_dtype}
    factories = (block,) if callable(block) else tuple(block)
    require(bool(factories), where, "block", block, "at least one factory")

    def run(block, x):
        return block(x, **said)

    if stack.remat:
        policy: Any = stack.remat if callable(stack.remat) else None
        run = nn.remat(run, policy=policy, prevent_cse=not stack.scan)
    if stack.scan:
        require(len(factories) == 1, where, "block", block, "one factory, as `scan` is True")
        every = nn.scan(
            lambda block, x, _: (run(block, x), None),
            variable_axes=dict.fromkeys(COLLECTIONS, 0),
            split_rngs={"params": True, "dropout": True},
            length=stack.depth,
        )
        x, _ = every(factories[0](name="blocks", **options), x, None)
    else:
        for i in range(stack.depth):
            x = run(factories[i % len(factories)](name=f"blocks_{i}", **options), x)
    if norm is not None:
        last: Any = norm(name="norm", **options)
        x = last(x)
    return x


def stack_blocks(params: Any) -> dict[str, Any]:
    """Turn the parameters of ``blocks_0`` ... into those of a model with ``scan=True``.

    Args:
      params: parameters of a transformer whose blocks are alike.

    Returns:
      The same, with ``blocks`` in place of ``blocks_0`` ..., each array with one more leading
      axis, over the depth.

    Raises:
      ValueError: there are no ``blocks_0`` ..., or their shapes differ.
    """
    params = dict(meta.unbox(params))
    names = [name for name in params if name.startswith("blocks_")]
    require(bool(names), "stack_blocks", "params", sorted(params), "blocks_0, blocks_1 ...")
    blocks = [params.pop(f"blocks_{i}") for i in range(len(names))]
    shapes = [jax.tree.map(jnp.shape, block) for block in blocks]
    for i, shape in enumerate(shapes):
        require(shape == shapes[0], "stack_blocks", f"blocks_{i}", shape, "shapes as of blocks_0")
    return {**params, "blocks": jax.tree.map(lambda *each: jnp.stack(each), *blocks)}


def unstack_blocks(params: Any) -> dict[str, Any]:
    """Turn the parameters of a model with ``scan=True`` into ``blocks_0`` ...

    Args:
      params: parameters as :func:`stack_blocks` returns them.

    Returns:
      The same, with ``blocks_0`` ... in place of ``blocks``.

    Raises:
      ValueError: there is no ``blocks``.
    """
    params = dict(meta.unbox(params))
    require("blocks" in params, "unstack_blocks", "params", sorted(params), "an entry `blocks`")
    blocks = params.pop("blocks")
    depth = jax.tree.leaves(blocks)[0].shape[0]
    each = {f"blocks_{i}": jax.tree.map(lambda x, i=i: x[i], blocks) for i in range(depth)}
    return {**params, **each}
