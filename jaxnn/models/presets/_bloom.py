"""BLOOM: "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model" (2022).

A causal transformer whose attention logits fall linearly with the distance (ALiBi), with layer
normalisation of the embedded tokens and before each part, tanh-GELU and tied embeddings. The
choices are argued in "What Language Model to Train if You Have One Million GPU Hours?" (2022).
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax

from jaxnn.layers.feedforward import FeedForward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.layers.position import alibi_bias, alibi_slopes
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._preset import ACTIVATIONS, Preset, assemble
from jaxnn.models.presets._weights import Entry, Table, fused_linear, linear, norm, same


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bloom(Preset):
    """BLOOM; fields are those of its config.json on the hub.

    "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model" (2022), "What Language
    Model to Train if You Have One Million GPU Hours?" (2022).
    """

    model_type: ClassVar[str] = "bloom"
    fixed: ClassVar = {"apply_residual_connection_post_layernorm": (False,)}

    vocab_size: int = 250880
    """Number of tokens."""
    hidden_size: int = 64
    """Width of the stream; the feed-forward networks' is four times that."""
    n_layer: int = 2
    """Number of blocks."""
    n_head: int = 8
    """Heads."""
    layer_norm_epsilon: float = 1e-5
    """Keeps constant rows finite."""
    tie_word_embeddings: bool = True
    """Whether the logits are products with the embedding."""
    hidden_dropout: float = 0.0
    """Share of units dropped in training."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        older = {
            "n_embed": "hidden_size",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
        }
        return {older.get(name, name): value for name, value in data.items()}

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to logits; see :meth:`Preset.build` for ``overrides``."""
        layer_norm = functools.partial(LayerNorm, epsilon=self.layer_norm_epsilon)
        feedforward = functools.partial(
            FeedForward, 4 * self.hidden_size, activation=ACTIVATIONS["gelu_new"]
        )
        block = {
            "num_heads": self.n_head,
            "norm": layer_norm,
            "mixer": {"dropout_rate": self.attention_dropout},
            "feedforward": feedforward,
            "dropout_rate": self.hidden_dropout,
        }
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.hidden_size,
            "depth": self.n_layer,
            "embedding_norm": True,
            "norm": layer_norm,
            "rotary": None,
            "position_bias": functools.partial(_alibi, num_heads=self.n_head),
            "tie_embeddings": self.tie_word_embeddings,
            "head_bias": False,
        }
        return assemble("Bloom", Transformer, fields, [block], overrides)

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        hub, width = "transformer", self.hidden_size
        entries = same(f"{hub}.word_embeddings.weight", "tokens/embedding", self.vocab_size, width)
        first = f"{hub}.word_embeddings_layernorm"
        entries += norm(first, "embedding_norm", width, bias=True)
        for i in range(self.n_layer):
            entries += self._layer(f"{hub}.h.{i}", f"blocks_{i}")
        entries += norm(f"{hub}.ln_f", "norm", width, bias=True)
        tied = {"lm_head.weight": f"{hub}.word_embeddings.weight"}
        if not self.tie_word_embeddings:
            entries += linear("lm_head", "head", width, self.vocab_size, bias=False)
            tied = {}
        return Table(entries, tied=tied, prefix="transformer.")

    def _layer(self, hub: str, ours: str) -> list[Entry]:
        width = self.hidden_size
        entries = norm(f"{hub}.input_layernorm", f"{ours}/attention_norm", width, bias=True)
        three = [f"{ours}/attention/{name}" for name in ("query", "key", "value")]
        entries += fused_linear(
            f"{hub}.self_attention.query_key_value", three, width, [width] * 3, groups=self.n_head
        )
        entries += linear(f"{hub}.self_attention.dense", f"{ours}/attention/out", width, width)
        after = f"{hub}.post_attention_layernorm"
        entries += norm(after, f"{ours}/feedforward_norm", width, bias=True)
        up, down = f"{ours}/feedforward/up", f"{ours}/feedforward/down"
        entries += linear(f"{hub}.mlp.dense_h_to_4h", up, width, 4 * width)
        return entries + linear(f"{hub}.mlp.dense_4h_to_h", down, 4 * width, width)


def _alibi(query_positions: jax.Array, key_positions: jax.Array, *, num_heads: int) -> jax.Array:
    return alibi_bias(query_positions, key_positions, alibi_slopes(num_heads))
