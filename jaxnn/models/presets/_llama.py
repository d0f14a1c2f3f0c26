"""Llama: "LLaMA: Open and Efficient Foundation Language Models" (2023).

A causal transformer with root-mean-square normalisation before each part, rotary positions, a
SwiGLU feed-forward network and no biases. Shared keys came with "Llama 2: Open Foundation and
Fine-Tuned Chat Models" (2023), slower rotations for long texts with "The Llama 3 Herd of
Models" (2024).
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxnn.layers.feedforward import GatedFeedForward
from jaxnn.layers.normalization import RMSNorm
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._preset import Preset, activation, assemble, rope_fields, rotary
from jaxnn.models.presets._weights import Entry, Table, linear, norm, same


@dataclasses.dataclass(frozen=True, kw_only=True)
class Llama(Preset):
    """Llama and what is built like it; fields are those of its config.json on the hub.

    "LLaMA: Open and Efficient Foundation Language Models" (2023), "Llama 2: Open Foundation and
    Fine-Tuned Chat Models" (2023), "The Llama 3 Herd of Models" (2024).
    """

    model_type: ClassVar[str] = "llama"

    vocab_size: int = 32000
    """Number of tokens."""
    hidden_size: int = 4096
    """Width of the stream."""
    intermediate_size: int = 11008
    """Hidden width of the feed-forward networks."""
    num_hidden_layers: int = 32
    """Number of blocks."""
    num_attention_heads: int = 32
    """Query heads."""
    num_key_value_heads: int | None = None
    """Key heads; as many as query heads if None."""
    head_dim: int | None = None
    """Width of a head; the stream's over the number of heads if None."""
    hidden_act: str = "silu"
    """Element-wise function of the gate."""
    rms_norm_eps: float = 1e-6
    """Keeps normalised zeros finite."""
    tie_word_embeddings: bool = False
    """Whether the logits are products with the embedding."""
    rope_theta: float = 10000.0
    """Base of the rotations' periods."""
    rope_scaling: Mapping[str, Any] | None = None
    """How the rotations are slowed for long texts."""
    attention_bias: bool = False
    """Whether the attention's maps have biases."""
    mlp_bias: bool = False
    """Whether the feed-forward networks' maps have biases."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        return rope_fields(data)

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to logits; see :meth:`Preset.build` for ``overrides``."""
        where = "Llama"
        rms = functools.partial(RMSNorm, epsilon=self.rms_norm_eps)
        mixer = {
            "qkv_features": self.num_attention_heads * self._head_width,
            "num_key_value_heads": self.num_key_value_heads,
            "rotary": rotary(where, self.rope_theta, self.rope_scaling),
            "use_bias": self.attention_bias,
            "dropout_rate": self.attention_dropout,
        }
        feedforward = functools.partial(
            GatedFeedForward,
            self.intermediate_size,
            activation=activation(where, "hidden_act", self.hidden_act),
            use_bias=self.mlp_bias,
        )
        block = {
            "num_heads": self.num_attention_heads,
            "norm": rms,
            "mixer": mixer,
            "feedforward": feedforward,
        }
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.hidden_size,
            "depth": self.num_hidden_layers,
            "norm": rms,
            "rotary": None,
            "tie_embeddings": self.tie_word_embeddings,
            "head_bias": False,
        }
        return assemble(where, Transformer, fields, [block], overrides)

    @property
    def _head_width(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        width = self.hidden_size
        entries = same("model.embed_tokens.weight", "tokens/embedding", self.vocab_size, width)
        for i in range(self.num_hidden_layers):
            entries += self._layer(f"model.layers.{i}", f"blocks_{i}")
        entries += norm("model.norm", "norm", width)
        tied = {"lm_head.weight": "model.embed_tokens.weight"}
        if not self.tie_word_embeddings:
            entries += linear("lm_head", "head", width, self.vocab_size, bias=False)
            tied = {}
        ignored = [r"\.rotary_emb\.inv_freq$"]
        return Table(entries, tied=tied, ignored=ignored, prefix="model.")

    def _layer(self, hub: str, ours: str) -> list[Entry]:
        entries = norm(f"{hub}.input_layernorm", f"{ours}/attention_norm", self.hidden_size)
        entries += attention_entries(self, hub, ours, self._head_width, self.attention_bias)
        entries += norm(
            f"{hub}.post_attention_layernorm", f"{ours}/feedforward_norm", self.hidden_size
        )
        return entries + gated_entries(self, hub, ours, self.mlp_bias)


def attention_entries(config: Any, hub: str, ours: str, width: int, bias: bool) -> list[Entry]:
    """Make the entries of the four maps of an attention, as Llama's descendants name them."""
    own = config.num_attention_heads * width
    shared = (config.num_key_value_heads or config.num_attention_heads) * width
    entries: list[Entry] = []
    for letter, name, size in (("q", "query", own), ("k", "key", shared), ("v", "value", shared)):
        tensor = f"{hub}.self_attn.{letter}_proj"
        entries += linear(tensor, f"{ours}/attention/{name}", config.hidden_size, size, bias=bias)
    last = f"{hub}.self_attn.o_proj"
    return entries + linear(last, f"{ours}/attention/out", own, config.hidden_size, bias=bias)


def gated_entries(config: Any, hub: str, ours: str, bias: bool = False) -> list[Entry]:
    """Make the entries of the three maps of a gated network, as Llama's descendants name them."""
    outer, inner = config.hidden_size, config.intermediate_size
    entries: list[Entry] = []
    for name, inputs, outputs in (
        ("gate", outer, inner),
        ("up", outer, inner),
        ("down", inner, outer),
    ):
        path = f"{ours}/feedforward/{name}"
        entries += linear(f"{hub}.mlp.{name}_proj", path, inputs, outputs, bias=bias)
    return entries
