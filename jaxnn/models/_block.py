"""The transformer block: attention and a feed-forward network, each added to what it read.

Sources: "Attention Is All You Need" (2017); where the normalisations stand, from there (``post``),
from "On Layer Normalization in the Transformer Architecture" (2020, ``pre``), from "Gemma 2:
Improving Open Language Models at a Practical Size" (2024, ``sandwich``) and from "2 OLMo 2
Furious" (2024, ``inner``); both parts side by side from "GPT-NeoX-20B: An Open-Source
Autoregressive Language Model" (2022); scaled residuals from "DeepNet: Scaling Transformers to
1,000 Layers" (2022) and "Going deeper with Image Transformers" (2021); skipped parts from "Deep
Networks with Stochastic Depth" (2016).
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Num

from jaxnn._check import require, require_array, require_rank
from jaxnn.layers.attention import MultiHeadAttention, dot_product_attention
from jaxnn.layers.feedforward import Dense, FeedForward
from jaxnn.layers.normalization import LayerNorm

NormOrder = Literal["pre", "post", "sandwich", "inner"]


class TransformerBlock(nn.Module):
    r"""Attention, then a feed-forward network, each added to what it read.

    Submodules are ``attention_norm``, ``attention``, ``feedforward_norm``, ``feedforward``;
    ``cross_norm`` and ``cross`` between them if the block reads a context, and
    ``attention_out_norm``, ``feedforward_out_norm`` if it is a sandwich. What ``layer_scale``
    multiplies by are the parameters ``attention_scale`` and ``feedforward_scale``.

    With f a part and N a normalisation, a part changes the stream x to

    ==============  ==========================
    ``"pre"``       x + f(N(x))
    ``"post"``      N(x + f(x))
    ``"sandwich"``  x + N(f(N(x)))
    ``"inner"``     x + N(f(x))
    ==============  ==========================

    Attributes:
      num_heads: number of query heads.
      attention: attention function, called as ``attention(query, key, value, mask=, bias=,
        is_causal=)``.
      mixer: factory of the first part, called as ``mixer(num_heads=..., name="attention",
        dtype=..., param_dtype=...)``; the module is called as ``module(x, mask=, bias=,
        is_causal=, positions=)``. ``None`` is a
        :class:`~jaxnn.layers.attention.MultiHeadAttention` with this block's settings; give
        a partial of that class to set anything else of it.
      cross: factory of a part that reads a context, called as ``cross(num_heads=...,
        name="cross", ...)`` and the module as ``module(x, context, mask=)``; ``None`` for a
        block that reads none.
      feedforward: factory of the last part, called as ``feedforward(features=width,
        name=..., dtype=..., param_dtype=...)``; the module maps ``(*batch, time, width)`` to
        the same shape and takes ``deterministic=`` if the block is given it. ``None`` is a
        :class:`~jaxnn.layers.feedforward.FeedForward` of ``hidden_features`` and ``dense``.
      norm: factory of the normalisations, called as ``norm(name=..., dtype=...,
        param_dtype=...)``.
      dense: factory of the affine maps in attention and the default feed-forward network.
      hidden_features: hidden width of the default feed-forward network; 4 times the input's
        if ``None``.
      num_key_value_heads: heads of keys and values; as many as query heads if ``None``.
      rotary: turns queries and keys, called as ``rotary(x, positions)``.
      normalize_qk: whether queries and keys are normalised; see
        :class:`~jaxnn.layers.attention.MultiHeadAttention`.
      norm_order: where the normalisations stand.
      parallel: whether both parts read the same stream and are added to it together, each
        behind its own normalisation; for ``"pre"`` only.
      residual_scale: multiplies the stream before a part is added, DeepNet's α.
      layer_scale: what trained factors of each part's features start at; ``None`` for none.
      stochastic_depth: share of examples for which a part is skipped when a ``dropout`` key is
        given; where it is not, it counts for more.
      dropout_rate: applied to what each part adds, and to the default feed-forward network's
        hidden units, when a ``dropout`` key is given.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int
    attention: Callable[..., Any] = dot_product_attention
    mixer: Callable[..., nn.Module] | None = None
    cross: Callable[..., nn.Module] | None = None
    feedforward: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    dense: Callable[..., nn.Module] = Dense
    hidden_features: int | None = None
    num_key_value_heads: int | None = None
    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    normalize_qk: bool | Literal["head", "all"] = False
    norm_order: NormOrder = "pre"
    parallel: bool = False
    residual_scale: float = 1.0
    layer_scale: float | None = None
    stochastic_depth: float = 0.0
    dropout_rate: float = 0.0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        context: Float[Array, "*batch keys context_features"] | None = None,
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        positions: Num[Array, "..."] | None = None,
        context_mask: Bool[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch time features"]:
        """Map ``(*batch, time, features)`` to the same shape.

        ``mask``, ``bias`` and ``is_causal`` go to the attention function, ``positions`` to
        ``rotary``, ``context`` and ``context_mask`` to ``cross``. ``deterministic=None`` drops
        units exactly when a ``dropout`` key was given.
        """
        where = "TransformerBlock"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        orders = ("pre", "post", "sandwich", "inner")
        require(self.norm_order in orders, where, "norm_order", self.norm_order, f"one of {orders}")
        require(
            not self.parallel or self.norm_order == "pre",
            where,
            "parallel",
            self.parallel,
            f"norm_order 'pre'; it is {self.norm_order!r}",
        )
        # Parts without dropout need not know the word.
        said: dict[str, Any] = {} if deterministic is None else {"deterministic": deterministic}
        silent = not self.has_rng("dropout") if deterministic is None else deterministic
        parts: dict[str, Callable[..., Any]] = {
            "attention": functools.partial(
                self._mixer(), mask=mask, bias=bias, is_causal=is_causal, positions=positions
            )
        }
        if self.cross is not None:
            require(
                context is not None
                or (self.is_mutable_collection("cache") and not self.is_initializing()),
                where,
                "context",
                context,
                "what `cross` is to read; only a cache that has read it can do without",
            )
            cross: Any = self.cross(num_heads=self.num_heads, name="cross", **self._dtypes())
            parts["cross"] = lambda x, **said: cross(x, context, mask=context_mask, **said)
        parts["feedforward"] = self._feedforward(x.shape[-1])
        read = x
        for name, part in parts.items():
            y = self._norm(name, read) if self.norm_order in ("pre", "sandwich") else read
            change = part(y, **said)
            if self.norm_order in ("sandwich", "inner"):
                after = f"{name}_out" if self.norm_order == "sandwich" else name
                change = self._norm(after, change)
            x = self._add(name, x, change, silent)
            if self.norm_order == "post":
                x = self._norm(name, x)
            read = read if self.parallel else x
        return x

    def _dtypes(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def _mixer(self) -> Any:
        if self.mixer is not None:
            return self.mixer(num_heads=self.num_heads, name="attention", **self._dtypes())
        if isinstance(self.attention, nn.Module) and self.attention.parent is self:
            # Flax has given the module the name of the field, which is the first part's. One
            # that a model around the block owns is shared by its blocks.
            raise TypeError(
                "TransformerBlock: `attention` is a module; it needs a function. Give every block "
                "one of its own: `mixer=functools.partial(MultiHeadAttention, attention=module)`."
            )
        return MultiHeadAttention(
            self.num_heads,
            attention=self.attention,
            num_key_value_heads=self.num_key_value_heads,
            rotary=self.rotary,
            normalize_qk=self.normalize_qk,
            dense=self.dense,
            name="attention",
            **self._dtypes(),
        )

    def _feedforward(self, features: int) -> Any:
        if self.feedforward is not None:
            return self.feedforward(features=features, name="feedforward", **self._dtypes())
        return FeedForward(
            self.hidden_features,
            dropout_rate=self.dropout_rate,
            dense=self.dense,
            name="feedforward",
            **self._dtypes(),
        )

    def _norm(self, name: str, x: jax.Array) -> jax.Array:
        norm: Any = self.norm(name=f"{name}_norm", **self._dtypes())
        return norm(x)

    def _add(self, name: str, x: jax.Array, change: jax.Array, silent: bool) -> jax.Array:
        """Add what a part gives to the stream, scaled and dropped as the fields say."""
        if self.layer_scale is not None:
            start = nn.initializers.constant(self.layer_scale)
            scale = self.param(f"{name}_scale", start, x.shape[-1:], self.param_dtype)
            change = change * jnp.broadcast_to(scale.astype(change.dtype), change.shape)
        change = nn.Dropout(self.dropout_rate)(change, deterministic=silent)
        if self.stochastic_depth:
            whole = tuple(range(1, x.ndim))
            skip = nn.Dropout(self.stochastic_depth, broadcast_dims=whole)
            change = skip(change, deterministic=silent)
        return (x if self.residual_scale == 1.0 else self.residual_scale * x) + change
