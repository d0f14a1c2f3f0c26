"""A transformer that reads long texts in segments and remembers those before.

Sources: "Compressive Transformers for Long-Range Sequence Modelling" (2019); without compressed
slots it is "Transformer-XL: Attentive Language Models beyond a Fixed-Length Context" (2019).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnn._check import require, require_count
from jaxnn.layers.attention import (
    CompressiveAttention,
    ConvolutionCompression,
    FixedCompression,
    max_compression,
    mean_compression,
    memory_init,
    most_used_compression,
)
from jaxnn.models._transformer import Transformer, check_sizes


class CompressiveTransformer(Transformer):
    """A causal :class:`Transformer` over segments, whose blocks remember the segments before.

    What it remembers is the collection ``memory``; see
    :class:`~jaxnn.layers.attention.CompressiveAttention`. It goes in and comes out:

    ``logits, after = model.apply({"params": params, "memory": memory}, tokens,
    mutable=["memory", "losses"])``, and the next segment reads ``after["memory"]``.

    Segments of one text follow one another in the same row of the batch. ``after["losses"]`` is
    to be added to the loss of training; it trains the compressions, and nothing else does while
    no gradient flows through the memory.

    Its fields are those of :class:`Transformer`, without ``rotary``, ``attention``,
    ``num_key_value_heads`` and ``normalize_qk``, which its attention has no use for, and

    Attributes:
      memory: slots of each block for its recent inputs.
      compressed_memory: slots of each block for compressed ones; 0 is Transformer-XL.
      compression: factory of what compresses; see
        :class:`~jaxnn.layers.attention.CompressiveAttention`.
      attention_dropout_rate: share of the attention weights dropped when a ``dropout`` key is
        given.
    """

    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    memory: int = 128
    compressed_memory: int = 128
    compression: Callable[..., nn.Module] = functools.partial(ConvolutionCompression, 3)
    attention_dropout_rate: float = 0.0

    def initial_memory(self, batch: int) -> dict[str, Any]:
        """Make the collection ``memory`` before anything was read, for rows of a batch.

        Its structure is what every call returns, so that it may start the carry of a scan.
        """
        require_count("CompressiveTransformer.initial_memory", batch=batch)
        dtype = self.dtype or self.param_dtype
        sizes = {"recent": self.memory, "compressed": self.compressed_memory}
        slots = {
            name: memory_init((batch,), size, self.features, dtype) for name, size in sizes.items()
        }
        names = [f"blocks_{i}" for i in range(self.depth)]
        if self.scan:
            names = ["blocks"]
            slots = jax.tree.map(lambda x: jnp.stack([x] * self.depth), slots)
        return {name: {"attention": slots} for name in names}

    def _default_block(self) -> Callable[..., nn.Module]:
        mixer = functools.partial(
            CompressiveAttention,
            memory=self.memory,
            compressed_memory=self.compressed_memory,
            compression=self.compression,
            dropout_rate=self.attention_dropout_rate,
            dense=self.dense,
        )
        return functools.partial(super()._default_block(), mixer=mixer)


@dataclasses.dataclass(frozen=True)
class CompressiveTransformerConfig:
    """A causal transformer that reads in segments and remembers, part of it compressed."""

    width: int = 128
    """Width of the token vectors."""
    depth: int = 4
    """Number of blocks."""
    num_heads: int = 4
    """Number of attention heads."""
    hidden: int = 512
    """Hidden width of the feed-forward networks."""
    memory: int = 128
    """Slots of each block for recent inputs."""
    compressed_memory: int = 128
    """Slots of each block for compressed ones; 0 for Transformer-XL."""
    rate: int = 3
    """Inputs that are compressed to one."""
    compression: Literal["convolution", "dilated", "mean", "max", "most_used"] = "convolution"
    """How they are."""
    dropout: float = 0.0
    """Share of units dropped in training."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> CompressiveTransformer:
        """Make the network for segments of shape (time,) over a vocabulary of ``outputs``."""
        where = "CompressiveTransformerConfig"
        require(len(input_shape) == 1, where, "input_shape", input_shape, "the shape (time,)")
        check_sizes(where, self)
        require_count(where, rate=self.rate)
        require(
            self.compressed_memory == 0 or self.rate <= input_shape[0],
            where,
            "rate",
            self.rate,
            f"at most the {input_shape[0]} tokens of a segment",
        )
        for name in ("memory", "compressed_memory"):
            slots = getattr(self, name)
            require(slots >= 0, where, name, slots, "a whole number of at least 0")
        compression = COMPRESSIONS[self.compression]
        return CompressiveTransformer(
            vocabulary=outputs,
            features=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            hidden_features=self.hidden,
            memory=self.memory,
            compressed_memory=self.compressed_memory,
            compression=functools.partial(compression, self.rate),
            dropout_rate=self.dropout,
        )


COMPRESSIONS: dict[str, Callable[..., nn.Module]] = {
    "convolution": ConvolutionCompression,
    "dilated": functools.partial(ConvolutionCompression, dilation=2),
    "mean": functools.partial(FixedCompression, function=mean_compression),
    "max": functools.partial(FixedCompression, function=max_compression),
    "most_used": functools.partial(FixedCompression, function=most_used_compression),
}
