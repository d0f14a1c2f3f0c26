"""What a network is made of: functions on arrays, and linen modules over them.

A room is a family: ``from jaxnn.layers import attention; attention.sigmoid_attention``.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.layers import activations as activations
    from jaxnn.layers import attention as attention
    from jaxnn.layers import feedforward as feedforward
    from jaxnn.layers import interpretable as interpretable
    from jaxnn.layers import kan as kan
    from jaxnn.layers import kernel as kernel
    from jaxnn.layers import normalization as normalization
    from jaxnn.layers import operator as operator
    from jaxnn.layers import polynomial as polynomial
    from jaxnn.layers import position as position
    from jaxnn.layers import rational as rational
    from jaxnn.layers import recurrent as recurrent
    from jaxnn.layers import spiking as spiking

__all__ = [
    "activations",
    "attention",
    "feedforward",
    "interpretable",
    "kan",
    "kernel",
    "normalization",
    "operator",
    "polynomial",
    "position",
    "rational",
    "recurrent",
    "spiking",
]

__getattr__, __dir__ = _lazy.attach(__name__, submodules=__all__)
