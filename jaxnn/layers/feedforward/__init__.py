"""Position-wise networks: the affine map, and the two-layer blocks built from it.

``dense``/``Dense`` is the affine map in the form XLA differentiates fastest. ``feed_forward``
is the block of "Attention Is All You Need" (2017); ``gated_feed_forward`` the family of
"GLU Variants Improve Transformer" (2020). ``top_k_feed_forward`` lets only the k largest hidden
units of a token speak: "The Lazy Neuron Phenomenon" (2022). ``fourier_head`` gives logits over
ordered bins that sample one smooth density: "Fourier Head" (2024). ``inverted_bottleneck`` is
the residual block of "Scaling MLPs: A Tale of Inductive Bias" (2023). ``HyperMixer`` mixes tokens
in attention's place, by weights made from them: "HyperMixer" (2022). ``mu_layer`` has products
where others have activations: "Multilinear Operator Networks" (2024). ``HarmonicHead`` gives logits
by the distance to class centres: "Harmonic Loss Trains Interpretable AI Models" (2025);
``CosineHead`` by the angle: "Hyperspherical embedding for novel class classification" (2021).
"""

from jaxnn.layers.feedforward._cosine import CosineHead as CosineHead
from jaxnn.layers.feedforward._cosine import cosine_logits as cosine_logits
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
from jaxnn.layers.feedforward._harmonic import HarmonicHead as HarmonicHead
from jaxnn.layers.feedforward._harmonic import harmonic_logits as harmonic_logits
from jaxnn.layers.feedforward._hyper_mixer import HyperMixer as HyperMixer
from jaxnn.layers.feedforward._hyper_mixer import hyper_mixing as hyper_mixing
from jaxnn.layers.feedforward._inverted_bottleneck import InvertedBottleneck as InvertedBottleneck
from jaxnn.layers.feedforward._inverted_bottleneck import inverted_bottleneck as inverted_bottleneck
from jaxnn.layers.feedforward._polynomial import Affine as Affine
from jaxnn.layers.feedforward._polynomial import MuLayer as MuLayer
from jaxnn.layers.feedforward._polynomial import MuMixer as MuMixer
from jaxnn.layers.feedforward._polynomial import mu_layer as mu_layer
from jaxnn.layers.feedforward._polynomial import spatial_shift as spatial_shift
from jaxnn.layers.feedforward._top_k import TopKFeedForward as TopKFeedForward
from jaxnn.layers.feedforward._top_k import keep_top_k as keep_top_k
from jaxnn.layers.feedforward._top_k import top_k_feed_forward as top_k_feed_forward

__all__ = [
    "Affine",
    "CosineHead",
    "Dense",
    "FeedForward",
    "FourierHead",
    "GatedFeedForward",
    "HarmonicHead",
    "HyperMixer",
    "InvertedBottleneck",
    "MuLayer",
    "MuMixer",
    "TopKFeedForward",
    "cosine_logits",
    "dense",
    "feed_forward",
    "fourier_coefficients",
    "fourier_density",
    "fourier_head",
    "fourier_penalty",
    "gated_feed_forward",
    "harmonic_logits",
    "hyper_mixing",
    "inverted_bottleneck",
    "keep_top_k",
    "mu_layer",
    "spatial_shift",
    "top_k_feed_forward",
]
