r"""The subspace that a layer's old inputs live in, learned by Hebbian neurons or found by an SVD.

Neurons with lateral connections see the inputs x (or traces) of a layer, answer y = H x, and
learn by what their own feedback does not explain:

.. math:: \Delta H = \eta\, y (x - H^\top y)^\top = \eta\, (y x^\top - y y^\top H)

which is Oja's subspace rule: the rows of H become an orthonormal basis of the principal subspace.
The same feedback takes the subspace out of an input, :math:`\hat x = x - H^\top H x`. For a new
task the neurons of the old ones are frozen and new ones appended, which learn in what those leave
over.

===  ==========================================================
x    inputs or traces of a layer, ``(*batch, inputs)``
H    ``subspace``, ``(units, inputs)``; rows of zeros do nothing
η    ``rate``
===  ==========================================================

Source: "Hebbian Learning based Orthogonal Projection for Continual Learning of Spiking Neural
Networks" (2024); the rule is that of "Neural Networks, Principal Components, and Subspaces"
(1989). :func:`principal_subspace` is that of "Gradient Projection Memory for Continual Learning"
(2021).
"""

from numbers import Integral, Real

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array, require_count, require_key
from jaxnn._numeric import accumulation_dtype


def grow_subspace(
    subspace: Float[Array, "units inputs"], units: int, *, key: jax.Array
) -> Float[Array, "grown inputs"]:
    """Append new neurons with random orthonormal weights, orthogonal to those that are there.

    Args:
      subspace: H; ``jnp.zeros((0, inputs))`` before the first task.
      units: how many are appended.
      key: of the random weights.

    Returns:
      H with ``units`` more rows, those of ``subspace`` first and unchanged.

    Raises:
      TypeError: ``subspace`` is not an array of floating-point numbers, or ``key`` not a key.
      ValueError: there would be more neurons than inputs.

    Example:
      >>> h = grow_subspace(jnp.zeros((0, 5)), 2, key=jax.random.key(0))
      >>> h = grow_subspace(h, 1, key=jax.random.key(1))
      >>> jnp.allclose(h @ h.T, jnp.eye(3), atol=1e-5).item()
      True
    """
    where = "grow_subspace"
    _require_subspace(where, subspace)
    require_count(where, units=units)
    require_key(where, key)
    known, inputs = subspace.shape
    needs = f"at most {inputs - known}, for {known} neurons of {inputs} inputs are there"
    require(units <= inputs - known, where, "units", units, needs)
    wide = accumulation_dtype(subspace.dtype)
    old = subspace.astype(wide)
    new = jax.random.normal(key, (units, inputs), wide)
    # Twice, since one pass of a Gram-Schmidt projection leaves round-off behind.
    for _ in range(2):
        new = jnp.linalg.qr(project_out(new, old).T)[0].T
    return jnp.concatenate([subspace, new.astype(subspace.dtype)])


def hebbian_subspace(
    subspace: Float[Array, "units inputs"],
    x: Float[Array, "*batch inputs"],
    *,
    rate: Float[Array, ""] | float,
    frozen: Int[Array, ""] | int = 0,
) -> Float[Array, "units inputs"]:
    r"""Let the lateral neurons learn once from a batch, by the mean of their updates.

    .. math:: H' = H + \eta\, \langle y (x - H^\top y)^\top \rangle, \quad y = H x

    Stream batches through it, as with ``jax.lax.scan``. It settles where the rows span the
    principal subspace of the *uncentred* x, orthonormal, with the frozen rows' share taken out.

    Args:
      subspace: H.
      x: inputs or traces; all axes but the last are averaged over.
      rate: η. Lengths settle without overshoot when it is at most half of one over the largest
        eigenvalue of ⟨x xᵀ⟩, so half of one over ⟨xᵀ x⟩ is always safe.
      frozen: the first so many rows stay as they are, while their feedback goes on.

    Returns:
      The new H, in the dtype of ``subspace``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, or an option is out of range.

    Example:
      >>> x = jnp.array([[3.0, 4.0]])
      >>> h = jnp.array([[1.0, 0.0]])
      >>> for _ in range(100):
      ...     h = hebbian_subspace(h, x, rate=0.02)
      >>> h.round(3).tolist()
      [[0.6000000238418579, 0.800000011920929]]
    """
    where = "hebbian_subspace"
    _require_subspace(where, subspace)
    _require_inputs(where, x, subspace)
    if isinstance(rate, Real):
        require(bool(rate > 0), where, "rate", rate, "a number above zero")
    units = subspace.shape[0]
    if isinstance(frozen, Integral):
        ok = bool(0 <= frozen <= units)
        require(ok, where, "frozen", frozen, f"a number from 0 to the {units} rows")
    wide = accumulation_dtype(subspace.dtype)
    h, flat = subspace.astype(wide), x.reshape(-1, x.shape[-1]).astype(wide)
    y = flat @ h.T
    change = jnp.asarray(rate, wide) / flat.shape[0] * (y.T @ (flat - y @ h))
    learns = jnp.arange(units)[:, None] >= jnp.asarray(frozen)
    return (h + jnp.where(learns, change, 0)).astype(subspace.dtype)


def project_out(
    x: Float[Array, "*batch inputs"], subspace: Float[Array, "units inputs"]
) -> Float[Array, "*batch inputs"]:
    r"""Take a subspace out of inputs by the lateral neurons' feedback.

    .. math:: \hat x = x - H^\top H x

    Args:
      x: inputs or traces.
      subspace: H, with orthonormal rows (or rows of zeros, which take out nothing).

    Returns:
      What is left, in shape and dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> project_out(jnp.array([3.0, 4.0]), jnp.array([[0.0, 1.0]])).tolist()
      [3.0, 0.0]
    """
    where = "project_out"
    _require_subspace(where, subspace)
    _require_inputs(where, x, subspace)
    wide = accumulation_dtype(x.dtype)
    h, y = subspace.astype(wide), x.astype(wide)
    return (y - (y @ h.T) @ h).astype(x.dtype)


def principal_subspace(
    x: Float[Array, "*batch inputs"],
    *,
    energy: float = 0.95,
    known: Float[Array, "units inputs"] | None = None,
) -> Float[Array, "grown inputs"]:
    r"""Find the smallest principal subspace that holds a share of the inputs' energy.

    With k rows chosen in what ``known`` leaves over,

    .. math:: \|x\|^2 - \|x - H^\top H x\|^2 \ge \varepsilon \|x\|^2

    summed over all x, where H has the rows of ``known`` and the k. How many depends on the
    values, so this runs on the host in float64, outside ``jit``.

    Args:
      x: inputs or activations, not centred.
      energy: ε in (0, 1].
      known: orthonormal rows of earlier tasks.

    Returns:
      H: the rows of ``known`` and the new ones, orthonormal, in the dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, or ``energy`` is out of range.

    Example:
      >>> x = jnp.diag(jnp.array([10.0, 1.0, 0.1]))
      >>> principal_subspace(x, energy=0.95).shape, principal_subspace(x, energy=0.999).shape
      ((1, 3), (2, 3))
    """
    where = "principal_subspace"
    require_array(where, x=x)
    require(x.ndim >= 1, where, "x", x, "shape (*batch, inputs)")
    require(0 < energy <= 1, where, "energy", energy, "a share in (0, 1]")
    inputs = x.shape[-1]
    if known is None:
        known = jnp.zeros((0, inputs), x.dtype)
    _require_subspace(where, known, name="known")
    _require_inputs(where, x, known, name="known")
    rows = np.asarray(x, np.float64).reshape(-1, inputs)
    old = np.asarray(known, np.float64)
    left = rows - rows @ old.T @ old
    _, sizes, basis = np.linalg.svd(left, full_matrices=False)
    total, rest = np.sum(rows**2), np.sum(left**2)
    held = total - rest + np.concatenate([[0.0], np.cumsum(sizes**2)])
    # Round-off may keep the sum just below the whole; and there is only so much room.
    enough = held >= energy * total * (1 - 1e-12)
    count = int(np.argmax(enough)) if enough.any() else len(sizes)
    new = jnp.asarray(basis[: min(count, inputs - len(old))], x.dtype)
    return jnp.concatenate([known.astype(x.dtype), new])


def _require_subspace(where: str, subspace: jax.Array, *, name: str = "subspace") -> None:
    require_array(where, floating=True, **{name: subspace})
    require(subspace.ndim == 2, where, name, subspace, "shape (units, inputs)")


def _require_inputs(
    where: str, x: jax.Array, subspace: jax.Array, *, name: str = "subspace"
) -> None:
    require_array(where, x=x)
    inputs = subspace.shape[1]
    ok = x.ndim >= 1 and x.shape[-1] == inputs
    require(ok, where, "x", x, f"shape (*batch, {inputs}), the inputs of `{name}`")
