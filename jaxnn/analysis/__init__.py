"""Transforms of functions and measures on arrays.

A transform takes a function of one example and an example, whatever library the function
comes from; ``jax.vmap`` makes it a batch. A measure takes arrays.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.analysis import activations as activations
    from jaxnn.analysis import attribution as attribution
    from jaxnn.analysis import collapse as collapse
    from jaxnn.analysis import dynamics as dynamics
    from jaxnn.analysis import faithfulness as faithfulness
    from jaxnn.analysis import information as information
    from jaxnn.analysis import separability as separability
    from jaxnn.analysis import similarity as similarity
    from jaxnn.analysis import sparsity as sparsity
    from jaxnn.analysis import spectrum as spectrum
    from jaxnn.analysis import visualization as visualization

__all__ = [
    "activations",
    "attribution",
    "collapse",
    "dynamics",
    "faithfulness",
    "information",
    "separability",
    "similarity",
    "sparsity",
    "spectrum",
    "visualization",
]

__getattr__, __dir__ = _lazy.attach(__name__, submodules=__all__)
