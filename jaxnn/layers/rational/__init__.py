"""Neurons that are quotients of polynomials of their inputs.

``pade_layer`` and the modules are the neurons of "PAON: A New Neuron Model using Padé
Approximants" (2025), which hold the usual neuron, quadratic and self-organised ones as cases.
"""

from jaxnn.layers.rational._pade import PadeConv as PadeConv
from jaxnn.layers.rational._pade import PadeDense as PadeDense
from jaxnn.layers.rational._pade import pade_layer as pade_layer

__all__ = ["PadeConv", "PadeDense", "pade_layer"]
