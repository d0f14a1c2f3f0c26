"""Telling an order-blind network where its tokens are.

Added to the tokens: ``sinusoidal_embedding`` ("Attention Is All You Need", 2017),
``sinusoidal_embedding_2d`` ("Better plain ViT baselines for ImageNet-1k", 2022), and the
learned ``PositionEmbedding``. Turning queries and keys: ``rotary_embedding`` ("RoFormer:
Enhanced Transformer with Rotary Position Embedding", 2021), for longer sequences than trained
on with ``interpolated_frequencies`` ("Extending Context Window of Large Language Models via
Positional Interpolation", 2023), ``ntk_frequencies``, ``dynamic_ntk_frequencies``,
``yarn_frequencies`` ("YaRN: Efficient Context Window Extension of Large Language Models", 2023)
or ``llama3_frequencies`` ("The Llama 3 Herd of Models", 2024). Added to the attention logits:
``alibi_bias`` ("Train Short, Test Long: Attention with Linear Biases Enables Input Length
Extrapolation", 2021) and the learned ``RelativePositionBias`` ("Exploring the Limits of Transfer
Learning with a Unified Text-to-Text Transformer", 2020).
"""

from jaxnn.layers.position._alibi import alibi_bias as alibi_bias
from jaxnn.layers.position._alibi import alibi_slopes as alibi_slopes
from jaxnn.layers.position._frequencies import (
    dynamic_ntk_frequencies as dynamic_ntk_frequencies,
)
from jaxnn.layers.position._frequencies import (
    interpolated_frequencies as interpolated_frequencies,
)
from jaxnn.layers.position._frequencies import llama3_frequencies as llama3_frequencies
from jaxnn.layers.position._frequencies import ntk_frequencies as ntk_frequencies
from jaxnn.layers.position._frequencies import rotary_frequencies as rotary_frequencies
from jaxnn.layers.position._frequencies import yarn_attention_factor as yarn_attention_factor
from jaxnn.layers.position._frequencies import yarn_frequencies as yarn_frequencies
from jaxnn.layers.position._learned import PositionEmbedding as PositionEmbedding
from jaxnn.layers.position._relative import RelativePositionBias as RelativePositionBias
from jaxnn.layers.position._relative import relative_position_bucket as relative_position_bucket
from jaxnn.layers.position._rotary import rotary_embedding as rotary_embedding
from jaxnn.layers.position._sinusoidal import sinusoidal_embedding as sinusoidal_embedding
from jaxnn.layers.position._sinusoidal import sinusoidal_embedding_2d as sinusoidal_embedding_2d

__all__ = [
    "PositionEmbedding",
    "RelativePositionBias",
    "alibi_bias",
    "alibi_slopes",
    "dynamic_ntk_frequencies",
    "interpolated_frequencies",
    "llama3_frequencies",
    "ntk_frequencies",
    "relative_position_bucket",
    "rotary_embedding",
    "rotary_frequencies",
    "sinusoidal_embedding",
    "sinusoidal_embedding_2d",
    "yarn_attention_factor",
    "yarn_frequencies",
]
