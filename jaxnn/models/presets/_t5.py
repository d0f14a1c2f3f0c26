"""T5: "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (2020).

An encoder and a decoder with one embedding, biases of relative positions that all blocks of a
half share, attention logits that are not scaled, root-mean-square normalisation before each
part, and no biases. Version 1.1 has gated feed-forward networks and a head of its own.
"""

import dataclasses
import functools
from typing import Any, ClassVar

from jaxnn._check import require
from jaxnn.layers.feedforward import FeedForward, GatedFeedForward
from jaxnn.layers.normalization import RMSNorm
from jaxnn.layers.position import RelativePositionBias
from jaxnn.models._encoder_decoder import EncoderDecoder
from jaxnn.models.presets._preset import ACTIVATIONS, Preset, assemble
from jaxnn.models.presets._weights import Entry, Table, linear, norm, same


@dataclasses.dataclass(frozen=True, kw_only=True)
class T5(Preset):
    """T5, T5 1.1 and FLAN-T5; fields are those of their config.json on the hub.

    "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (2020).
    Version 1.1 is ``feed_forward_proj="gated-gelu"`` with ``tie_word_embeddings=False``.
    """

    model_type: ClassVar[str] = "t5"

    vocab_size: int = 32128
    """Number of tokens."""
    d_model: int = 512
    """Width of the stream."""
    d_kv: int = 64
    """Width of a head."""
    d_ff: int = 2048
    """Hidden width of the feed-forward networks."""
    num_layers: int = 6
    """Number of blocks of the encoder."""
    num_decoder_layers: int | None = None
    """Number of blocks of the decoder; as many if None."""
    num_heads: int = 8
    """Heads."""
    relative_attention_num_buckets: int = 32
    """Number of distances told apart."""
    relative_attention_max_distance: int = 128
    """Distance from which all are one."""
    dropout_rate: float = 0.1
    """Share of units dropped in training."""
    layer_norm_epsilon: float = 1e-6
    """Keeps normalised zeros finite."""
    feed_forward_proj: str = "relu"
    """Element-wise function of the feed-forward networks, after ``gated-`` if they are gated."""
    tie_word_embeddings: bool = True
    """Whether the logits are products with the embedding."""
    scale_decoder_outputs: bool | None = None
    """Whether the logits are of vectors over the root of the width; as tied if None."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = sorted(ACTIVATIONS) + [f"gated-{name}" for name in sorted(ACTIVATIONS)]
        proj = self.feed_forward_proj
        require(proj in names, "T5", "feed_forward_proj", proj, f"one of {names}")

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        # Newer files say of version 1.1 too that it is tied, and tell it by this field only.
        untied = data.get("scale_decoder_outputs") is False
        return {**data, "tie_word_embeddings": False} if untied else data

    def build(self, **overrides: Any) -> EncoderDecoder:
        """Make the model: two texts to logits; see :meth:`Preset.build` for ``overrides``."""
        rms = functools.partial(RMSNorm, epsilon=self.layer_norm_epsilon)
        mixer = {
            "qkv_features": self.num_heads * self.d_kv,
            "scale": 1.0,
            "use_bias": False,
            "dropout_rate": self.dropout_rate,
        }
        gated, act = self._gated, self.feed_forward_proj.removeprefix("gated-")
        feedforward = functools.partial(
            GatedFeedForward if gated else FeedForward,
            self.d_ff,
            # The gate of version 1.1 is the tanh form, whatever its file says.
            activation=ACTIVATIONS["gelu_new" if gated and act == "gelu" else act],
            use_bias=False,
            dropout_rate=self.dropout_rate,
        )
        block = {
            "num_heads": self.num_heads,
            "norm": rms,
            "mixer": mixer,
            "feedforward": feedforward,
            "dropout_rate": self.dropout_rate,
        }
        bias = functools.partial(
            RelativePositionBias,
            self.num_heads,
            num_buckets=self.relative_attention_num_buckets,
            max_distance=self.relative_attention_max_distance,
        )
        scaled = self.scale_decoder_outputs
        scaled = self.tie_word_embeddings if scaled is None else scaled
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.d_model,
            "depth": self.num_layers,
            "decoder_depth": self.num_decoder_layers,
            "num_heads": self.num_heads,
            "encoder_position_bias": bias,
            "decoder_position_bias": functools.partial(bias, is_causal=True),
            "norm": rms,
            "tie_embeddings": self.tie_word_embeddings,
            "head_scale": self.d_model**-0.5 if scaled else 1.0,
            "head_bias": False,
            "dropout_rate": self.dropout_rate,
        }
        blocks = {"encoder_block": [block], "decoder_block": [{**block, "cross": mixer}]}
        return assemble("T5", EncoderDecoder, fields, blocks, overrides)

    @property
    def _gated(self) -> bool:
        return self.feed_forward_proj.startswith("gated-")

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        entries = same("shared.weight", "tokens/embedding", self.vocab_size, self.d_model)
        buckets = (self.relative_attention_num_buckets, self.num_heads)
        depths = {"encoder": self.num_layers}
        depths["decoder"] = self.num_decoder_layers or self.num_layers
        for half, depth in depths.items():
            first = f"{half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            entries += same(first, f"{half}_positions/embedding", *buckets)
            for i in range(depth):
                entries += self._layer(half, f"{half}.block.{i}.layer", f"{half}/blocks_{i}")
            entries += norm(f"{half}.final_layer_norm", f"{half}/norm", self.d_model)
        tied = {f"{half}.embed_tokens.weight": "shared.weight" for half in depths}
        if self.tie_word_embeddings:
            tied["lm_head.weight"] = "shared.weight"
        else:
            entries += linear("lm_head", "head", self.d_model, self.vocab_size, bias=False)
        ignored = [r"EncDecAttention\.relative_attention_bias\.weight$"]
        return Table(entries, tied=tied, ignored=ignored)

    def _layer(self, half: str, hub: str, ours: str) -> list[Entry]:
        entries = self._attention(f"{hub}.0", "SelfAttention", ours, "attention")
        last = 1
        if half == "decoder":
            entries += self._attention(f"{hub}.1", "EncDecAttention", ours, "cross")
            last = 2
        entries += norm(f"{hub}.{last}.layer_norm", f"{ours}/feedforward_norm", self.d_model)
        inward = {"wi_0": "gate", "wi_1": "up"} if self._gated else {"wi": "up"}
        for theirs, name in inward.items():
            tensor, path = f"{hub}.{last}.DenseReluDense.{theirs}", f"{ours}/feedforward/{name}"
            entries += linear(tensor, path, self.d_model, self.d_ff, bias=False)
        tensor, path = f"{hub}.{last}.DenseReluDense.wo", f"{ours}/feedforward/down"
        return entries + linear(tensor, path, self.d_ff, self.d_model, bias=False)

    def _attention(self, hub: str, theirs: str, ours: str, name: str) -> list[Entry]:
        inner = self.num_heads * self.d_kv
        entries = norm(f"{hub}.layer_norm", f"{ours}/{name}_norm", self.d_model)
        for letter, part in (("q", "query"), ("k", "key"), ("v", "value")):
            tensor, path = f"{hub}.{theirs}.{letter}", f"{ours}/{name}/{part}"
            entries += linear(tensor, path, self.d_model, inner, bias=False)
        tensor, path = f"{hub}.{theirs}.o", f"{ours}/{name}/out"
        return entries + linear(tensor, path, inner, self.d_model, bias=False)
