"""Layers whose outputs explain themselves.

``bcos`` and the modules are the units of "B-cos Networks: Alignment is All We Need for
Interpretability" (2022); ``bcosify`` makes their parameters of a trained network's, as
"B-cosification: Transforming Deep Neural Networks to be Inherently Interpretable" (2024) does,
for inputs that ``complement_encoding`` has encoded.
``jaxnn.analysis.attribution.dynamic_weights`` reads off the explanation.
"""

from jaxnn.layers.interpretable._bcos import BcosConv as BcosConv
from jaxnn.layers.interpretable._bcos import BcosDense as BcosDense
from jaxnn.layers.interpretable._bcos import bcos as bcos
from jaxnn.layers.interpretable._bcosify import bcosify as bcosify
from jaxnn.layers.interpretable._bcosify import complement_encoding as complement_encoding

__all__ = ["BcosConv", "BcosDense", "bcos", "bcosify", "complement_encoding"]
