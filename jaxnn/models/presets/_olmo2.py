"""OLMo 2: "2 OLMo 2 Furious" (2024).

Llama with its normalisations moved: they stand behind each part, inside the residual branch, and
queries and keys are normalised too, all heads' together.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxnn.layers.feedforward import GatedFeedForward
from jaxnn.layers.normalization import RMSNorm
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._llama import attention_entries, gated_entries
from jaxnn.models.presets._preset import Preset, activation, assemble, rope_fields, rotary
from jaxnn.models.presets._weights import Entry, Table, linear, norm, same


@dataclasses.dataclass(frozen=True, kw_only=True)
class OLMo2(Preset):
    """OLMo 2; fields are those of its config.json on the hub. "2 OLMo 2 Furious" (2024)."""

    model_type: ClassVar[str] = "olmo2"

    vocab_size: int = 50304
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
    hidden_act: str = "silu"
    """Element-wise function of the gate."""
    rms_norm_eps: float = 1e-5
    """Keeps normalised zeros finite."""
    tie_word_embeddings: bool = False
    """Whether the logits are products with the embedding."""
    rope_theta: float = 10000.0
    """Base of the rotations' periods; the published models have 500000."""
    rope_scaling: Mapping[str, Any] | None = None
    """How the rotations are slowed for long texts."""
    attention_bias: bool = False
    """Whether the attention's maps have biases."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        return rope_fields(data)

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to logits; see :meth:`Preset.build` for ``overrides``."""
        where = "OLMo2"
        rms = functools.partial(RMSNorm, epsilon=self.rms_norm_eps)
        mixer = {
            "num_key_value_heads": self.num_key_value_heads,
            "rotary": rotary(where, self.rope_theta, self.rope_scaling),
            "normalize_qk": "all",
            "qk_norm": rms,
            "use_bias": self.attention_bias,
            "dropout_rate": self.attention_dropout,
        }
        feedforward = functools.partial(
            GatedFeedForward,
            self.intermediate_size,
            activation=activation(where, "hidden_act", self.hidden_act),
        )
        block = {
            "num_heads": self.num_attention_heads,
            "norm": rms,
            "norm_order": "inner",
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
        width = self.hidden_size // self.num_attention_heads
        shared = (self.num_key_value_heads or self.num_attention_heads) * width
        entries = attention_entries(self, hub, ours, width, self.attention_bias)
        entries += norm(f"{hub}.self_attn.q_norm", f"{ours}/attention/query_norm", self.hidden_size)
        entries += norm(f"{hub}.self_attn.k_norm", f"{ours}/attention/key_norm", shared)
        for part in ("attention", "feedforward"):
            after = f"{hub}.post_{part}_layernorm"
            entries += norm(after, f"{ours}/{part}_norm", self.hidden_size)
        return entries + gated_entries(self, hub, ours)
