"""Position-wise networks: the affine map, and the two-layer blocks built from it.

``dense``/``Dense`` is the affine map in the form XLA differentiates fastest. ``feed_forward``
is the block of "Attention Is All You Need" (2017); ``gated_feed_forward`` the family of
"GLU Variants Improve Transformer" (2020). ``top_k_feed_forward`` lets only the k largest hidden
units of a token speak: "The Lazy Neuron Phenomenon" (2022). ``fourier_head`` gives logits over
ordered bins that sample one smooth density: "Fourier Head" (2024).
"""

from jaxnn.layers.feedforward._dense import Dense as Dense
from jaxnn.layers.feedforward._dense import dense as dense
from jaxnn.layers.feedforward._feed_forward import FeedForward as FeedForward
from jaxnn.layers.feedforward._feed_forward import feed_forward as feed_forward
from jaxnn.layers.feedforward._fourier_head import FourierHead as FourierHead
from jaxnn.layers.feedforward._fourier_head import fourier_coefficients as fourier_coefficients
from jaxnn.layers.feedforward._fourier_head import fourier_density as fourier_density
from jaxnn.layers.feedforward._fourier_head import fourier_head as fourier_head
from jaxnn.layers.feedforward._fourier_head import fourier_penalty as fourier_penalty
from jaxnn.layers.feedforward._gated import GatedFeedForward as GatedFeedForward
from jaxnn.layers.feedforward._gated import gated_feed_forward as gated_feed_forward
from jaxnn.layers.feedforward._top_k import TopKFeedForward as TopKFeedForward
from jaxnn.layers.feedforward._top_k import keep_top_k as keep_top_k
from jaxnn.layers.feedforward._top_k import top_k_feed_forward as top_k_feed_forward

__all__ = [
    "Dense",
    "FeedForward",
    "FourierHead",
    "GatedFeedForward",
    "TopKFeedForward",
    "dense",
    "feed_forward",
    "fourier_coefficients",
    "fourier_density",
    "fourier_head",
    "fourier_penalty",
    "gated_feed_forward",
    "keep_top_k",
    "top_k_feed_forward",
]
