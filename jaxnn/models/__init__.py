"""Networks: layers composed, each with a config dataclass that the command line reads.

Every model takes raw inputs of shape ``(batch, ...)`` and returns ``(batch, outputs)``; the neural
operators ``MgNO``, ``FNO`` and ``DeepONet`` return functions. ``to_nir`` and ``from_nir`` exchange
spiking networks with other simulators.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.models import generation as generation
    from jaxnn.models import nir as nir
    from jaxnn.models import presets as presets
    from jaxnn.models._block import TransformerBlock as TransformerBlock
    from jaxnn.models._compressive import CompressiveTransformer as CompressiveTransformer
    from jaxnn.models._compressive import (
        CompressiveTransformerConfig as CompressiveTransformerConfig,
    )
    from jaxnn.models._encoder_decoder import EncoderDecoder as EncoderDecoder
    from jaxnn.models._gpt import GPTConfig as GPTConfig
    from jaxnn.models._kan import KAN as KAN
    from jaxnn.models._kan import KANConfig as KANConfig
    from jaxnn.models._mlp import MLP as MLP
    from jaxnn.models._mlp import MLPConfig as MLPConfig
    from jaxnn.models._mlp import ResidualMLP as ResidualMLP
    from jaxnn.models._mlp import ResidualMLPConfig as ResidualMLPConfig
    from jaxnn.models._operators import FNO as FNO
    from jaxnn.models._operators import DeepONet as DeepONet
    from jaxnn.models._operators import MgNO as MgNO
    from jaxnn.models._spiking import SpikingMLP as SpikingMLP
    from jaxnn.models._spiking import SpikingMLPConfig as SpikingMLPConfig
    from jaxnn.models._spiking_maps import SpikingConvNet as SpikingConvNet
    from jaxnn.models._spiking_maps import SpikingConvNetConfig as SpikingConvNetConfig
    from jaxnn.models._spiking_maps import SpikingTransformer as SpikingTransformer
    from jaxnn.models._spiking_maps import SpikingTransformerConfig as SpikingTransformerConfig
    from jaxnn.models._stack import TransformerStack as TransformerStack
    from jaxnn.models._stack import stack_blocks as stack_blocks
    from jaxnn.models._stack import unstack_blocks as unstack_blocks
    from jaxnn.models._tabular import AutoInt as AutoInt
    from jaxnn.models._tabular import FieldEmbedding as FieldEmbedding
    from jaxnn.models._tabular import NonParametricTransformer as NonParametricTransformer
    from jaxnn.models._transformer import Transformer as Transformer
    from jaxnn.models._transformer import TransformerConfig as TransformerConfig
    from jaxnn.models._vision import VisionTransformer as VisionTransformer
    from jaxnn.models._vision import VisionTransformerConfig as VisionTransformerConfig
    from jaxnn.models.nir import from_nir as from_nir
    from jaxnn.models.nir import to_nir as to_nir

_NAMES = {
    "AutoInt": "_tabular",
    "CompressiveTransformer": "_compressive",
    "CompressiveTransformerConfig": "_compressive",
    "DeepONet": "_operators",
    "EncoderDecoder": "_encoder_decoder",
    "FNO": "_operators",
    "FieldEmbedding": "_tabular",
    "GPTConfig": "_gpt",
    "KAN": "_kan",
    "KANConfig": "_kan",
    "MLP": "_mlp",
    "MLPConfig": "_mlp",
    "ResidualMLP": "_mlp",
    "ResidualMLPConfig": "_mlp",
    "MgNO": "_operators",
    "NonParametricTransformer": "_tabular",
    "SpikingConvNet": "_spiking_maps",
    "SpikingConvNetConfig": "_spiking_maps",
    "SpikingMLP": "_spiking",
    "SpikingMLPConfig": "_spiking",
    "SpikingTransformer": "_spiking_maps",
    "SpikingTransformerConfig": "_spiking_maps",
    "Transformer": "_transformer",
    "TransformerBlock": "_block",
    "TransformerConfig": "_transformer",
    "TransformerStack": "_stack",
    "VisionTransformer": "_vision",
    "VisionTransformerConfig": "_vision",
    "from_nir": "nir._network",
    "stack_blocks": "_stack",
    "to_nir": "nir._export",
    "unstack_blocks": "_stack",
}

__all__ = [
    "AutoInt",
    "CompressiveTransformer",
    "CompressiveTransformerConfig",
    "DeepONet",
    "EncoderDecoder",
    "FNO",
    "FieldEmbedding",
    "GPTConfig",
    "KAN",
    "KANConfig",
    "MLP",
    "MLPConfig",
    "ResidualMLP",
    "ResidualMLPConfig",
    "MgNO",
    "NonParametricTransformer",
    "SpikingConvNet",
    "SpikingConvNetConfig",
    "SpikingMLP",
    "SpikingMLPConfig",
    "SpikingTransformer",
    "SpikingTransformerConfig",
    "Transformer",
    "TransformerBlock",
    "TransformerConfig",
    "TransformerStack",
    "VisionTransformer",
    "VisionTransformerConfig",
    "from_nir",
    "generation",
    "nir",
    "presets",
    "stack_blocks",
    "to_nir",
    "unstack_blocks",
]

__getattr__, __dir__ = _lazy.attach(
    __name__, submodules=["generation", "nir", "presets"], names=_NAMES
)
