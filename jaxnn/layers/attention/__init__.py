"""Attention: every query reads a weighted sum of values, weighted by how keys match it.

One protocol: ``(query, key, value, *, mask=None, bias=None, is_causal=False, ...) -> output``
on arrays ``(*batch, time, heads, width)``; a mask broadcasts to ``(*batch, heads, queries,
keys)`` and is True where attention is allowed. Any such function fits the ``attention`` slot of
:class:`MultiHeadAttention`.

``dot_product_attention`` is "Attention Is All You Need" (2017), with the shared keys of
"GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints" (2023);
``blockwise_attention`` is the same in memory linear in length, "FlashAttention: Fast and
Memory-Efficient Exact Attention with IO-Awareness" (2022);
``sigmoid_attention`` is "Theory, Analysis, and Best Practices for Sigmoid Self-Attention"
(2024). ``clipped_softmax_attention`` is "Quantizable Transformers: Removing Outliers by Helping
Attention Heads Do Nothing" (2023).
``sparse_attention`` (:class:`SparseAttention` to read on from a cache) and its mask
``sparse_pattern`` are "Generating Long Sequences with Sparse Transformers" (2019).
``hopfield_attention``, ``hopfield_energy``, :class:`HopfieldPooling` and :class:`HopfieldLayer` are
"Hopfield Networks is All You Need" (2020).
``linear_attention`` is "Transformers are RNNs: Fast Autoregressive Transformers with Linear
Attention" (2020), ``norm_aware_attention`` "NaLaFormer: Norm-Aware Linear Attention for
Transformer Models" (2025), ``magnitude_aware_attention`` "Rectifying Magnitude Neglect in Linear
Attention" (2025), all three also recurrent (:class:`RecurrentAttention`);
``softmax_free_attention`` is "Softmax-free Linear Transformers" (2022), and
``local_linear_attention`` "Local Linear Attention: An Optimal Interpolation of Linear and
Softmax Attention For Test-Time Regression" (2025).
:class:`SelectiveAttention` is "Selective Attention: Enhancing Transformer through Principled
Context Control" (2024), :class:`CollinearAttention` "Cure the headache of Transformers via
Collinear Constrained Attention" (2023).
:class:`InteractingLayer` is "AutoInt: Automatic Feature Interaction Learning via Self-Attentive
Neural Networks" (2018).
``kolmogorov_arnold_attention`` and :class:`KolmogorovArnoldAttention` are "Kolmogorov-Arnold
Attention: Is Learnable Attention Better For Vision Transformers?" (2025).
``relative_attention`` and its ``relative_shift`` are "Transformer-XL: Attentive Language Models
beyond a Fixed-Length Context" (2019); :class:`CompressiveAttention`, its memory of
:class:`MemorySlots` and the compressions are "Compressive Transformers for Long-Range Sequence
Modelling" (2019).
"""

from jaxnn.layers.attention._blockwise import blockwise_attention as blockwise_attention
from jaxnn.layers.attention._clipped import (
    clipped_softmax_attention as clipped_softmax_attention,
)
from jaxnn.layers.attention._collinear import CollinearAttention as CollinearAttention
from jaxnn.layers.attention._collinear import collinear_query_key as collinear_query_key
from jaxnn.layers.attention._compressive import CompressiveAttention as CompressiveAttention
from jaxnn.layers.attention._compressive import ConvolutionCompression as ConvolutionCompression
from jaxnn.layers.attention._compressive import FixedCompression as FixedCompression
from jaxnn.layers.attention._dot_product import dot_product_attention as dot_product_attention
from jaxnn.layers.attention._hopfield import HopfieldLayer as HopfieldLayer
from jaxnn.layers.attention._hopfield import HopfieldPooling as HopfieldPooling
from jaxnn.layers.attention._hopfield import hopfield_attention as hopfield_attention
from jaxnn.layers.attention._hopfield import hopfield_energy as hopfield_energy
from jaxnn.layers.attention._interacting import InteractingLayer as InteractingLayer
from jaxnn.layers.attention._kolmogorov_arnold import (
    KolmogorovArnoldAttention as KolmogorovArnoldAttention,
)
from jaxnn.layers.attention._kolmogorov_arnold import (
    kolmogorov_arnold_attention as kolmogorov_arnold_attention,
)
from jaxnn.layers.attention._linear import LinearAttention as LinearAttention
from jaxnn.layers.attention._linear import elu_plus_one as elu_plus_one
from jaxnn.layers.attention._linear import linear_attention as linear_attention
from jaxnn.layers.attention._local_linear import local_linear_attention as local_linear_attention
from jaxnn.layers.attention._magnitude_aware import (
    MagnitudeAwareAttention as MagnitudeAwareAttention,
)
from jaxnn.layers.attention._magnitude_aware import (
    magnitude_aware_attention as magnitude_aware_attention,
)
from jaxnn.layers.attention._memory import MemorySlots as MemorySlots
from jaxnn.layers.attention._memory import (
    attention_reconstruction_loss as attention_reconstruction_loss,
)
from jaxnn.layers.attention._memory import convolution_compression as convolution_compression
from jaxnn.layers.attention._memory import max_compression as max_compression
from jaxnn.layers.attention._memory import mean_compression as mean_compression
from jaxnn.layers.attention._memory import memory_init as memory_init
from jaxnn.layers.attention._memory import memory_push as memory_push
from jaxnn.layers.attention._memory import most_used_compression as most_used_compression
from jaxnn.layers.attention._multi_head import MultiHeadAttention as MultiHeadAttention
from jaxnn.layers.attention._norm_aware import NormAwareAttention as NormAwareAttention
from jaxnn.layers.attention._norm_aware import norm_aware_attention as norm_aware_attention
from jaxnn.layers.attention._recurrent import PlacedAttention as PlacedAttention
from jaxnn.layers.attention._recurrent import RecurrentAttention as RecurrentAttention
from jaxnn.layers.attention._relative import relative_attention as relative_attention
from jaxnn.layers.attention._relative import relative_shift as relative_shift
from jaxnn.layers.attention._selective import SelectiveAttention as SelectiveAttention
from jaxnn.layers.attention._selective import selective_temperature as selective_temperature
from jaxnn.layers.attention._sigmoid import sigmoid_attention as sigmoid_attention
from jaxnn.layers.attention._softmax_free import newton_inverse as newton_inverse
from jaxnn.layers.attention._softmax_free import softmax_free_attention as softmax_free_attention
from jaxnn.layers.attention._sparse import SparseAttention as SparseAttention
from jaxnn.layers.attention._sparse import sparse_attention as sparse_attention
from jaxnn.layers.attention._sparse import sparse_pattern as sparse_pattern

__all__ = [
    "CollinearAttention",
    "CompressiveAttention",
    "ConvolutionCompression",
    "FixedCompression",
    "HopfieldLayer",
    "HopfieldPooling",
    "InteractingLayer",
    "KolmogorovArnoldAttention",
    "LinearAttention",
    "MagnitudeAwareAttention",
    "MemorySlots",
    "MultiHeadAttention",
    "NormAwareAttention",
    "PlacedAttention",
    "RecurrentAttention",
    "SelectiveAttention",
    "SparseAttention",
    "attention_reconstruction_loss",
    "blockwise_attention",
    "clipped_softmax_attention",
    "collinear_query_key",
    "convolution_compression",
    "dot_product_attention",
    "elu_plus_one",
    "hopfield_attention",
    "hopfield_energy",
    "kolmogorov_arnold_attention",
    "linear_attention",
    "local_linear_attention",
    "magnitude_aware_attention",
    "max_compression",
    "mean_compression",
    "memory_init",
    "memory_push",
    "most_used_compression",
    "newton_inverse",
    "norm_aware_attention",
    "relative_attention",
    "relative_shift",
    "selective_temperature",
    "sigmoid_attention",
    "softmax_free_attention",
    "sparse_attention",
    "sparse_pattern",
]
