r"""Weight updates that leave what a layer does with its old inputs as it is.

A rule that learns a kernel K from presynaptic traces x and any teaching signal δ, be it
back-propagation through time, e-prop or feedback alignment, adds up :math:`\Delta K = \sum_n x_n
\delta_n^\top`. With every trace projected, :math:`\hat x = (I - H^\top H) x`, it adds up

.. math:: \sum_n \hat x_n \delta_n^\top = (I - H^\top H) \sum_n x_n \delta_n^\top
    = (I - H^\top H)\, \Delta K

so projecting the summed update is the same, whatever made δ. For an old input x in the span of
H's orthonormal rows, :math:`x^\top (I - H^\top H) = 0`: its pre-activations do not change.

===  ==================================================================
K    a kernel, ``(inputs, outputs)``, or of a convolution
H    its subspace, ``(units, inputs)``, e.g. of :func:`hebbian_subspace`
===  ==================================================================

Source: "Hebbian Learning based Orthogonal Projection for Continual Learning of Spiking Neural
Networks" (2024); "Gradient Projection Memory for Continual Learning" (2021) has the same update.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jaxnn._check import require, require_array
from jaxnn.train.continual._subspace import project_out


class OrthogonalProjectionState(NamedTuple):
    """State of :func:`orthogonal_projection`.

    Attributes:
      subspaces: like the parameters, with ``None`` where nothing is projected.
    """

    subspaces: PyTree


def orthogonal_projection(subspaces: PyTree) -> optax.GradientTransformation:
    r"""Project the updates of kernels so that old inputs' pre-activations stay as they are.

    .. math:: \Delta K \leftarrow (I - H^\top H)\, \Delta K

    Put it last: ``optax.chain(optax.adam(1e-3), orthogonal_projection(subspaces))``. Adam's
    element-wise scales and weight decay would turn a projected gradient back; plain descent and
    momentum commute with it, provided the momentum is not one of before.

    A bias is the weight of an input that is always one. Let it be trained and old
    pre-activations move; leave biases out, or freeze them after the first task.

    Args:
      subspaces: a pytree like the parameters with H, ``(units, inputs)``, for each kernel that
        is projected; ``None`` for a leaf, or a whole branch, that is left alone. A kernel's
        leading axes whose sizes multiply to H's inputs are its inputs, so those of a
        convolution, ``(height, width, channels, outputs)``, take the H of flattened patches.

    Returns:
      A transformation of updates. Its state is an :class:`OrthogonalProjectionState`, so that
      subspaces of the same shapes (padded with rows of zeros) are changed without compiling
      again.

    Raises:
      TypeError: a subspace or an update is not an array of floating-point numbers.
      ValueError: ``subspaces`` is not like the parameters, or H does not fit its kernel.

    Example:
      >>> tx = orthogonal_projection({"kernel": jnp.array([[0.0, 1.0]]), "bias": None})
      >>> params = {"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}
      >>> updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params))
      >>> updates["kernel"].tolist(), updates["bias"].tolist()
      ([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], [1.0, 1.0, 1.0])
    """

    def init(params: PyTree) -> OrthogonalProjectionState:
        # Shapes are looked at here, so that a mistake is told before training.
        jax.eval_shape(lambda p: _project(subspaces, p), params)
        # Copied, for a step that donates its state would delete the caller's.
        return OrthogonalProjectionState(jax.tree.map(jnp.array, subspaces))

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, OrthogonalProjectionState]:
        del params
        return _project(state.subspaces, updates), state

    return optax.GradientTransformation(init, update)


def _project(subspaces: PyTree, updates: PyTree) -> PyTree:
    where = "orthogonal_projection"

    def project(keys: tuple, subspace: jax.Array | None, update: PyTree) -> PyTree:
        if subspace is None:
            return update
        path = jax.tree_util.keystr(keys, simple=True, separator="/")
        name = f"subspaces[{path!r}]"
        require_array(where, floating=True, **{name: subspace})
        require(subspace.ndim == 2, where, name, subspace, "shape (units, inputs)")
        require_array(where, floating=True, **{f"updates[{path!r}]": update})
        inputs = subspace.shape[1]
        sizes = [math.prod(update.shape[:axis]) for axis in range(1, update.ndim)]
        needs = f"shape (units, inputs) with the inputs of a kernel of shape {update.shape}"
        require(inputs in sizes, where, name, subspace, needs)
        columns = update.reshape(inputs, -1)
        return project_out(columns.T, subspace).T.reshape(update.shape)

    try:
        return jax.tree.map_with_path(project, subspaces, updates, is_leaf=lambda s: s is None)
    except (KeyError, ValueError) as error:
        if str(error).startswith(where):
            raise
        needs = f"the structure of the parameters, {jax.tree.structure(updates)}"
        require(False, where, "subspaces", jax.tree.structure(subspaces), needs)
        raise
