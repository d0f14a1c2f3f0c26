r"""Multi-head attention: projections to queries, keys and values around an attention function.

Source: "Attention Is All You Need" (2017), section 3.2.2; normalised queries and keys from
"Scaling Vision Transformers to 22 Billion Parameters" (2023).
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Num

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn.layers.attention._dot_product import dot_product_attention
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.normalization import LayerNorm


class MultiHeadAttention(nn.Module):
    """Attend from a sequence to itself, or to another, with several heads.

    Submodules ``query``, ``key``, ``value`` and ``out`` are the projections, whose kernels are
    those of ``flax.linen.MultiHeadDotProductAttention`` with heads and head width in one axis;
    ``query_norm`` and ``key_norm`` are there if queries and keys are normalised.

    When the collection ``intermediates`` is mutable and the attention function takes
    ``return_weights``, the weights are sown there as ``attention_weights``, ``(*batch, heads,
    queries, keys)``; otherwise nothing is computed for it.

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
      normalize_qk: whether to layer-normalise each head's queries and keys.
      dropout_rate: share of the weights dropped when a ``dropout`` key is given; ``attention``
        must then take ``dropout_rate`` and ``dropout_key``.
      dense: factory of the projections, called as ``dense(features, name=..., ...)``.
      use_bias: whether the projections have biases.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int
    qkv_features: int | None = None
    features: int | None = None
    attention: Callable[..., Any] = dot_product_attention
    num_key_value_heads: int | None = None
    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    normalize_qk: bool = False
    dropout_rate: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    use_bias: bool = True
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
        """
        where = "MultiHeadAttention"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        source = x if context is None else context
        require_array(where, context=source)
        require(
            source.ndim == x.ndim and source.shape[:-2] == x.shape[:-2],
            where,
            "context",
            source,
            f"shape {(*x.shape[:-2], 'keys', 'features')}, as `x` is {x.shape}",
        )
        require_positive(where, num_heads=self.num_heads)
        width, rest = divmod(self.qkv_features or x.shape[-1], self.num_heads)
        require(
            rest == 0 and width > 0,
            where,
            "num_heads",
            self.num_heads,
            f"a divisor of the {self.qkv_features or x.shape[-1]} features of all heads",
        )
        key_heads = self.num_key_value_heads or self.num_heads
        require(
            0 < key_heads <= self.num_heads and self.num_heads % key_heads == 0,
            where,
            "num_key_value_heads",
            key_heads,
            f"a divisor of the {self.num_heads} heads",
        )
        query = self._project("query", x, self.num_heads, width)
        key = self._project("key", source, key_heads, width)
        value = self._project("value", source, key_heads, width)
        if self.normalize_qk:
            options = {"use_bias": False, "dtype": self.dtype, "param_dtype": self.param_dtype}
            query = LayerNorm(name="query_norm", **options)(query)
            key = LayerNorm(name="key_norm", **options)(key)
        if self.rotary is not None:
            steps = jnp.arange(x.shape[-2]) if positions is None else positions
            query = self.rotary(query, steps)
            own = context is None
            key = self.rotary(key, steps if own else jnp.arange(source.shape[-2]))
        options = {"mask": mask, "bias": bias, "is_causal": is_causal}
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        if self.dropout_rate and not deterministic:
            options["dropout_rate"] = self.dropout_rate
            options["dropout_key"] = self.make_rng("dropout")
        watched = self.is_mutable_collection("intermediates")
        if watched and "return_weights" in inspect.signature(self.attention).parameters:
            y, weights = self.attention(query, key, value, return_weights=True, **options)
            self.sow("intermediates", "attention_weights", weights)
        else:
            y = self.attention(query, key, value, **options)
        y = y.reshape(*y.shape[:-2], -1)
        return self._dense(self.features or x.shape[-1], "out")(y)

    def _project(self, name: str, x: jax.Array, heads: int, width: int) -> jax.Array:
        return self._dense(heads * width, name)(x).reshape(*x.shape[:-1], heads, width)

    def _dense(self, features: int, name: str) -> Any:
        return self.dense(
            features,
            name=name,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
