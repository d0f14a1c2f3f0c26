"""Reading and changing what a linen model computes on its way.

Every intermediate value has a name, the path of the module that returns it, such as
``"blocks_0/attention"``; ``capture`` returns the values by name, ``patch`` replaces them by
name, and ``cut`` makes two functions of a model, up to a name and from it on, for any
transform: the gradient at a layer is ``jax.grad`` of the second.

A module that returns several arrays gives one name each, ``"cell/0"``, ``"cell/1"``; one that
is called several times counts its calls, ``"encoder:0"``, ``"encoder:1"``; a value sown into
the collection "intermediates" is captured as ``"blocks_0/hidden"``.
"""

from jaxnn.analysis.activations._intermediates import capture as capture
from jaxnn.analysis.activations._intermediates import cut as cut
from jaxnn.analysis.activations._intermediates import patch as patch

__all__ = ["capture", "cut", "patch"]
