"""From a folder of the hub to a model that runs."""

import os
from typing import Any

from flax import linen as nn
from jax.typing import DTypeLike

from jaxnn._check import require
from jaxnn.models.presets._bert import BERT
from jaxnn.models.presets._bloom import Bloom
from jaxnn.models.presets._gemma2 import Gemma2
from jaxnn.models.presets._gpt_neox import GPTNeoX
from jaxnn.models.presets._llama import Llama
from jaxnn.models.presets._olmo2 import OLMo2
from jaxnn.models.presets._openelm import OpenELM
from jaxnn.models.presets._opt import OPT
from jaxnn.models.presets._preset import Preset, read_config
from jaxnn.models.presets._t5 import T5
from jaxnn.models.presets._vit import ViT

FAMILIES: tuple[type[Preset], ...] = (
    BERT, Bloom, GPTNeoX, Gemma2, Llama, OLMo2, OPT, OpenELM, T5, ViT,
)  # fmt: skip


def load(
    folder: str | os.PathLike[str], *, dtype: DTypeLike | None = None, **overrides: Any
) -> tuple[nn.Module, dict[str, Any], Preset]:
    """Read a folder of the hub: its config.json and its safetensors.

    Args:
      folder: with ``config.json`` and ``model.safetensors``, or shards and their index.
      dtype: what the parameters are cast to; the files' if ``None``.
      **overrides: given to the preset's ``build``.

    Returns:
      The model, its parameters, and the configuration.

    Raises:
      ValueError: the family is none of ours, or a file is not as the family's are.

    Example:
      >>> model, params, config = presets.load("path/to/opt-125m")  # doctest: +SKIP
      >>> logits = model.apply({"params": params}, tokens)  # doctest: +SKIP
    """
    where = "presets.load"
    kind = read_config(where, folder).get("model_type")
    families = {family.model_type: family for family in FAMILIES}
    require(kind in families, where, "model_type", kind, f"one of {sorted(families)}")
    config = families[str(kind)].from_json(folder)
    return config.build(**overrides), config.from_safetensors(folder, dtype=dtype), config
