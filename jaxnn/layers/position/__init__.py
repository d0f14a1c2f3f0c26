"""Telling an order-blind network where its tokens are.

Added to the tokens: ``sinusoidal_embedding`` ("Attention Is All You Need", 2017),
``sinusoidal_embedding_2d`` ("Better plain ViT baselines for ImageNet-1k", 2022), and the
learned ``PositionEmbedding``. Turning queries and keys: ``rotary_embedding`` ("RoFormer:
Enhanced Transformer with Rotary Position Embedding", 2021). Added to the attention logits:
``alibi_bias`` ("Train Short, Test Long: Attention with Linear Biases Enables Input Length
Extrapolation", 2021).
"""

from jaxnn.layers.position._alibi import alibi_bias as alibi_bias
from jaxnn.layers.position._alibi import alibi_slopes as alibi_slopes
from jaxnn.layers.position._learned import PositionEmbedding as PositionEmbedding
from jaxnn.layers.position._rotary import rotary_embedding as rotary_embedding
from jaxnn.layers.position._sinusoidal import sinusoidal_embedding as sinusoidal_embedding
from jaxnn.layers.position._sinusoidal import sinusoidal_embedding_2d as sinusoidal_embedding_2d

__all__ = [
    "PositionEmbedding",
    "alibi_bias",
    "alibi_slopes",
    "rotary_embedding",
    "sinusoidal_embedding",
    "sinusoidal_embedding_2d",
]
