"""OpenELM: "OpenELM: An Efficient Language Model Family with Open Training and Inference
Framework" (2024).

Llama's parts, with each head's queries and keys normalised and tied embeddings. What is its own:
blocks are narrow near the input and wide near the output. With N blocks of a stream of width d,
block i has α_i d / d_h query heads of width d_h and β_i d hidden units, where α and β rise in
equal steps ("layer-wise scaling"), rounded to two decimals and the widths to whole multiples.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from jaxnn._check import require
from jaxnn.layers.feedforward import FeedForward, GatedFeedForward
from jaxnn.layers.normalization import RMSNorm
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._preset import Preset, activation, assemble, rotary
from jaxnn.models.presets._weights import Entry, Table, fused_linear, linear, norm, same


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenELM(Preset):
    """OpenELM; fields are those of its config.json on the hub.

    "OpenELM: An Efficient Language Model Family with Open Training and Inference Framework"
    (2024).
    """

    model_type: ClassVar[str] = "openelm"
    fixed: ClassVar = {"normalization_layer_name": ("rms_norm",)}

    vocab_size: int = 32000
    """Number of tokens."""
    num_transformer_layers: int = 12
    """Number of blocks."""
    model_dim: int = 2048
    """Width of the stream."""
    head_dim: int = 128
    """Width of a head."""
    qkv_multipliers: float | Sequence[float] = 1.0
    """Width of all query heads over the stream's: of every block, or of the first and the last."""
    num_gqa_groups: int = 1
    """Query heads that share one key head."""
    ffn_multipliers: float | Sequence[float] = 4.0
    """Hidden width over the stream's: of every block, of the first and the last, or of each."""
    ffn_with_glu: bool = True
    """Whether the feed-forward networks are gated."""
    ffn_dim_divisor: int = 256
    """What hidden widths are whole multiples of."""
    activation_fn_name: str = "swish"
    """Element-wise function of the feed-forward networks."""
    normalize_qk_projections: bool = False
    """Whether each head's queries and keys are normalised; they are in the published models."""
    share_input_output_layers: bool = False
    """Whether the logits are products with the embedding; they are in the published models."""
    rope_freq_constant: float = 10000
    """Base of the rotations' periods."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("qkv_multipliers", "ffn_multipliers"):
            value = getattr(self, name)
            if isinstance(value, Sequence):
                object.__setattr__(self, name, tuple(value))
        most = "a number or two, of the first block and the last"
        alphas, betas = self.qkv_multipliers, self.ffn_multipliers
        one = not isinstance(alphas, Sequence)
        require(one or len(alphas) == 2, "OpenELM", "qkv_multipliers", alphas, most)
        each = not isinstance(betas, Sequence) or len(betas) in (2, self.num_transformer_layers)
        require(each, "OpenELM", "ffn_multipliers", betas, f"{most}, or one for each block")

    @property
    def num_query_heads(self) -> tuple[int, ...]:
        """Query heads of each block."""
        divisor = self.head_dim * self.num_gqa_groups
        factors = self._factors(self.qkv_multipliers)
        return tuple(_multiple(self.model_dim * a, divisor) // self.head_dim for a in factors)

    @property
    def num_kv_heads(self) -> tuple[int, ...]:
        """Key heads of each block."""
        return tuple(heads // self.num_gqa_groups for heads in self.num_query_heads)

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Hidden width of each block's feed-forward network."""
        factors = self._factors(self.ffn_multipliers)
        return tuple(_multiple(self.model_dim * b, self.ffn_dim_divisor) for b in factors)

    def _factors(self, given: float | Sequence[float]) -> list[float]:
        depth = self.num_transformer_layers
        if not isinstance(given, Sequence):
            return [given] * depth
        if len(given) == depth != 2:
            return list(given)
        return [round(factor, 2) for factor in np.linspace(*given, num=depth).tolist()]

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to logits; see :meth:`Preset.build` for ``overrides``."""
        where = "OpenELM"
        rms = functools.partial(RMSNorm, epsilon=1e-6)
        blocks = []
        heads, key_heads = self.num_query_heads, self.num_kv_heads
        act = activation(where, "activation_fn_name", self.activation_fn_name)
        network = GatedFeedForward if self.ffn_with_glu else FeedForward
        for own, shared, hidden in zip(heads, key_heads, self.hidden_widths, strict=True):
            mixer = {
                "qkv_features": own * self.head_dim,
                "num_key_value_heads": shared,
                "rotary": rotary(where, self.rope_freq_constant, None),
                "normalize_qk": "head" if self.normalize_qk_projections else False,
                "qk_norm": rms,
                "use_bias": False,
            }
            blocks.append(
                {
                    "num_heads": own,
                    "norm": rms,
                    "mixer": mixer,
                    "feedforward": functools.partial(
                        network, hidden, activation=act, use_bias=False
                    ),
                }
            )
        if len(set(zip(heads, self.hidden_widths, strict=True))) == 1:
            blocks = blocks[:1]
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.model_dim,
            "depth": self.num_transformer_layers,
            "norm": rms,
            "rotary": None,
            "tie_embeddings": self.share_input_output_layers,
            "head_bias": False,
        }
        return assemble(where, Transformer, fields, blocks, overrides)

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        hub, width = "transformer", self.model_dim
        first = f"{hub}.token_embeddings.weight"
        entries = same(first, "tokens/embedding", self.vocab_size, width)
        for i in range(self.num_transformer_layers):
            entries += self._layer(i, f"{hub}.layers.{i}", f"blocks_{i}")
        entries += norm(f"{hub}.norm", "norm", width)
        tied = {"lm_head.weight": first}
        if not self.share_input_output_layers:
            entries += linear("lm_head", "head", width, self.vocab_size, bias=False)
            tied = {}
        ignored = [r"\.pos_embedding\.inv_freq$", r"^causal_mask$", r"\.causal_mask$"]
        return Table(entries, tied=tied, ignored=ignored, prefix="transformer.")

    def _layer(self, i: int, hub: str, ours: str) -> list[Entry]:
        width, hidden = self.model_dim, self.hidden_widths[i]
        own, shared = (n[i] * self.head_dim for n in (self.num_query_heads, self.num_kv_heads))
        three = [f"{ours}/attention/{name}" for name in ("query", "key", "value")]
        sizes = [own, shared, shared]
        entries = fused_linear(f"{hub}.attn.qkv_proj", three, width, sizes, bias=False)
        entries += linear(f"{hub}.attn.out_proj", f"{ours}/attention/out", own, width, bias=False)
        if self.normalize_qk_projections:
            for letter, name in (("q", "query"), ("k", "key")):
                path = f"{ours}/attention/{name}_norm"
                entries += norm(f"{hub}.attn.{letter}_norm", path, self.head_dim)
        up = [f"{ours}/feedforward/{name}" for name in ("gate", "up")[not self.ffn_with_glu :]]
        entries += fused_linear(f"{hub}.ffn.proj_1", up, width, [hidden] * len(up), bias=False)
        down = f"{ours}/feedforward/down"
        entries += linear(f"{hub}.ffn.proj_2", down, hidden, width, bias=False)
        entries += norm(f"{hub}.attn_norm", f"{ours}/attention_norm", width)
        return entries + norm(f"{hub}.ffn_norm", f"{ours}/feedforward_norm", width)


def _multiple(size: float, divisor: int) -> int:
    """Round to a whole multiple, up where down would lose more than a tenth."""
    rounded = max(divisor, int(size + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * size else rounded
