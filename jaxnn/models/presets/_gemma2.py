"""Gemma 2: "Gemma 2: Improving Open Language Models at a Practical Size" (2024).

Llama's parts in another order: a normalisation before and after each part, whose scales count
from one; every other block sees a window only; logits, in the attention and of the tokens, are
capped; the gate is a tanh-GELU, and the tied embedding is multiplied by the root of the width.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from jaxnn._check import require
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention import dot_product_attention
from jaxnn.layers.feedforward import GatedFeedForward
from jaxnn.layers.normalization import RMSNorm
from jaxnn.models._transformer import Transformer
from jaxnn.models.presets._llama import attention_entries, gated_entries
from jaxnn.models.presets._preset import Preset, activation, assemble, rope_fields, rotary
from jaxnn.models.presets._weights import Entry, Table, linear, same

KINDS = ("sliding_attention", "full_attention")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gemma2(Preset):
    """Gemma 2; fields are those of its config.json on the hub.

    "Gemma 2: Improving Open Language Models at a Practical Size" (2024). A file's scales are
    what is added to one; our parameters are the sum, kept in float32 at least.
    """

    model_type: ClassVar[str] = "gemma2"
    fixed: ClassVar = {"use_bidirectional_attention": (None, False)}

    vocab_size: int = 256000
    """Number of tokens."""
    hidden_size: int = 2304
    """Width of the stream."""
    intermediate_size: int = 9216
    """Hidden width of the feed-forward networks."""
    num_hidden_layers: int = 26
    """Number of blocks."""
    num_attention_heads: int = 8
    """Query heads."""
    num_key_value_heads: int = 4
    """Key heads."""
    head_dim: int = 256
    """Width of a head."""
    hidden_activation: str = "gelu_pytorch_tanh"
    """Element-wise function of the gate."""
    rms_norm_eps: float = 1e-6
    """Keeps normalised zeros finite."""
    rope_theta: float = 10000.0
    """Base of the rotations' periods."""
    rope_scaling: Mapping[str, Any] | None = None
    """How the rotations are slowed for long texts."""
    query_pre_attn_scalar: float = 256
    """The attention logits are divided by its root."""
    sliding_window: int = 4096
    """How many keys a query sees in every other block, itself counted."""
    layer_types: Sequence[str] | None = None
    """Which blocks see a window only; every other one, the first included, if None."""
    final_logit_softcapping: float | None = 30.0
    """Bounds the tokens' logits."""
    attn_logit_softcapping: float | None = 50.0
    """Bounds the attention logits."""
    attention_bias: bool = False
    """Whether the attention's maps have biases."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""
    tie_word_embeddings: bool = True
    """Whether the logits are products with the embedding."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layer_types is not None:
            object.__setattr__(self, "layer_types", tuple(self.layer_types))
            require(
                len(self.layer_types) == self.num_hidden_layers
                and set(self.layer_types) <= {*KINDS},
                "Gemma2",
                "layer_types",
                self.layer_types,
                f"{self.num_hidden_layers} names, each one of {KINDS}",
            )

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        return rope_fields(data)

    def build(self, **overrides: Any) -> Transformer:
        """Make the model: tokens to logits; see :meth:`Preset.build` for ``overrides``."""
        where = "Gemma2"
        rms = functools.partial(RMSNorm, epsilon=self.rms_norm_eps)
        attention = dot_product_attention
        if self.attn_logit_softcapping is not None:
            attention = functools.partial(attention, logit_cap=self.attn_logit_softcapping)
        mixer = {
            "qkv_features": self.num_attention_heads * self.head_dim,
            "num_key_value_heads": self.num_key_value_heads,
            "rotary": rotary(where, self.rope_theta, self.rope_scaling),
            "attention": attention,
            "scale": self.query_pre_attn_scalar**-0.5,
            "use_bias": self.attention_bias,
            "dropout_rate": self.attention_dropout,
        }
        feedforward = functools.partial(
            GatedFeedForward,
            self.intermediate_size,
            activation=activation(where, "hidden_activation", self.hidden_activation),
        )
        block = {
            "num_heads": self.num_attention_heads,
            "norm": rms,
            "norm_order": "sandwich",
            "feedforward": feedforward,
        }
        mixers = {KINDS[0]: {**mixer, "window": self.sliding_window}, KINDS[1]: mixer}
        # Blocks take turns: a list that is repeated stands for the whole.
        kinds = self.layer_types or KINDS
        blocks = [{**block, "mixer": mixers[kind]} for kind in kinds]
        if len(set(kinds)) == 1:
            blocks = blocks[:1]
        fields = {
            "vocabulary": self.vocab_size,
            "features": self.hidden_size,
            "depth": self.num_hidden_layers,
            "embedding_scale": math.sqrt(self.hidden_size),
            "norm": rms,
            "rotary": None,
            "tie_embeddings": self.tie_word_embeddings,
            "head_bias": False,
            "logit_cap": self.final_logit_softcapping,
        }
        return assemble(where, Transformer, fields, blocks, overrides)

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        width = self.hidden_size
        entries = same("model.embed_tokens.weight", "tokens/embedding", self.vocab_size, width)
        for i in range(self.num_hidden_layers):
            hub, ours = f"model.layers.{i}", f"blocks_{i}"
            entries += attention_entries(self, hub, ours, self.head_dim, self.attention_bias)
            entries += gated_entries(self, hub, ours)
            for theirs, name in (
                ("input", "attention"),
                ("post_attention", "attention_out"),
                ("pre_feedforward", "feedforward"),
                ("post_feedforward", "feedforward_out"),
            ):
                entries += _norm(f"{hub}.{theirs}_layernorm", f"{ours}/{name}_norm", width)
        entries += _norm("model.norm", "norm", width)
        tied = {"lm_head.weight": "model.embed_tokens.weight"}
        if not self.tie_word_embeddings:
            entries += linear("lm_head", "head", width, self.vocab_size, bias=False)
            tied = {}
        ignored = [r"\.rotary_emb\.inv_freq$"]
        return Table(entries, tied=tied, ignored=ignored, prefix="model.")


def _norm(name: str, path: str, features: int) -> list[Entry]:
    """Make the entry of a normalisation whose file says how far from one each scale is."""
    shape = (features,)
    return [Entry({f"{name}.weight": shape}, {f"{path}/scale": shape}, _add_one, _take_one)]


def _add_one(x: np.ndarray) -> tuple[np.ndarray]:
    # In float32: next to one, bfloat16 has steps of 1/128, and a file's scales are finer.
    wide = x.astype(accumulation_dtype(x.dtype))
    return (wide + np.ones((), wide.dtype),)


def _take_one(scale: np.ndarray) -> tuple[np.ndarray]:
    return (scale - np.ones((), scale.dtype),)
