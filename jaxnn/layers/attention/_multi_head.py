r"""Multi-head attention: projections to queries, keys and values around an attention function.

Sources: "Attention Is All You Need" (2017), section 3.2.2; normalised queries and keys from
"Scaling Vision Transformers to 22 Billion Parameters" (2023); the gate from "Gated Attention
for Large Language Models: Non-linearity, Sparsity, and Attention-Sink-Free" (2025), position G1.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Bool, Float, Num

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn.layers.attention._dot_product import dot_product_attention
from jaxnn.layers.attention._recurrent import PlacedAttention, RecurrentAttention
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.normalization import LayerNorm


class MultiHeadAttention(nn.Module):
    """Attend from a sequence to itself, or to another, with several heads.

    Submodules ``query``, ``key``, ``value`` and ``out`` are the projections, whose kernels are
    those of ``flax.linen.MultiHeadDotProductAttention`` with heads and head width in one axis;
    ``query_norm`` and ``key_norm`` are there if queries and keys are normalised, ``gate`` if
    the outputs are gated.

    When the collection ``intermediates`` is mutable and the attention function takes
    ``return_weights``, the weights are sown there as ``attention_weights``, ``(*batch, heads,
    queries, keys)``; otherwise nothing is computed for it.

    A causal sequence can be read in pieces, as in generation, while the collection ``cache`` is
    mutable. The first call finds no cache and makes an empty one, with room for as many steps
    as its input has; each later call reads on from where the last one ended. A cache must not be
    given more steps than it has room for: the place is a traced number and cannot be checked.
    Keys and values are kept, as ``cached_key`` and ``cached_value``, ``(*batch, room, key_heads,
    width)``; an attention with a recurrent form (one that has ``initial_state`` and ``extend``)
    keeps that form's state instead. Of a ``context``, keys and values are kept when it is given, so
    that later calls leave it out.

    Attributes:
      num_heads: number of query heads.
      qkv_features: width of all query heads together; the input's if ``None``.
      features: output width; the input's if ``None``.
      attention: called as ``attention(query, key, value, mask=, bias=, is_causal=)`` on
        ``(*batch, time, heads, width)``.
      num_key_value_heads: heads of keys and values, a divisor of ``num_heads``; as many as
        query heads if ``None``, one makes it multi-query attention.
      rotary: turns queries and keys, called as ``rotary(x, positions)``, e.g.
        :func:`jaxnn.layers.position.rotary_embedding`.
      normalize_qk: whether to normalise queries and keys: ``"head"``, or ``True``, each head's
        alone, ``"all"`` all heads' together, as OLMo 2 does.
      qk_norm: factory of these normalisations, called as ``qk_norm(name=..., dtype=...,
        param_dtype=...)``.
      scale: of the logits, passed to ``attention`` if not ``None``.
      window: how many keys back a query sees, itself counted; passed to ``attention`` if not
        ``None``.
      gate: whether each output is multiplied by a sigmoid of a linear map of ``x``: one for
        each ``"head"`` or for each ``"element"``.
      gate_bias: what the gate's bias starts at; the sigmoid of it is the share let through.
      dropout_rate: share of the weights dropped when a ``dropout`` key is given; ``attention``
        must then take ``dropout_rate`` and ``dropout_key``.
      dense: factory of the projections, called as ``dense(features, name=..., ...)``.
      use_bias: whether the projections have biases.
      use_out_bias: whether the last projection has one; as ``use_bias`` if ``None``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int
    qkv_features: int | None = None
    features: int | None = None
    attention: Callable[..., Any] = dot_product_attention
    num_key_value_heads: int | None = None
    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    normalize_qk: bool | Literal["head", "all"] = False
    qk_norm: Callable[..., nn.Module] = functools.partial(LayerNorm, use_bias=False)
    scale: float | None = None
    window: int | None = None
    gate: Literal["head", "element"] | None = None
    gate_bias: float = 0.0
    dropout_rate: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    use_bias: bool = True
    use_out_bias: bool | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch queries features"],
        context: Float[Array, "*batch keys context_features"] | None = None,
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch queries outputs"]:
        """Map ``(*batch, queries, inputs)`` to ``(*batch, queries, features)``.

        Keys and values come from ``context``, or from ``x`` itself if ``None``. ``positions``
        of ``x``, for ``rotary``, count from 0 if ``None``; those of ``context`` always do.
        ``deterministic=None`` drops weights exactly when a ``dropout`` key was given.

        With a cache, ``mask`` is that of the keys of ``x``, ``(*batch, 1, 1, queries)``, and is
        remembered with them; ``bias`` covers all keys the cache has room for.
        """
        where = type(self).__name__
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        width, key_heads = self._widths(where, x)
        caching = self.is_mutable_collection("cache") and not self.is_initializing()
        steps = jnp.arange(x.shape[-2]) if positions is None else positions
        query = self._project("query", x, self.num_heads, width)
        if self.normalize_qk:
            query = self._normalize("query_norm", query)
        query = self._prepare("query", query, x, steps)
        if self.rotary is not None:
            query = self.rotary(query, steps)
        if context is None and self.has_variable("cache", "context_key"):
            key = self.get_variable("cache", "context_key")
            value = self.get_variable("cache", "context_value")
        else:
            source = x if context is None else context
            require_array(where, context=source)
            require(
                source.ndim == x.ndim and source.shape[:-2] == x.shape[:-2],
                where,
                "context",
                source,
                f"shape {(*x.shape[:-2], 'keys', 'features')}, as `x` is {x.shape}",
            )
            key = self._project("key", source, key_heads, width)
            value = self._project("value", source, key_heads, width)
            places = steps if context is None else jnp.arange(source.shape[-2])
            if self.normalize_qk:
                key = self._normalize("key_norm", key)
            key = self._prepare("key", key, source, places)
            value = self._prepare("value", value, source, places)
            if self.rotary is not None:
                key = self.rotary(key, places)
            if caching and context is not None:
                self.put_variable("cache", "context_key", key)
                self.put_variable("cache", "context_value", value)
        options: dict[str, Any] = {"mask": mask, "bias": bias, "is_causal": is_causal}
        if self.scale is not None:
            options["scale"] = self.scale
        if self.window is not None:
            options["window"] = self.window
        if caching and context is None and is_causal:
            y = self._read_on(query, key, value, options)
        else:
            y = self._attend(query, key, value, options, deterministic)
        if self.gate is not None:
            y = y * self._gate(x, y)
        y = y.reshape(*y.shape[:-2], -1)
        out_bias = self.use_bias if self.use_out_bias is None else self.use_out_bias
        return self._dense(self.features or x.shape[-1], "out", use_bias=out_bias)(y)

    def _widths(self, where: str, x: jax.Array) -> tuple[int, int]:
        """Give the width of a head and the number of key heads."""
        require_positive(where, num_heads=self.num_heads)
        total = self.qkv_features or x.shape[-1]
        width, rest = divmod(total, self.num_heads)
        require(
            rest == 0 and width > 0,
            where,
            "num_heads",
            self.num_heads,
            f"a divisor of the {total} features of all heads",
        )
        key_heads = self.num_key_value_heads or self.num_heads
        require(
            0 < key_heads <= self.num_heads and self.num_heads % key_heads == 0,
            where,
            "num_key_value_heads",
            key_heads,
            f"a divisor of the {self.num_heads} heads",
        )
        return width, key_heads

    def _attend(self, query, key, value, options, deterministic):
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        if self.dropout_rate and not deterministic:
            options["dropout_rate"] = self.dropout_rate
            options["dropout_key"] = self.make_rng("dropout")
        watched = self.is_mutable_collection("intermediates")
        if watched and takes_weights(self.attention):
            y, weights = self.attention(query, key, value, return_weights=True, **options)
            self.sow("intermediates", "attention_weights", weights)
            return y
        return self.attention(query, key, value, **options)

    def _read_on(self, query, key, value, options):
        """Attend to what the cache holds and to these keys, and put them there."""
        where = type(self).__name__
        *batch, steps, key_heads, width = key.shape
        mask = options["mask"]
        if mask is not None:
            require(
                mask.shape[-3:] == (1, 1, steps) and mask.ndim <= query.ndim,
                where,
                "mask",
                mask,
                f"shape {(*batch, 1, 1, steps)}, one for each key of `x`, with a cache",
            )
        valid = jnp.ones((steps,), bool) if mask is None else mask[..., 0, 0, :]
        valid = jnp.broadcast_to(valid, (*batch, steps))
        empty = not self.has_variable("cache", "cache_index")
        index = self.variable("cache", "cache_index", jnp.zeros, (), jnp.int32)
        if isinstance(self.attention, RecurrentAttention):
            attention = self.attention
            sizes = (tuple(batch), key_heads, width, value.shape[-1], query.dtype)
            state = self.variable("cache", "recurrent_state", attention.initial_state, *sizes)
            y, after = attention.extend(state.value, query, key, value, mask=valid)
            if not empty:
                index.value, state.value = index.value + steps, after
            return y
        new = {"key": key, "value": value, "valid": valid}
        past = {
            name: self.variable("cache", f"cached_{name}", jnp.zeros_like, x)
            for name, x in new.items()
        }
        if empty:
            return self._attend(query, key, value, options, True)
        room = past["valid"].value.shape[-1]
        require(steps <= room, where, "x", query, f"at most {room} steps, the room of the cache")
        rows = index.value + jnp.arange(steps)
        for name, axis in (("key", -3), ("value", -3), ("valid", -1)):
            old = past[name].value
            past[name].value = lax.dynamic_update_slice_in_dim(
                old, new[name].astype(old.dtype), index.value, axis=old.ndim + axis
            )
        index.value = index.value + steps
        distance = rows[:, None] - jnp.arange(room)[None]
        seen = distance >= 0
        if self.window is not None:
            seen &= distance < self.window
        shape = (*batch, 1, steps, room)
        mask = jnp.broadcast_to(past["valid"].value[..., None, None, :], shape)
        options = {**options, "mask": mask & jnp.broadcast_to(seen, shape), "is_causal": False}
        options.pop("window", None)
        key, value = (past[name].value.astype(query.dtype) for name in ("key", "value"))
        if isinstance(self.attention, PlacedAttention):
            return self.attention.attend_at(rows, query, key, value, **options)
        return self._attend(query, key, value, options, True)

    def _project(self, name: str, x: jax.Array, heads: int, width: int) -> jax.Array:
        y = self._dense(heads * width, name)(x)
        return y.reshape(*x.shape[:-1], heads, width)

    def _prepare(
        self, name: str, heads: jax.Array, x: jax.Array, positions: jax.Array
    ) -> jax.Array:
        """Change ``query``, ``key`` or ``value``, made of ``x``; for classes derived from this."""
        del name, x, positions
        return heads

    def _normalize(self, name: str, x: jax.Array) -> jax.Array:
        norm: Any = self.qk_norm(name=name, dtype=self.dtype, param_dtype=self.param_dtype)
        if self.normalize_qk == "all":
            return norm(x.reshape(*x.shape[:-2], -1)).reshape(x.shape)
        return norm(x)

    def _gate(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Give what multiplies the heads' outputs ``(*batch, queries, heads, width)``."""
        require(
            self.gate in ("head", "element"),
            "MultiHeadAttention",
            "gate",
            self.gate,
            "'head', 'element' or None",
        )
        heads, width = y.shape[-2], 1 if self.gate == "head" else y.shape[-1]
        start = nn.initializers.constant(self.gate_bias)
        logits = self._dense(heads * width, "gate", use_bias=True, bias_init=start)(x)
        gates = jax.nn.sigmoid(logits.reshape(*y.shape[:-1], width))
        return jnp.broadcast_to(gates, y.shape).astype(y.dtype)

    def _dense(self, features: int, name: str, **options: Any) -> Any:
        return self.dense(
            features,
            name=name,
            **{"use_bias": self.use_bias, **options},
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )


def takes_weights(attention: Callable[..., Any]) -> bool:
    """Say whether an attention function can return its weights."""
    called = type(attention).__call__ if isinstance(attention, nn.Module) else attention
    return "return_weights" in inspect.signature(called).parameters
