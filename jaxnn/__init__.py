"""Neural networks as pure functions in JAX.

Rooms: ``layers`` (mechanisms as functions and linen modules), ``models`` (layers composed),
``train`` (state, steps, loop, checkpoints), ``analysis`` (transforms of functions and
measures on arrays), ``data`` (embedded and generated), ``claims`` (what the papers say,
as experiments that run). Each loads when it is first used.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy
from jaxnn._version import __version__ as __version__

if TYPE_CHECKING:
    from jaxnn import analysis as analysis
    from jaxnn import claims as claims
    from jaxnn import data as data
    from jaxnn import layers as layers
    from jaxnn import models as models
    from jaxnn import train as train

__all__ = ["__version__", "analysis", "claims", "data", "layers", "models", "train"]

__getattr__, __dir__ = _lazy.attach(__name__, submodules=__all__[1:])
