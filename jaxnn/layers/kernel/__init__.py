"""Layers whose inputs and weights meet only in a dot product of random features.

"Scalable Neural Network Kernels" (2024): ``universal_phi`` and ``universal_psi`` take a layer
f(w·x) apart, for every f that is a ``Spectrum`` of exponentials and waves; ``relu_features`` do it
for the arc-cosine kernel. ``SNNKDense`` is the layer with few parameters, ``SNNKAdapter`` what it
adds to a frozen network, ``BundledSNNK`` a whole network with linear parameters, which
``fit_readout`` finds at once; ``bundle`` merges a layer with the one after it.
"""

from jaxnn.layers.kernel._features import Spectrum as Spectrum
from jaxnn.layers.kernel._features import arc_cosine_kernel as arc_cosine_kernel
from jaxnn.layers.kernel._features import cosine_spectrum as cosine_spectrum
from jaxnn.layers.kernel._features import exponential_spectrum as exponential_spectrum
from jaxnn.layers.kernel._features import gaussian_spectrum as gaussian_spectrum
from jaxnn.layers.kernel._features import random_directions as random_directions
from jaxnn.layers.kernel._features import relu_features as relu_features
from jaxnn.layers.kernel._features import sine_spectrum as sine_spectrum
from jaxnn.layers.kernel._features import universal_phi as universal_phi
from jaxnn.layers.kernel._features import universal_psi as universal_psi
from jaxnn.layers.kernel._layers import BundledSNNK as BundledSNNK
from jaxnn.layers.kernel._layers import SNNKAdapter as SNNKAdapter
from jaxnn.layers.kernel._layers import SNNKDense as SNNKDense
from jaxnn.layers.kernel._layers import bundle as bundle
from jaxnn.layers.kernel._layers import fit_readout as fit_readout

__all__ = [
    "BundledSNNK",
    "SNNKAdapter",
    "SNNKDense",
    "Spectrum",
    "arc_cosine_kernel",
    "bundle",
    "cosine_spectrum",
    "exponential_spectrum",
    "fit_readout",
    "gaussian_spectrum",
    "random_directions",
    "relu_features",
    "sine_spectrum",
    "universal_phi",
    "universal_psi",
]
