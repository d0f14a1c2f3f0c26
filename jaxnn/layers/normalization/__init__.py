"""Normalising each example over its features, with statistics in float32.

``layer_norm`` is "Layer Normalization" (2016), ``rms_norm`` is "Root Mean Square Layer
Normalization" (2019). Both differentiate in forward and reverse mode.
"""

from jaxnn.layers.normalization._layer_norm import LayerNorm as LayerNorm
from jaxnn.layers.normalization._layer_norm import layer_norm as layer_norm
from jaxnn.layers.normalization._rms_norm import RMSNorm as RMSNorm
from jaxnn.layers.normalization._rms_norm import rms_norm as rms_norm

__all__ = ["LayerNorm", "RMSNorm", "layer_norm", "rms_norm"]
