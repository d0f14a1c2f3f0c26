"""The transformer: blocks of attention and a feed-forward network, with their parts in slots.

Sources: "Attention Is All You Need" (2017); normalisation before each part from "On Layer
Normalization in the Transformer Architecture" (2020).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Integer, Num

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn.layers.attention import (
    MultiHeadAttention,
    dot_product_attention,
    sigmoid_attention,
)
from jaxnn.layers.feedforward import Dense, FeedForward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.layers.position import (
    PositionEmbedding,
    alibi_bias,
    alibi_slopes,
    rotary_embedding,
    sinusoidal_embedding,
)


class TransformerBlock(nn.Module):
    """Attention, then a feed-forward network, each added to what it read.

    Submodules are ``attention_norm``, ``attention``, ``feedforward_norm``, ``feedforward``.

    Attributes:
      num_heads: number of query heads.
      attention: attention function, called as ``attention(query, key, value, mask=, bias=,
        is_causal=)``.
      feedforward: factory of the second part, called as ``feedforward(features=width,
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
      normalize_qk: whether to layer-normalise each head's queries and keys.
      norm_first: whether each part reads the normalised stream (pre-norm), or the sum is
        normalised after it (post-norm, as in 2017).
      dropout_rate: applied to what each part adds, and to the default feed-forward network's
        hidden units, when a ``dropout`` key is given.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int
    attention: Callable[..., Any] = dot_product_attention
    feedforward: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    dense: Callable[..., nn.Module] = Dense
    hidden_features: int | None = None
    num_key_value_heads: int | None = None
    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    normalize_qk: bool = False
    norm_first: bool = True
    dropout_rate: float = 0.0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch time features"]:
        """Map ``(*batch, time, features)`` to the same shape.

        ``mask``, ``bias`` and ``is_causal`` go to the attention function, ``positions`` to
        ``rotary``. ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        require_array("TransformerBlock", x=x)
        require_rank("TransformerBlock", "x", x, 2, "(*batch, time, features)")
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        attend = MultiHeadAttention(
            self.num_heads,
            attention=self.attention,
            num_key_value_heads=self.num_key_value_heads,
            rotary=self.rotary,
            normalize_qk=self.normalize_qk,
            dense=self.dense,
            name="attention",
            **options,
        )
        attend = functools.partial(
            attend, mask=mask, bias=bias, is_causal=is_causal, positions=positions
        )
        if self.feedforward is None:
            transform = FeedForward(
                self.hidden_features,
                dropout_rate=self.dropout_rate,
                dense=self.dense,
                name="feedforward",
                **options,
            )
        else:
            transform = self.feedforward(features=x.shape[-1], name="feedforward", **options)
        # Parts without dropout need not know the word.
        said: dict[str, Any] = {} if deterministic is None else {"deterministic": deterministic}
        silent = not self.has_rng("dropout") if deterministic is None else deterministic
        for name, part in (("attention", attend), ("feedforward", transform)):
            norm: Any = self.norm(name=f"{name}_norm", **options)
            change = part(norm(x) if self.norm_first else x, **said)
            x = x + nn.Dropout(self.dropout_rate)(change, deterministic=silent)
            x = x if self.norm_first else norm(x)
        return x


class Transformer(nn.Module):
    """Tokens to logits, one row for each token or, pooled, one for each sequence.

    Submodules are ``tokens`` (the embedding), ``position``, ``blocks_0`` ..., ``norm`` and
    ``head``. The vectors that ``head`` reads are sown into ``intermediates`` as ``features``.

    Attributes:
      vocabulary: number of distinct tokens.
      outputs: number of logits; ``vocabulary`` if ``None``.
      features: width of the token vectors.
      depth: number of blocks.
      num_heads: number of query heads.
      is_causal: whether a token sees only itself and those before it.
      pooling: ``None`` for logits at each token, ``"mean"`` for one row from the mean of the
        sequence's vectors, ``"last"`` for one row from its last vector.
      position: factory of a module that adds positions to the tokens, called as
        ``position(name=..., dtype=..., param_dtype=...)`` and the module as
        ``module(x, positions)``; ``None`` for none.
      rotary: turns queries and keys in each block, called as ``rotary(x, positions)``.
      position_bias: called as ``position_bias(positions, positions)``; the result is the
        attention functions' ``bias``.
      attention: attention function of the blocks.
      feedforward: factory of the blocks' second part; see :class:`TransformerBlock`.
      norm: factory of the normalisations.
      dense: factory of the affine maps, the head's included.
      hidden_features: hidden width of the default feed-forward network.
      num_key_value_heads: heads of keys and values; as many as query heads if ``None``.
      normalize_qk: whether to layer-normalise each head's queries and keys.
      norm_first: whether blocks normalise before their parts, as now usual, or after.
      dropout_rate: applied in the blocks and to the embedded tokens when a ``dropout`` key is
        given.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    vocabulary: int
    outputs: int | None = None
    features: int = 64
    depth: int = 2
    num_heads: int = 4
    is_causal: bool = True
    pooling: Literal["mean", "last"] | None = None
    position: Callable[..., nn.Module] | None = None
    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = rotary_embedding
    position_bias: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    attention: Callable[..., Any] = dot_product_attention
    feedforward: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    dense: Callable[..., nn.Module] = Dense
    hidden_features: int | None = None
    num_key_value_heads: int | None = None
    normalize_qk: bool = False
    norm_first: bool = True
    dropout_rate: float = 0.0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: Integer[Array, "batch time"],
        *,
        valid: Bool[Array, "batch time"] | None = None,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "batch *time outputs"]:
        """Map ``(batch, time)`` to ``(batch, time, outputs)``, or pooled ``(batch, outputs)``.

        ``valid`` is False for padding, which no token attends to and no pooling counts.
        ``positions``, ``(time,)`` or ``(batch, time)``, count from 0 if ``None``.
        ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        where = "Transformer"
        require_array(where, floating=False, tokens=tokens)
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"{where}: `tokens` has dtype {tokens.dtype}; it needs whole numbers.")
        require(tokens.ndim == 2, where, "tokens", tokens, "shape (batch, time)")
        require_positive(where, vocabulary=self.vocabulary, depth=self.depth)
        if valid is not None:
            require_array(where, floating=False, valid=valid)
            require(
                valid.shape == tokens.shape and valid.dtype == jnp.bool_,
                where,
                "valid",
                valid,
                f"booleans of shape {tokens.shape}, as `tokens`",
            )
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        silent = not self.has_rng("dropout") if deterministic is None else deterministic
        positions = jnp.arange(tokens.shape[1]) if positions is None else positions
        x = nn.Embed(
            self.vocabulary,
            self.features,
            embedding_init=nn.initializers.normal(0.02),
            name="tokens",
            **options,
        )(tokens)
        if self.position is not None:
            add_positions: Any = self.position(name="position", **options)
            x = add_positions(x, positions)
        x = nn.Dropout(self.dropout_rate)(x, deterministic=silent)
        bias = None
        if self.position_bias is not None:
            bias = self.position_bias(positions, positions)
        for i in range(self.depth):
            x = TransformerBlock(
                self.num_heads,
                attention=self.attention,
                feedforward=self.feedforward,
                norm=self.norm,
                dense=self.dense,
                hidden_features=self.hidden_features,
                num_key_value_heads=self.num_key_value_heads,
                rotary=self.rotary,
                normalize_qk=self.normalize_qk,
                norm_first=self.norm_first,
                dropout_rate=self.dropout_rate,
                name=f"blocks_{i}",
                **options,
            )(
                x,
                mask=None if valid is None else valid[:, None, None, :],
                bias=bias,
                is_causal=self.is_causal,
                positions=positions,
                deterministic=deterministic,
            )
        if self.norm_first:
            norm: Any = self.norm(name="norm", **options)
            x = norm(x)
        x = _pool(x, valid, self.pooling)
        self.sow("intermediates", "features", x)
        head: Any = self.dense(self.outputs or self.vocabulary, name="head", **options)
        return head(x)


def _pool(x, valid, pooling):
    """Reduce ``(batch, time, features)`` over time, leaving padding out."""
    if pooling is None:
        return x
    if valid is None:
        return jnp.mean(x, axis=1) if pooling == "mean" else x[:, -1]
    if pooling == "mean":
        weights = valid.astype(x.dtype)
        count = jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1)
        return jnp.einsum("btf,bt->bf", x, weights / count)
    last = x.shape[1] - 1 - jnp.argmax(valid[:, ::-1], axis=1)
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]


class SinusoidalPosition(nn.Module):
    """Add the sinusoids of 2017 to the tokens; it has no parameters.

    Attributes:
      dtype: unused; the tokens keep theirs.
      param_dtype: unused.
    """

    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    def __call__(self, x: jax.Array, positions: jax.Array) -> jax.Array:
        """Add to ``(*batch, time, features)`` the embedding of ``positions``."""
        added = sinusoidal_embedding(positions, x.shape[-1])
        return x + jnp.broadcast_to(added, x.shape).astype(x.dtype)


ATTENTIONS = {"softmax": dot_product_attention, "sigmoid": sigmoid_attention}


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """A transformer over tokens."""

    vocabulary: int = 256
    """Number of distinct tokens; inputs are 0 ... vocabulary - 1."""
    width: int = 64
    """Width of the token vectors."""
    depth: int = 2
    """Number of blocks."""
    num_heads: int = 4
    """Number of attention heads."""
    hidden: int = 256
    """Hidden width of the feed-forward networks."""
    attention: Literal["softmax", "sigmoid"] = "softmax"
    """Attention function."""
    position: Literal["rotary", "alibi", "sinusoidal", "learned"] = "rotary"
    """How tokens know where they are."""
    pooling: Literal["mean", "last", "none"] = "mean"
    """How a sequence becomes one row of logits; none for a row at each token."""
    causal: bool = False
    """Whether a token sees only itself and those before it."""
    dropout: float = 0.1
    """Share of units dropped in training."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> Transformer:
        """Make the network for token sequences of shape (time,) and this many outputs."""
        where = "TransformerConfig"
        require(len(input_shape) == 1, where, "input_shape", input_shape, "the shape (time,)")
        check_sizes(where, self)
        position = position_bias = rotary = None
        match self.position:
            case "rotary":
                rotary = rotary_embedding
            case "alibi":
                position_bias = functools.partial(_alibi, num_heads=self.num_heads)
            case "sinusoidal":
                position = SinusoidalPosition
            case "learned":
                position = functools.partial(PositionEmbedding, input_shape[0])
        return Transformer(
            vocabulary=self.vocabulary,
            outputs=outputs,
            features=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            is_causal=self.causal,
            pooling=None if self.pooling == "none" else self.pooling,
            position=position,
            rotary=rotary,
            position_bias=position_bias,
            attention=ATTENTIONS[self.attention],
            hidden_features=self.hidden,
            dropout_rate=self.dropout,
        )


def _alibi(query_positions, key_positions, *, num_heads):
    return alibi_bias(query_positions, key_positions, alibi_slopes(num_heads))


def check_sizes(where: str, config: Any) -> None:
    """Raise unless the sizes that both transformer configs have are usable."""
    require_positive(
        where,
        width=config.width,
        depth=config.depth,
        num_heads=config.num_heads,
        hidden=config.hidden,
    )
    require(
        config.width % config.num_heads == 0,
        where,
        "num_heads",
        config.num_heads,
        f"a divisor of the width {config.width}",
    )
    require(0 <= config.dropout < 1, where, "dropout", config.dropout, "a share in [0, 1)")
