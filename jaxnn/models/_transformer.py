"""The transformer over tokens, with its parts in slots.

Source: "Attention Is All You Need" (2017).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Bool, Float, Integer, Num

from jaxnn._check import require, require_array, require_positive
from jaxnn.layers.attention import dot_product_attention, sigmoid_attention
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.normalization import LayerNorm
from jaxnn.layers.position import (
    PositionEmbedding,
    alibi_bias,
    alibi_slopes,
    rotary_embedding,
    sinusoidal_embedding,
)
from jaxnn.models._block import NormOrder, TransformerBlock
from jaxnn.models._stack import make_bias, place, run_blocks


class Transformer(nn.Module):
    """Tokens to logits, one row for each token or, pooled, one for each sequence.

    Submodules are ``tokens`` (the embedding), ``position``, ``blocks_0`` ..., ``norm`` and
    ``head``; ``types``, ``embedding_norm``, ``pooler``, ``widen`` and ``narrow`` where fields
    below ask for them. The vectors that ``head`` reads are sown into ``intermediates`` as
    ``features``.

    A causal transformer can read a sequence in pieces while the collection ``cache`` is mutable:
    see :class:`~jaxnn.layers.attention.MultiHeadAttention`.

    Attributes:
      vocabulary: number of distinct tokens.
      outputs: number of logits; ``vocabulary`` if ``None``.
      features: width of the token vectors.
      depth: number of blocks.
      num_heads: number of query heads.
      is_causal: whether a token sees only itself and those before it.
      pooling: ``None`` for logits at each token, ``"mean"`` for one row from the mean of the
        sequence's vectors, ``"first"`` or ``"last"`` for one row from that vector.
      pooler: factory of a module that maps the vectors after pooling, called as
        ``pooler(name=..., dtype=..., param_dtype=...)``; ``None`` for none.
      block: factory of the blocks, or several, used in turn, called as ``block(name=...,
        dtype=..., param_dtype=...)``; ``None`` is :class:`TransformerBlock` with the fields
        below.
      position: factory of a module that adds positions to the tokens, called as
        ``position(name=..., dtype=..., param_dtype=...)`` and the module as
        ``module(x, positions)``; ``None`` for none.
      rotary: turns queries and keys in each block, called as ``rotary(x, positions)``.
      position_bias: called as ``position_bias(query_positions, key_positions)``, a function or a
        module; the result is the attention functions' ``bias``.
      attention: attention function of the blocks.
      feedforward: factory of the blocks' second part; see :class:`TransformerBlock`.
      norm: factory of the normalisations.
      dense: factory of the affine maps, the head's included.
      hidden_features: hidden width of the default feed-forward network.
      num_key_value_heads: heads of keys and values; as many as query heads if ``None``.
      normalize_qk: whether queries and keys are normalised.
      norm_order: where the normalisations stand in a block; see :class:`TransformerBlock`.
      final_norm: whether the stream is normalised before the head; ``None`` for all orders but
        ``"post"``.
      token_types: number of token types, each with a vector added to the tokens of its type.
      embedding_features: width of the token embedding if it is not ``features``; maps without
        bias, ``widen`` and ``narrow``, then stand before and after the blocks.
      embedding_scale: multiplies the embedded tokens.
      embedding_norm: whether what enters the blocks is normalised.
      embedding_init: initialiser of the token embedding.
      tie_embeddings: whether the logits are products with the token embedding; there is no
        ``head`` then.
      head: whether there are logits at all, or the vectors they would be read from.
      head_bias: whether the head has a bias.
      logit_cap: bounds the logits to c tanh(logit / c).
      scan: whether the blocks run in one ``lax.scan``; see :class:`TransformerStack`.
      remat: whether the blocks' inner values are computed again for the gradient and not kept;
        a policy of ``jax.checkpoint_policies`` says which are.
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
    pooling: Literal["mean", "first", "last"] | None = None
    pooler: Callable[..., nn.Module] | None = None
    block: Callable[..., nn.Module] | Sequence[Callable[..., nn.Module]] | None = None
    position: Callable[..., nn.Module] | None = None
    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = rotary_embedding
    position_bias: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    attention: Callable[..., Any] = dot_product_attention
    feedforward: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    dense: Callable[..., nn.Module] = Dense
    hidden_features: int | None = None
    num_key_value_heads: int | None = None
    normalize_qk: bool | Literal["head", "all"] = False
    norm_order: NormOrder = "pre"
    final_norm: bool | None = None
    token_types: int = 0
    embedding_features: int | None = None
    embedding_scale: float = 1.0
    embedding_norm: bool = False
    embedding_init: Initializer = nn.initializers.normal(0.02)
    tie_embeddings: bool = False
    head: bool = True
    head_bias: bool = True
    logit_cap: float | None = None
    scan: bool = False
    remat: bool | Callable[..., Any] = False
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
        types: Integer[Array, "batch time"] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "batch *time outputs"]:
        """Map ``(batch, time)`` to ``(batch, time, outputs)``, or pooled ``(batch, outputs)``.

        ``valid`` is False for padding, which no token attends to and no pooling counts.
        ``positions``, ``(time,)`` or ``(batch, time)``, count from 0 if ``None``; ``types``, of
        a model with token types, are all 0 if ``None``. ``deterministic=None`` drops units
        exactly when a ``dropout`` key was given.
        """
        where = "Transformer"
        self._check(where, tokens, valid)
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        silent = not self.has_rng("dropout") if deterministic is None else deterministic
        positions, key_positions = place(self, tokens.shape, valid, positions)
        width = self.embedding_features or self.features
        init = {"embedding_init": self.embedding_init}
        embed = nn.Embed(self.vocabulary, width, name="tokens", **init, **options)
        x = embed(tokens)
        if self.embedding_scale != 1.0:
            x = x * jnp.asarray(self.embedding_scale, x.dtype)
        if width != self.features:
            x = self._map("widen", self.features, x)
        if self.token_types:
            types = jnp.zeros_like(tokens) if types is None else types
            x = x + nn.Embed(self.token_types, self.features, name="types", **init, **options)(
                types
            )
        if self.position is not None:
            add_positions: Any = self.position(name="position", **options)
            x = add_positions(x, positions)
        if self.embedding_norm:
            norm: Any = self.norm(name="embedding_norm", **options)
            x = norm(x)
        x = nn.Dropout(self.dropout_rate)(x, deterministic=silent)
        final_norm = self.norm_order != "post" if self.final_norm is None else self.final_norm
        x = run_blocks(
            self,
            self.block or self._default_block(),
            self.norm if final_norm else None,
            x,
            valid=valid,
            bias=make_bias(self.position_bias, positions, key_positions),
            is_causal=self.is_causal,
            positions=positions,
            deterministic=deterministic,
        )
        x = pool(x, valid, self.pooling)
        if self.pooler is not None:
            pooler: Any = self.pooler(name="pooler", **options)
            x = pooler(x)
        if width != self.features:
            x = self._map("narrow", width, x)
        self.sow("intermediates", "features", x)
        if not self.head:
            return x
        if self.tie_embeddings:
            logits = embed.attend(x)
        else:
            outputs = self.outputs or self.vocabulary
            logits = self._map("head", outputs, x, use_bias=self.head_bias)
        if self.logit_cap is not None:
            logits = self.logit_cap * jnp.tanh(logits / self.logit_cap)
        return logits

    def _check(self, where: str, tokens: jax.Array, valid: jax.Array | None) -> None:
        require_array(where, floating=False, tokens=tokens)
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"{where}: `tokens` has dtype {tokens.dtype}; it needs whole numbers.")
        require(tokens.ndim == 2, where, "tokens", tokens, "shape (batch, time)")
        require_positive(where, vocabulary=self.vocabulary, depth=self.depth)
        require(
            not self.tie_embeddings or self.outputs in (None, self.vocabulary),
            where,
            "outputs",
            self.outputs,
            f"the vocabulary {self.vocabulary}, as the embedding is tied",
        )
        if valid is not None:
            require_array(where, floating=False, valid=valid)
            require(
                valid.shape == tokens.shape and valid.dtype == jnp.bool_,
                where,
                "valid",
                valid,
                f"booleans of shape {tokens.shape}, as `tokens`",
            )

    def _map(self, name: str, features: int, x: jax.Array, use_bias: bool = False) -> jax.Array:
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if not use_bias:
            options["use_bias"] = False
        dense: Any = self.dense(features, name=name, **options)
        return dense(x)

    def _default_block(self) -> Callable[..., nn.Module]:
        return functools.partial(
            TransformerBlock,
            self.num_heads,
            attention=self.attention,
            feedforward=self.feedforward,
            norm=self.norm,
            dense=self.dense,
            hidden_features=self.hidden_features,
            num_key_value_heads=self.num_key_value_heads,
            rotary=self.rotary,
            normalize_qk=self.normalize_qk,
            norm_order=self.norm_order,
            dropout_rate=self.dropout_rate,
        )


def pool(x, valid, pooling):
    """Reduce ``(batch, time, features)`` over time, leaving padding out."""
    if pooling is None:
        return x
    if pooling == "first":
        return x[:, 0]
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
