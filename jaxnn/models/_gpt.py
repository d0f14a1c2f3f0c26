"""The config of a small causal transformer that writes.

Sources: "Language Models are Unsupervised Multitask Learners" (2019) for the model; with the
normalisation, gates and positions of "LLaMA: Open and Efficient Foundation Language Models"
(2023).
"""

import dataclasses
import functools
from typing import Literal

from jaxnn._check import require
from jaxnn.layers.feedforward import FeedForward, GatedFeedForward
from jaxnn.layers.normalization import RMSNorm
from jaxnn.models._transformer import Transformer, check_sizes


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    """A causal transformer: each token is guessed from those before it."""

    context: int = 128
    """Tokens it reads at once; texts are cut into windows of this length."""
    width: int = 128
    """Width of the token vectors."""
    depth: int = 4
    """Number of blocks."""
    num_heads: int = 4
    """Number of attention heads."""
    key_heads: int = 0
    """Heads of keys and values, which several query heads share; 0 for one each."""
    hidden: int = 344
    """Hidden width of the feed-forward networks."""
    feedforward: Literal["swiglu", "gelu"] = "swiglu"
    """Feed-forward network: gated by a sigmoid-weighted unit, or plain."""
    dropout: float = 0.0
    """Share of units dropped in training."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> Transformer:
        """Make the network for sequences of shape (time,) over a vocabulary of ``outputs``."""
        where = "GPTConfig"
        require(len(input_shape) == 1, where, "input_shape", input_shape, "the shape (time,)")
        check_sizes(where, self)
        require(
            self.context >= 2, where, "context", self.context, "at least 2 tokens, one to guess"
        )
        require(
            self.key_heads == 0 or (self.key_heads > 0 and self.num_heads % self.key_heads == 0),
            where,
            "key_heads",
            self.key_heads,
            f"0 or a divisor of the {self.num_heads} heads",
        )
        network = GatedFeedForward if self.feedforward == "swiglu" else FeedForward
        return Transformer(
            vocabulary=outputs,
            features=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            num_key_value_heads=self.key_heads or None,
            is_causal=True,
            pooling=None,
            feedforward=functools.partial(network, self.hidden, dropout_rate=self.dropout),
            norm=RMSNorm,
            head_bias=False,
            dropout_rate=self.dropout,
        )
