"""The transformer of two stacks: one reads a text, the other writes one and looks at the first.

Sources: "Attention Is All You Need" (2017); one embedding for both and biases of relative
positions from "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer" (2020).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Bool, Float, Integer, Num

from jaxnn._check import require, require_array, require_positive
from jaxnn.layers.attention import MultiHeadAttention
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.normalization import LayerNorm
from jaxnn.models._block import TransformerBlock
from jaxnn.models._stack import TransformerStack

Factory = Callable[..., nn.Module]


class EncoderDecoder(nn.Module):
    """Two sequences of tokens to logits, one row for each token of the second.

    Submodules are ``tokens`` (the embedding of both), ``encoder`` and ``decoder``
    (:class:`TransformerStack`), ``encoder_positions`` and ``decoder_positions`` if there are
    such biases, and ``head``. The vectors that ``head`` reads are sown into ``intermediates`` as
    ``features``.

    The halves run alone by ``model.apply(variables, tokens, method="encode")`` and
    ``method="decode"``. While the collection ``cache`` is mutable, ``decode`` reads the second
    sequence in pieces, as :class:`~jaxnn.layers.attention.MultiHeadAttention` says: the context
    is given with the first piece, and its keys and values are kept for the others.

    Attributes:
      vocabulary: number of distinct tokens.
      outputs: number of logits; ``vocabulary`` if ``None``.
      features: width of the token vectors.
      depth: number of blocks of the encoder.
      decoder_depth: of the decoder; as many if ``None``.
      num_heads: number of query heads of the default blocks.
      encoder_block: factory of the encoder's blocks, or several, used in turn; ``None`` is
        :class:`TransformerBlock`.
      decoder_block: likewise of the decoder's, which have a part ``cross``.
      encoder_position_bias: factory of a module from query and key positions to the attention
        functions' ``bias``, called as ``encoder_position_bias(param_dtype=...)``, e.g. a partial
        of :class:`~jaxnn.layers.position.RelativePositionBias`; ``None`` for none.
      decoder_position_bias: likewise for the decoder.
      norm: factory of the normalisations.
      dense: factory of the affine maps of the default blocks, and of the head.
      embedding_init: initialiser of the token embedding.
      tie_embeddings: whether the logits are products with the token embedding; there is no
        ``head`` then.
      head_scale: multiplies the vectors that the logits are read from.
      head_bias: whether the head has a bias.
      scan: whether the blocks of each half run in one ``lax.scan``; see
        :class:`TransformerStack`.
      remat: whether the blocks' inner values are computed again for the gradient and not kept.
      dropout_rate: applied to the embedded tokens, to what the halves give, and in the default
        blocks, when a ``dropout`` key is given.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    vocabulary: int
    outputs: int | None = None
    features: int = 64
    depth: int = 2
    decoder_depth: int | None = None
    num_heads: int = 4
    encoder_block: Factory | Sequence[Factory] | None = None
    decoder_block: Factory | Sequence[Factory] | None = None
    encoder_position_bias: Factory | None = None
    decoder_position_bias: Factory | None = None
    norm: Factory = LayerNorm
    dense: Factory = Dense
    embedding_init: Initializer = nn.initializers.normal(0.02)
    tie_embeddings: bool = False
    head_scale: float = 1.0
    head_bias: bool = True
    scan: bool = False
    remat: bool | Callable[..., Any] = False
    dropout_rate: float = 0.0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    def setup(self) -> None:
        """Make the parts."""
        where = "EncoderDecoder"
        require_positive(where, vocabulary=self.vocabulary, depth=self.depth)
        require(
            not self.tie_embeddings or self.outputs in (None, self.vocabulary),
            where,
            "outputs",
            self.outputs,
            f"the vocabulary {self.vocabulary}, as the embedding is tied",
        )
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.tokens = nn.Embed(
            self.vocabulary, self.features, embedding_init=self.embedding_init, **options
        )
        kept = {"param_dtype": self.param_dtype}
        if self.encoder_position_bias is not None:
            self.encoder_positions = self.encoder_position_bias(**kept)
        if self.decoder_position_bias is not None:
            self.decoder_positions = self.decoder_position_bias(**kept)
        block = functools.partial(
            TransformerBlock,
            self.num_heads,
            norm=self.norm,
            dense=self.dense,
            dropout_rate=self.dropout_rate,
        )
        cross = functools.partial(MultiHeadAttention, dense=self.dense)
        shared = {"norm": self.norm, "scan": self.scan, "remat": self.remat, **options}
        self.encoder = TransformerStack(
            self.depth,
            self.encoder_block or block,
            position_bias=getattr(self, "encoder_positions", None),
            **shared,
        )
        self.decoder = TransformerStack(
            self.decoder_depth or self.depth,
            self.decoder_block or functools.partial(block, cross=cross),
            is_causal=True,
            position_bias=getattr(self, "decoder_positions", None),
            **shared,
        )
        self.dropout = nn.Dropout(self.dropout_rate)
        if not self.tie_embeddings:
            bias = {} if self.head_bias else {"use_bias": False}
            self.head = self.dense(self.outputs or self.vocabulary, **bias, **options)

    def __call__(
        self,
        tokens: Integer[Array, "batch time"],
        targets: Integer[Array, "batch target_time"],
        *,
        valid: Bool[Array, "batch time"] | None = None,
        target_valid: Bool[Array, "batch target_time"] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "batch target_time outputs"]:
        """Map ``(batch, time)`` and ``(batch, target_time)`` to logits at each target.

        ``targets`` begin with a start token: a row of logits is about the next one. ``valid``
        and ``target_valid`` are False for padding. ``deterministic=None`` drops units exactly
        when a ``dropout`` key was given.
        """
        context = self.encode(tokens, valid=valid, deterministic=deterministic)
        return self.decode(
            targets,
            context,
            valid=target_valid,
            context_valid=valid,
            deterministic=deterministic,
        )

    def encode(
        self,
        tokens: Integer[Array, "batch time"],
        *,
        valid: Bool[Array, "batch time"] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "batch time features"]:
        """Map ``(batch, time)`` to the vectors that :meth:`decode` reads as ``context``."""
        x = self._embed(tokens, deterministic)
        x = self.encoder(x, valid=valid, deterministic=deterministic)
        return self.dropout(x, deterministic=self._silent(deterministic))

    def decode(
        self,
        tokens: Integer[Array, "batch time"],
        context: Float[Array, "batch keys features"] | None = None,
        *,
        valid: Bool[Array, "batch time"] | None = None,
        context_valid: Bool[Array, "batch keys"] | None = None,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "batch time outputs"]:
        """Map ``(batch, time)`` to logits at each token.

        ``context`` may be left out once a cache has read it; ``context_valid``, False for its
        padding, may not. ``positions``, ``(time,)`` or ``(batch, time)``, count from 0 if
        ``None``.
        """
        x = self._embed(tokens, deterministic)
        x = self.decoder(
            x,
            context,
            valid=valid,
            context_valid=context_valid,
            positions=positions,
            deterministic=deterministic,
        )
        x = self.dropout(x, deterministic=self._silent(deterministic))
        if self.head_scale != 1.0:
            x = x * jnp.asarray(self.head_scale, x.dtype)
        self.sow("intermediates", "features", x)
        head: Any = self.tokens.attend if self.tie_embeddings else self.head
        return head(x)

    def _embed(self, tokens: jax.Array, deterministic: bool | None) -> jax.Array:
        where = "EncoderDecoder"
        require_array(where, floating=False, tokens=tokens)
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"{where}: `tokens` has dtype {tokens.dtype}; it needs whole numbers.")
        require(tokens.ndim == 2, where, "tokens", tokens, "shape (batch, time)")
        return self.dropout(self.tokens(tokens), deterministic=self._silent(deterministic))

    def _silent(self, deterministic: bool | None) -> bool:
        return not self.has_rng("dropout") if deterministic is None else deterministic
