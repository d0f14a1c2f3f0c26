"""Training without gradients: populations of parameters, of which the better ones are heard.

A strategy is three pure functions, as an optimiser is two: ``init`` makes its state of a pytree
of parameters, ``ask`` draws a population (the same pytree with a first axis), ``tell`` learns
from their losses. ``cma_es`` learns a whole covariance, ``sep_cma_es`` its diagonal,
``gaussian_es`` mutates the best of all so far; only the order of the losses matters to any of
them. ``minimize`` runs a strategy in one scan, the population vmapped.
"""

from jaxnn.train.evolution._cma import CMAState as CMAState
from jaxnn.train.evolution._cma import cma_es as cma_es
from jaxnn.train.evolution._cma import sep_cma_es as sep_cma_es
from jaxnn.train.evolution._gaussian import GaussianState as GaussianState
from jaxnn.train.evolution._gaussian import gaussian_es as gaussian_es
from jaxnn.train.evolution._minimize import minimize as minimize
from jaxnn.train.evolution._strategy import Strategy as Strategy

__all__ = [
    "CMAState",
    "GaussianState",
    "Strategy",
    "cma_es",
    "gaussian_es",
    "minimize",
    "sep_cma_es",
]
