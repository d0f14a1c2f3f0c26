"""Training: one state, one step type, one loop, and checkpoints that lose nothing.

A step is ``(state, batch) -> (state, metrics)``; every training algorithm is a builder of such
a step or an ``optax.GradientTransformation``, so that :func:`fit`, or a loop of one's own,
runs them all.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.train import adaptation as adaptation
    from jaxnn.train import continual as continual
    from jaxnn.train import evolution as evolution
    from jaxnn.train import local_learning as local_learning
    from jaxnn.train import losses as losses
    from jaxnn.train import online as online
    from jaxnn.train import optimizers as optimizers
    from jaxnn.train import parallel as parallel
    from jaxnn.train import pruning as pruning
    from jaxnn.train._checkpoint import Checkpoints as Checkpoints
    from jaxnn.train._checkpoint import DamagedCheckpoint as DamagedCheckpoint
    from jaxnn.train._cost import Cost as Cost
    from jaxnn.train._cost import cost_of as cost_of
    from jaxnn.train._cost import peak_flops as peak_flops
    from jaxnn.train._evaluate import evaluate as evaluate
    from jaxnn.train._evaluate import predict as predict
    from jaxnn.train._feed import Position as Position
    from jaxnn.train._fit import NonFinite as NonFinite
    from jaxnn.train._fit import fit as fit
    from jaxnn.train._monitor import Monitor as Monitor
    from jaxnn.train._nonfinite import skip_nonfinite as skip_nonfinite
    from jaxnn.train._policy import Policy as Policy
    from jaxnn.train._runs import Run as Run
    from jaxnn.train._runs import create_run as create_run
    from jaxnn.train._runs import open_run as open_run
    from jaxnn.train._state import TrainState as TrainState
    from jaxnn.train._state import create_state as create_state
    from jaxnn.train._step import Step as Step
    from jaxnn.train._step import make_gradient_step as make_gradient_step
    from jaxnn.train._step import make_step as make_step
    from jaxnn.train._tensorboard import tensorboard_writer as tensorboard_writer

_NAMES = {
    "Checkpoints": "_checkpoint",
    "Cost": "_cost",
    "DamagedCheckpoint": "_checkpoint",
    "Monitor": "_monitor",
    "NonFinite": "_fit",
    "Policy": "_policy",
    "Position": "_feed",
    "Run": "_runs",
    "Step": "_step",
    "TrainState": "_state",
    "cost_of": "_cost",
    "create_run": "_runs",
    "create_state": "_state",
    "evaluate": "_evaluate",
    "fit": "_fit",
    "make_gradient_step": "_step",
    "make_step": "_step",
    "open_run": "_runs",
    "peak_flops": "_cost",
    "predict": "_evaluate",
    "skip_nonfinite": "_nonfinite",
    "tensorboard_writer": "_tensorboard",
}

__all__ = [
    "Checkpoints",
    "Cost",
    "DamagedCheckpoint",
    "Monitor",
    "NonFinite",
    "Policy",
    "Position",
    "Run",
    "Step",
    "TrainState",
    "adaptation",
    "continual",
    "cost_of",
    "create_run",
    "create_state",
    "evaluate",
    "evolution",
    "fit",
    "local_learning",
    "losses",
    "make_gradient_step",
    "make_step",
    "online",
    "open_run",
    "optimizers",
    "parallel",
    "peak_flops",
    "predict",
    "pruning",
    "skip_nonfinite",
    "tensorboard_writer",
]

__getattr__, __dir__ = _lazy.attach(
    __name__,
    submodules=(
        "adaptation",
        "continual",
        "evolution",
        "local_learning",
        "losses",
        "online",
        "optimizers",
        "parallel",
        "pruning",
    ),
    names=_NAMES,
)
