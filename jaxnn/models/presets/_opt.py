"""OPT: "OPT: Open Pre-trained Transformer Language Models" (2022).

A causal transformer as GPT-3's: learned positions, layer normalisation before each part, ReLU,
biases, tied embeddings. The one of 350M parameters normalises after each part instead, and its
embedding is narrower than its stream.
"""

import dataclasses
import functools
from typing import Any, ClassVar

from jaxnn.layers.feedforward import FeedForward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.layers.position import PositionEmbedding
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._preset import Preset, activation, assemble
from jaxnn.models.presets._weights import Entry, Table, linear, norm, same

# Rows of the position table that no token reads; the first token is at the third.
UNUSED = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class OPT(Preset):
    """OPT; fields are those of its config.json on the hub.

    "OPT: Open Pre-trained Transformer Language Models" (2022). Of rows padded on the left, pass
    ``positions=jnp.maximum(jnp.cumsum(valid, axis=-1) - 1, 0)``, as these positions are absolute;
    a cache counts by itself.
    """

    model_type: ClassVar[str] = "opt"

    vocab_size: int = 50272
    """Number of tokens."""
    hidden_size: int = 768
    """Width of the stream."""
    num_hidden_layers: int = 12
    """Number of blocks."""
    ffn_dim: int = 3072
    """Hidden width of the feed-forward networks."""
    num_attention_heads: int = 12
    """Heads."""
    max_position_embeddings: int = 2048
    """Longest text."""
    do_layer_norm_before: bool = True
    """Whether parts are normalised before or, as in the one of 350M, after."""
    word_embed_proj_dim: int | None = None
    """Width of the embedding; the stream's if None."""
    activation_function: str = "relu"
    """Element-wise function of the feed-forward networks."""
    enable_bias: bool = True
    """Whether the maps have biases."""
    layer_norm_elementwise_affine: bool = True
    """Whether the normalisations have parameters."""
    tie_word_embeddings: bool = True
    """Whether the logits are products with the embedding."""
    dropout: float = 0.1
    """Share of units dropped in training."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""
    _remove_final_layer_norm: bool = False
    """Whether the stream is not normalised before the head, as in some early files."""

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to logits; see :meth:`Preset.build` for ``overrides``."""
        where, affine = "OPT", self.layer_norm_elementwise_affine
        layer_norm = functools.partial(LayerNorm, epsilon=1e-5, use_scale=affine, use_bias=affine)
        feedforward = functools.partial(
            FeedForward,
            self.ffn_dim,
            activation=activation(where, "activation_function", self.activation_function),
            use_bias=self.enable_bias,
        )
        block = {
            "num_heads": self.num_attention_heads,
            "norm": layer_norm,
            "norm_order": "pre" if self.do_layer_norm_before else "post",
            "mixer": {"use_bias": self.enable_bias, "dropout_rate": self.attention_dropout},
            "feedforward": feedforward,
            "dropout_rate": self.dropout,
        }
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.hidden_size,
            "depth": self.num_hidden_layers,
            "embedding_features": self.word_embed_proj_dim,
            "position": functools.partial(
                PositionEmbedding, self.max_position_embeddings + UNUSED, offset=UNUSED
            ),
            "norm": layer_norm,
            "final_norm": self._final_norm,
            "rotary": None,
            "tie_embeddings": self.tie_word_embeddings,
            "head_bias": False,
        }
        return assemble(where, Transformer, fields, [block], overrides)

    @property
    def _final_norm(self) -> bool:
        return self.do_layer_norm_before and not self._remove_final_layer_norm

    @property
    def _embedding_width(self) -> int:
        return self.word_embed_proj_dim or self.hidden_size

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        hub, width, narrow = "model.decoder", self.hidden_size, self._embedding_width
        rows = self.max_position_embeddings + UNUSED
        entries = same(f"{hub}.embed_tokens.weight", "tokens/embedding", self.vocab_size, narrow)
        entries += same(f"{hub}.embed_positions.weight", "position/embedding", rows, width)
        if narrow != width:
            entries += linear(f"{hub}.project_in", "widen", narrow, width, bias=False)
            entries += linear(f"{hub}.project_out", "narrow", width, narrow, bias=False)
        for i in range(self.num_hidden_layers):
            entries += self._layer(f"{hub}.layers.{i}", f"blocks_{i}")
        if self._final_norm:
            entries += self._norm(f"{hub}.final_layer_norm", "norm")
        tied = {"lm_head.weight": f"{hub}.embed_tokens.weight"}
        if not self.tie_word_embeddings:
            entries += linear("lm_head", "head", narrow, self.vocab_size, bias=False)
            tied = {}
        return Table(entries, tied=tied, prefix="model.")

    def _norm(self, hub: str, ours: str) -> list[Entry]:
        if not self.layer_norm_elementwise_affine:
            return []
        return norm(hub, ours, self.hidden_size, bias=True)

    def _layer(self, hub: str, ours: str) -> list[Entry]:
        width, bias = self.hidden_size, self.enable_bias
        entries = self._norm(f"{hub}.self_attn_layer_norm", f"{ours}/attention_norm")
        entries += self._norm(f"{hub}.final_layer_norm", f"{ours}/feedforward_norm")
        for theirs, name in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
            path = f"{ours}/attention/{name}"
            entries += linear(f"{hub}.self_attn.{theirs}", path, width, width, bias=bias)
        path = f"{ours}/attention/out"
        entries += linear(f"{hub}.self_attn.out_proj", path, width, width, bias=bias)
        entries += linear(f"{hub}.fc1", f"{ours}/feedforward/up", width, self.ffn_dim, bias=bias)
        path = f"{ours}/feedforward/down"
        return entries + linear(f"{hub}.fc2", path, self.ffn_dim, width, bias=bias)
