"""GPT-NeoX: "GPT-NeoX-20B: An Open-Source Autoregressive Language Model" (2022).

A causal transformer whose attention and feed-forward network read the same stream side by side,
each behind its own normalisation, with rotary positions on a quarter of each head.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxnn.layers.feedforward import FeedForward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._preset import Preset, activation, assemble, rope_fields, rotary
from jaxnn.models.presets._weights import Entry, Table, fused_linear, linear, norm, same


@dataclasses.dataclass(frozen=True, kw_only=True)
class GPTNeoX(Preset):
    """GPT-NeoX and Pythia; fields are those of their config.json on the hub.

    "GPT-NeoX-20B: An Open-Source Autoregressive Language Model" (2022).
    """

    model_type: ClassVar[str] = "gpt_neox"
    fixed: ClassVar = {"is_decoder": (False,)}

    vocab_size: int = 50432
    """Number of tokens."""
    hidden_size: int = 6144
    """Width of the stream."""
    num_hidden_layers: int = 44
    """Number of blocks."""
    num_attention_heads: int = 64
    """Heads."""
    intermediate_size: int = 24576
    """Hidden width of the feed-forward networks."""
    hidden_act: str = "gelu"
    """Element-wise function of the feed-forward networks."""
    rotary_pct: float = 0.25
    """Share of a head's features that are turned."""
    rotary_emb_base: float = 10000.0
    """Base of the rotations' periods."""
    rope_scaling: Mapping[str, Any] | None = None
    """How the rotations are slowed for long texts."""
    layer_norm_eps: float = 1e-5
    """Keeps constant rows finite."""
    use_parallel_residual: bool = True
    """Whether both parts of a block read the same stream."""
    tie_word_embeddings: bool = False
    """Whether the logits are products with the embedding."""
    attention_bias: bool = True
    """Whether the attention's maps have biases."""
    hidden_dropout: float = 0.0
    """Share of units dropped in training."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        rope = dict(data.get("rope_parameters") or {})
        if "partial_rotary_factor" in rope:
            data = {**data, "rotary_pct": rope.pop("partial_rotary_factor")}
            data["rope_parameters"] = rope
        data = rope_fields(data)
        if "rope_theta" in data:
            data["rotary_emb_base"] = data["rope_theta"]
        return data

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to logits; see :meth:`Preset.build` for ``overrides``."""
        where = "GPTNeoX"
        layer_norm = functools.partial(LayerNorm, epsilon=self.layer_norm_eps)
        mixer = {
            "rotary": rotary(
                where, self.rotary_emb_base, self.rope_scaling, fraction=self.rotary_pct
            ),
            "use_bias": self.attention_bias,
            "dropout_rate": self.attention_dropout,
        }
        feedforward = functools.partial(
            FeedForward,
            self.intermediate_size,
            activation=activation(where, "hidden_act", self.hidden_act),
        )
        block = {
            "num_heads": self.num_attention_heads,
            "norm": layer_norm,
            "parallel": self.use_parallel_residual,
            "mixer": mixer,
            "feedforward": feedforward,
            "dropout_rate": self.hidden_dropout,
        }
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.hidden_size,
            "depth": self.num_hidden_layers,
            "norm": layer_norm,
            "rotary": None,
            "tie_embeddings": self.tie_word_embeddings,
            "head_bias": False,
        }
        return assemble(where, Transformer, fields, [block], overrides)

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        hub, width = "gpt_neox", self.hidden_size
        entries = same(f"{hub}.embed_in.weight", "tokens/embedding", self.vocab_size, width)
        for i in range(self.num_hidden_layers):
            entries += self._layer(f"{hub}.layers.{i}", f"blocks_{i}")
        entries += norm(f"{hub}.final_layer_norm", "norm", width, bias=True)
        # Named `lm_head` by some newer libraries.
        tied = {"embed_out.weight": f"{hub}.embed_in.weight"}
        if not self.tie_word_embeddings:
            entries += linear("embed_out", "head", width, self.vocab_size, bias=False)
            tied = {}
        ignored = [r"\.attention\.(masked_)?bias$", r"rotary_emb\.inv_freq$"]
        renames = [(r"^lm_head\.", "embed_out.")]
        return Table(entries, tied=tied, ignored=ignored, prefix="gpt_neox.", renames=renames)

    def _layer(self, hub: str, ours: str) -> list[Entry]:
        width, heads, bias = self.hidden_size, self.num_attention_heads, self.attention_bias
        entries = norm(f"{hub}.input_layernorm", f"{ours}/attention_norm", width, bias=True)
        after = f"{hub}.post_attention_layernorm"
        entries += norm(after, f"{ours}/feedforward_norm", width, bias=True)
        three = [f"{ours}/attention/{name}" for name in ("query", "key", "value")]
        fused = f"{hub}.attention.query_key_value"
        entries += fused_linear(fused, three, width, [width] * 3, groups=heads, bias=bias)
        out = f"{ours}/attention/out"
        entries += linear(f"{hub}.attention.dense", out, width, width, bias=bias)
        up, down = f"{ours}/feedforward/up", f"{ours}/feedforward/down"
        inner = self.intermediate_size
        entries += linear(f"{hub}.mlp.dense_h_to_4h", up, width, inner)
        return entries + linear(f"{hub}.mlp.dense_4h_to_h", down, inner, width)
