"""Published families: the hub's config.json and safetensors, our slots.

A preset is a configuration whose fields are those of the family's config.json on the hub. It
builds a :class:`~jaxnn.models.Transformer` (or another model) from slots, and reads and writes
files of weights with the hub's tensor names; torch is not needed. ``load`` reads a folder:

    model, params, config = presets.load("path/to/folder")

``BERT`` ("BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
2018), whose ``sentence_embedding`` is that of MiniLM ("Sentence-BERT: Sentence Embeddings using
Siamese BERT-Networks", 2019); ``Bloom`` ("BLOOM: A 176B-Parameter Open-Access Multilingual
Language Model", 2022); ``Gemma2`` ("Gemma 2: Improving Open Language Models at a Practical
Size", 2024); ``GPTNeoX`` ("GPT-NeoX-20B: An Open-Source Autoregressive Language Model", 2022);
``Llama`` ("LLaMA: Open and Efficient Foundation Language Models", 2023); ``OLMo2`` ("2 OLMo 2
Furious", 2024); ``OpenELM`` ("OpenELM: An Efficient Language Model Family with Open Training and
Inference Framework", 2024); ``OPT`` ("OPT: Open Pre-trained Transformer Language Models", 2022);
``T5`` ("Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", 2020);
``ViT`` ("An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2020).
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.models.presets._bert import BERT as BERT
    from jaxnn.models.presets._bert import sentence_embedding as sentence_embedding
    from jaxnn.models.presets._bloom import Bloom as Bloom
    from jaxnn.models.presets._gemma2 import Gemma2 as Gemma2
    from jaxnn.models.presets._gpt_neox import GPTNeoX as GPTNeoX
    from jaxnn.models.presets._llama import Llama as Llama
    from jaxnn.models.presets._load import load as load
    from jaxnn.models.presets._olmo2 import OLMo2 as OLMo2
    from jaxnn.models.presets._openelm import OpenELM as OpenELM
    from jaxnn.models.presets._opt import OPT as OPT
    from jaxnn.models.presets._preset import Preset as Preset
    from jaxnn.models.presets._t5 import T5 as T5
    from jaxnn.models.presets._vit import ViT as ViT

_NAMES = {
    "BERT": "_bert",
    "Bloom": "_bloom",
    "GPTNeoX": "_gpt_neox",
    "Gemma2": "_gemma2",
    "Llama": "_llama",
    "OLMo2": "_olmo2",
    "OPT": "_opt",
    "OpenELM": "_openelm",
    "Preset": "_preset",
    "T5": "_t5",
    "ViT": "_vit",
    "load": "_load",
    "sentence_embedding": "_bert",
}

__all__ = [
    "BERT",
    "Bloom",
    "GPTNeoX",
    "Gemma2",
    "Llama",
    "OLMo2",
    "OPT",
    "OpenELM",
    "Preset",
    "T5",
    "ViT",
    "load",
    "sentence_embedding",
]

__getattr__, __dir__ = _lazy.attach(__name__, names=_NAMES)
