"""ViT: "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale" (2020).

An image is a sequence of patches and a class token, with learned positions and normalisation
before each part; the logits read the class token.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from jaxnn._check import require
from jaxnn.layers.feedforward import FeedForward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.models._vision import VisionTransformer
from jaxnn.models.presets._preset import Preset, activation, assemble
from jaxnn.models.presets._weights import Entry, Table, linear, norm


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViT(Preset):
    """ViT with a classifier; fields are those of its config.json on the hub.

    "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale" (2020). Images
    are (batch, height, width, channels), unlike the hub's. A file's class token and its position
    are one parameter here, their sum: written back, the sum is the token and the position zero.
    """

    model_type: ClassVar[str] = "vit"

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
    layer_norm_eps: float = 1e-12
    """Keeps constant rows finite."""
    image_size: int = 224
    """Side of an image."""
    patch_size: int = 16
    """Side of a patch."""
    num_channels: int = 3
    """Colours of an image."""
    qkv_bias: bool = True
    """Whether queries, keys and values have biases."""
    num_labels: int = 2
    """Number of classes."""
    hidden_dropout_prob: float = 0.0
    """Share of units dropped in training."""
    attention_probs_dropout_prob: float = 0.0
    """Share of the attention weights dropped in training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        needs = f"a divisor of image_size {self.image_size}"
        require(self.image_size % self.patch_size == 0, "ViT", "patch_size", self.patch_size, needs)

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        data = dict(data)
        if isinstance(data.get("id2label"), Mapping):
            data["num_labels"] = len(data["id2label"])
        for name in ("image_size", "patch_size"):
            side = data.get(name)
            if isinstance(side, list):
                square = len(side) > 0 and len(set(side)) == 1
                require(
                    square, "ViT.from_json", name, side, "one number: only squares are supported"
                )
                data[name] = side[0]
        return data

    def build(self, **overrides: Any) -> VisionTransformer:
        """Make the model: images to logits; see :meth:`Preset.build` for ``overrides``."""
        where = "ViT"
        layer_norm = functools.partial(LayerNorm, epsilon=self.layer_norm_eps)
        feedforward = functools.partial(
            FeedForward,
            self.intermediate_size,
            activation=activation(where, "hidden_act", self.hidden_act),
        )
        mixer = {
            "use_bias": self.qkv_bias,
            "use_out_bias": True,
            "dropout_rate": self.attention_probs_dropout_prob,
        }
        block = {
            "num_heads": self.num_attention_heads,
            "norm": layer_norm,
            "mixer": mixer,
            "feedforward": feedforward,
            "dropout_rate": self.hidden_dropout_prob,
        }
        fields = {
            "outputs": self.num_labels,
            "features": self.hidden_size,
            "depth": self.num_hidden_layers,
            "patch_size": self.patch_size,
            "pooling": "cls",
            "norm": layer_norm,
            "shift": 0,
            "dropout_rate": self.hidden_dropout_prob,
        }
        return assemble(where, VisionTransformer, fields, [block], overrides)

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        hub, width = "vit", self.hidden_size
        entries = self._embedding(f"{hub}.embeddings")
        for i in range(self.num_hidden_layers):
            entries += self._layer(f"{hub}.encoder.layer.{i}", f"blocks_{i}")
        entries += norm(f"{hub}.layernorm", "norm", width, bias=True)
        entries += linear("classifier", "head", width, self.num_labels)
        return Table(entries, ignored=[r"pooler\.dense\.", r"mask_token$"], prefix="vit.")

    def _embedding(self, hub: str) -> list[Entry]:
        width, side, colours = self.hidden_size, self.patch_size, self.num_channels
        count = (self.image_size // side) ** 2

        def flatten(kernel: np.ndarray) -> tuple[np.ndarray]:
            # The hub's convolution reads (out, colour, row, column); a patch is (row, column,
            # colour).
            return (kernel.transpose(2, 3, 1, 0).reshape(-1, width),)

        def unflatten(kernel: np.ndarray) -> tuple[np.ndarray]:
            return (kernel.reshape(side, side, colours, width).transpose(3, 2, 0, 1),)

        def merge(cls: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            # The class token has no position here; only the sum of the two is ever seen.
            return cls[0, 0] + positions[0, 0], positions[0, 1:]

        def part(cls: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            first = np.zeros((1, width), positions.dtype)
            return cls[None, None], np.concatenate([first, positions])[None]

        return [
            Entry(
                {f"{hub}.patch_embeddings.projection.weight": (width, colours, side, side)},
                {"patches/kernel": (side * side * colours, width)},
                flatten,
                unflatten,
            ),
            Entry(
                {f"{hub}.patch_embeddings.projection.bias": (width,)},
                {"patches/bias": (width,)},
                lambda x: (x,),
                lambda x: (x,),
            ),
            Entry(
                {
                    f"{hub}.cls_token": (1, 1, width),
                    f"{hub}.position_embeddings": (1, count + 1, width),
                },
                {"cls": (width,), "position/embedding": (count, width)},
                merge,
                part,
            ),
        ]

    def _layer(self, hub: str, ours: str) -> list[Entry]:
        width, inner = self.hidden_size, self.intermediate_size
        entries = norm(f"{hub}.layernorm_before", f"{ours}/attention_norm", width, bias=True)
        for name in ("query", "key", "value"):
            tensor = f"{hub}.attention.attention.{name}"
            entries += linear(tensor, f"{ours}/attention/{name}", width, width, bias=self.qkv_bias)
        entries += linear(f"{hub}.attention.output.dense", f"{ours}/attention/out", width, width)
        entries += norm(f"{hub}.layernorm_after", f"{ours}/feedforward_norm", width, bias=True)
        entries += linear(f"{hub}.intermediate.dense", f"{ours}/feedforward/up", width, inner)
        return entries + linear(f"{hub}.output.dense", f"{ours}/feedforward/down", inner, width)
