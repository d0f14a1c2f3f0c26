"""BERT: "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2018).

A transformer that reads in both directions: learned positions, two kinds of tokens, normalisation
after the embedding and after each part, GELU. Sentence vectors as those of MiniLM are means of
its token vectors: "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks" (2019).
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Integer

from jaxnn._check import require_array
from jaxnn.layers.feedforward import Dense, FeedForward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.layers.position import PositionEmbedding
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._preset import Preset, activation, assemble
from jaxnn.models.presets._weights import Entry, Table, linear, norm, same


@dataclasses.dataclass(frozen=True, kw_only=True)
class BERT(Preset):
    """BERT and MiniLM; fields are those of their config.json on the hub.

    "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2018).
    The model gives a vector for each token; with ``build(pooling="first")`` one for each text,
    by way of the pooler, which files may lack. Heads of the pre-training are not read.
    """

    model_type: ClassVar[str] = "bert"
    fixed: ClassVar = {
        "add_cross_attention": (False,),
        "is_decoder": (False,),
        "position_embedding_type": ("absolute", None),
    }

    vocab_size: int = 30522
    """Number of tokens."""
    hidden_size: int = 768
    """Width of the stream."""
    num_hidden_layers: int = 12
    """Number of blocks."""
    num_attention_heads: int = 12
    """Heads."""
    intermediate_size: int = 3072
    """Hidden width of the feed-forward networks."""
    hidden_act: str = "gelu"
    """Element-wise function of the feed-forward networks."""
    max_position_embeddings: int = 512
    """Longest text."""
    type_vocab_size: int = 2
    """Number of token types."""
    layer_norm_eps: float = 1e-12
    """Keeps constant rows finite."""
    hidden_dropout_prob: float = 0.1
    """Share of units dropped in training."""
    attention_probs_dropout_prob: float = 0.1
    """Share of the attention weights dropped in training."""

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to vectors; see :meth:`Preset.build` for ``overrides``."""
        where = "BERT"
        layer_norm = functools.partial(LayerNorm, epsilon=self.layer_norm_eps)
        feedforward = functools.partial(
            FeedForward,
            self.intermediate_size,
            activation=activation(where, "hidden_act", self.hidden_act),
        )
        block = {
            "num_heads": self.num_attention_heads,
            "norm": layer_norm,
            "norm_order": "post",
            "mixer": {"dropout_rate": self.attention_probs_dropout_prob},
            "feedforward": feedforward,
            "dropout_rate": self.hidden_dropout_prob,
        }
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.hidden_size,
            "depth": self.num_hidden_layers,
            "is_causal": False,
            "token_types": self.type_vocab_size,
            "position": functools.partial(PositionEmbedding, self.max_position_embeddings),
            "embedding_norm": True,
            "norm": layer_norm,
            "norm_order": "post",
            "rotary": None,
            "head": False,
            "pooler": Pooler if overrides.get("pooling") == "first" else None,
            "dropout_rate": self.hidden_dropout_prob,
        }
        return assemble(where, Transformer, fields, [block], overrides)

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        width, hub = self.hidden_size, "embeddings"
        entries: list[Entry] = []
        for name, path, rows in (
            ("word", "tokens", self.vocab_size),
            ("token_type", "types", self.type_vocab_size),
            ("position", "position", self.max_position_embeddings),
        ):
            entries += same(f"{hub}.{name}_embeddings.weight", f"{path}/embedding", rows, width)
        entries += norm(f"{hub}.LayerNorm", "embedding_norm", width, bias=True)
        for i in range(self.num_hidden_layers):
            entries += self._layer(f"encoder.layer.{i}", f"blocks_{i}")
        entries += linear("pooler.dense", "pooler/dense", width, width, optional=True)
        return Table(
            entries,
            ignored=[r"^(bert\.)?embeddings\.(position|token_type)_ids$", r"^cls\."],
            prefix="bert.",
            # As the first files have it.
            renames=[(r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"\.beta$", ".bias")],
        )

    def _layer(self, hub: str, ours: str) -> list[Entry]:
        width, inner = self.hidden_size, self.intermediate_size
        entries: list[Entry] = []
        for name in ("query", "key", "value"):
            tensor = f"{hub}.attention.self.{name}"
            entries += linear(tensor, f"{ours}/attention/{name}", width, width)
        out = f"{hub}.attention.output"
        entries += linear(f"{out}.dense", f"{ours}/attention/out", width, width)
        entries += norm(f"{out}.LayerNorm", f"{ours}/attention_norm", width, bias=True)
        entries += linear(f"{hub}.intermediate.dense", f"{ours}/feedforward/up", width, inner)
        entries += linear(f"{hub}.output.dense", f"{ours}/feedforward/down", inner, width)
        return entries + norm(
            f"{hub}.output.LayerNorm", f"{ours}/feedforward_norm", width, bias=True
        )


class Pooler(nn.Module):
    """BERT's pooler: tanh of an affine map, in the submodule ``dense``.

    Attributes:
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        """Map ``(*batch, features)`` to the same shape."""
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return jnp.tanh(Dense(x.shape[-1], name="dense", **options)(x))


def sentence_embedding(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Integer[Array, "batch time"],
    valid: Bool[Array, "batch time"],
) -> Float[Array, "batch features"]:
    r"""Embed texts as the means of their tokens' vectors, scaled to length one.

    Products of such vectors, of a model as MiniLM trained for it, say how near two texts are.

    .. math:: e = \frac{\bar h}{\lVert \bar h \rVert}, \quad
        \bar h = \frac{1}{|V|}\sum_{t \in V} h_t

    Args:
      model: from ``BERT.build()``; it gives h.
      params: its parameters.
      tokens: texts, padded to one length.
      valid: False for padding; V are the other tokens.

    Returns:
      e, one row for each text.

    Raises:
      TypeError: an argument is not an array.
    """
    require_array("sentence_embedding", floating=False, tokens=tokens, valid=valid)
    pooled = model.clone(pooling="mean").apply({"params": params}, tokens, valid=valid)
    assert isinstance(pooled, jax.Array)
    length = jnp.linalg.norm(pooled.astype(jnp.float32), axis=-1, keepdims=True)
    return pooled / jnp.maximum(length, 1e-12).astype(pooled.dtype)
