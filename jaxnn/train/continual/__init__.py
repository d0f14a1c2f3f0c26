"""Learning tasks one after the other without losing the earlier ones.

The metrics are pure functions of a matrix of accuracies: ``average_accuracy``,
``backward_transfer`` and ``forward_transfer`` ("Gradient Episodic Memory for Continual Learning",
2017) and ``forgetting`` ("Riemannian Walk for Incremental Learning: Understanding Forgetting and
Intransigence", 2018).

``orthogonal_projection`` keeps weight updates out of the subspaces of old inputs, which
``hebbian_subspace`` learns while data stream by ("Hebbian Learning based Orthogonal Projection for
Continual Learning of Spiking Neural Networks", 2024) or ``principal_subspace`` finds by an SVD
("Gradient Projection Memory for Continual Learning", 2021). A task is

    h = continual.grow_subspace(h, 20, key=key)  # room for this task
    tx = optax.chain(optax.sgd(0.1), continual.orthogonal_projection({"kernel": h[:-20]}))
    ...  # train; then, or at the same time, for each batch:
    h = continual.hebbian_subspace(h, x, rate=0.01, frozen=len(h) - 20)

``fisher_diagonal`` and ``consolidation_penalty`` are elastic weight consolidation ("Overcoming
catastrophic forgetting in neural networks", 2017): after each task,

    fisher = continual.fisher_diagonal(log_probabilities, params, x)
    anchors.append(continual.Anchor(params, fisher))
    ...  # then minimise loss(params) + continual.consolidation_penalty(params, anchors)

``train.make_gradient_step`` makes a step of the gradient of such a sum.
"""

from jaxnn.train.continual._consolidation import Anchor as Anchor
from jaxnn.train.continual._consolidation import consolidation_penalty as consolidation_penalty
from jaxnn.train.continual._consolidation import fisher_diagonal as fisher_diagonal
from jaxnn.train.continual._metrics import average_accuracy as average_accuracy
from jaxnn.train.continual._metrics import backward_transfer as backward_transfer
from jaxnn.train.continual._metrics import forgetting as forgetting
from jaxnn.train.continual._metrics import forward_transfer as forward_transfer
from jaxnn.train.continual._projection import OrthogonalProjectionState as OrthogonalProjectionState
from jaxnn.train.continual._projection import orthogonal_projection as orthogonal_projection
from jaxnn.train.continual._subspace import grow_subspace as grow_subspace
from jaxnn.train.continual._subspace import hebbian_subspace as hebbian_subspace
from jaxnn.train.continual._subspace import principal_subspace as principal_subspace
from jaxnn.train.continual._subspace import project_out as project_out

__all__ = [
    "Anchor",
    "OrthogonalProjectionState",
    "average_accuracy",
    "backward_transfer",
    "consolidation_penalty",
    "fisher_diagonal",
    "forgetting",
    "forward_transfer",
    "grow_subspace",
    "hebbian_subspace",
    "orthogonal_projection",
    "principal_subspace",
    "project_out",
]
