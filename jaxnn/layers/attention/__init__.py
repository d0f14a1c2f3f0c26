"""Attention: every query reads a weighted sum of values, weighted by how keys match it.

One protocol: ``(query, key, value, *, mask=None, bias=None, is_causal=False, ...) -> output``
on arrays ``(*batch, time, heads, width)``; a mask broadcasts to ``(*batch, heads, queries,
keys)`` and is True where attention is allowed. Any such function fits the ``attention`` slot of
:class:`MultiHeadAttention`.

``dot_product_attention`` is "Attention Is All You Need" (2017), with the shared keys of
"GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints" (2023);
``sigmoid_attention`` is "Theory, Analysis, and Best Practices for Sigmoid Self-Attention"
(2024). ``clipped_softmax_attention`` is "Quantizable Transformers: Removing Outliers by Helping
Attention Heads Do Nothing" (2023).
``sparse_attention`` and its mask ``sparse_pattern`` are "Generating Long Sequences with Sparse
Transformers" (2019).
"""

from jaxnn.layers.attention._clipped import (
    clipped_softmax_attention as clipped_softmax_attention,
)
from jaxnn.layers.attention._dot_product import dot_product_attention as dot_product_attention
from jaxnn.layers.attention._multi_head import MultiHeadAttention as MultiHeadAttention
from jaxnn.layers.attention._sigmoid import sigmoid_attention as sigmoid_attention
from jaxnn.layers.attention._sparse import sparse_attention as sparse_attention
from jaxnn.layers.attention._sparse import sparse_pattern as sparse_pattern

__all__ = [
    "MultiHeadAttention",
    "clipped_softmax_attention",
    "dot_product_attention",
    "sigmoid_attention",
    "sparse_attention",
    "sparse_pattern",
]
