r"""Iterative feature merging: how many different features does a layer hold?

Units whose incoming weights agree are the same function; one of them with the sum of both's
outgoing weights does as well as two. Merging the closest pair again and again, as long as it is
closer than a threshold, leaves as many units as there are features.

.. math:: d_{ij} = \|w_i - w_j\|, \quad
   w \leftarrow \frac{m_i w_i + m_j w_j}{m_i + m_j}, \quad v \leftarrow v_i + v_j

=======  ====================================================
w_i      incoming weights of unit i and its bias
v_i      its outgoing weights
m_i      units already merged into it, 1 to begin with
=======  ====================================================

Source: "Going Beyond Neural Network Feature Similarity: The Network Feature Complexity and Its
Interpretation Using Category Theory" (2023), section on iterative feature merging; the distance
and the weights of the average are our reading of it.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import ratio, root
from jaxnn.analysis.similarity._pairs import compiled, matmul, widen


class MergedFeatures(NamedTuple):
    """A layer with fewer units, and the next.

    Attributes:
      kernel: incoming weights, ``(inputs, features)``.
      bias: ``(features,)``.
      following: outgoing weights, the kernel of the next layer, ``(features, outputs)``.
      groups: the feature that each of the former units is part of, ``(units,)``.
      distance: of the last pair merged; 0 if none was.
    """

    kernel: Float[Array, "inputs features"]
    bias: Float[Array, " features"]
    following: Float[Array, "features outputs"]
    groups: Int[Array, " units"]
    distance: Float[Array, ""]


def merge_features(
    kernel: Float[Array, "inputs units"],
    bias: Float[Array, " units"],
    following: Float[Array, "units outputs"],
    *,
    threshold: float | None = None,
    features: int | None = None,
    homogeneous: bool = False,
) -> MergedFeatures:
    """Merge the units of a layer that are functions of their inputs alike. Needs no data.

    Args:
      kernel: weights into the units, ``inputs`` by ``units``.
      bias: of the units.
      following: weights out of the units, the next layer's kernel.
      threshold: pairs closer than this are merged; then the function runs on the host, for
        the number left depends on the weights.
      features: merge until so many are left; then it can be traced. Give one of the two.
      homogeneous: the activation commutes with positive factors, as ReLU does (and GELU does
        not): units are compared, and averaged, with incoming weights of length 1, and the
        outgoing take the length over.

    Returns:
      The smaller layers, which compute the same if the merged units were equal, and the groups.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, both or none of ``threshold`` and ``features`` are given, or
        more features than units are asked for.

    Gradient: flows through averages and sums; groups and distance are constants.

    Example:
      >>> kernel, following = jnp.array([[1.0, 1, 4]]), jnp.array([[2.0], [3], [1]])
      >>> merged = merge_features(kernel, jnp.zeros(3), following, threshold=0.1)
      >>> merged.kernel.tolist(), merged.following.tolist(), merged.groups.tolist()
      ([[1.0, 4.0]], [[5.0], [1.0]], [0, 0, 1])
    """
    where = "merge_features"
    require_array(where, kernel=kernel, bias=bias, following=following)
    require(kernel.ndim == 2, where, "kernel", kernel, "shape (inputs, units)")
    units = kernel.shape[1]
    require(bias.shape == (units,), where, "bias", bias, f"shape ({units},)")
    ok = following.ndim == 2 and following.shape[0] == units
    require(ok, where, "following", following, f"shape ({units}, outputs)")
    one = (threshold is None) != (features is None)
    require(one, where, "features", features, "a number, if and only if `threshold` is None")
    if features is None:
        assert threshold is not None
        labels, distance = _label(kernel, bias, 1, threshold, homogeneous=homogeneous)
        features = len(np.unique(np.asarray(labels)))
    else:
        require_count(where, features=features)
        require(features <= units, where, "features", features, f"the {units} units or fewer")
        labels, distance = _label(kernel, bias, features, jnp.inf, homogeneous=homogeneous)
    return _merge(
        kernel, bias, following, labels, distance, features=features, homogeneous=homogeneous
    )


@partial(compiled, static_argnames="homogeneous")
def _label(
    kernel: jax.Array,
    bias: jax.Array,
    features: jax.Array | int,
    threshold: jax.Array | float,
    *,
    homogeneous: bool,
) -> tuple[jax.Array, jax.Array]:
    """Give the least index of the group of each unit, and the distance of the last merged."""
    weights = jax.lax.stop_gradient(_incoming(kernel, bias))
    if homogeneous:
        weights = ratio(weights, _lengths(weights)[:, None])
    units = weights.shape[0]

    def from_unit(weights: jax.Array, i: jax.Array) -> jax.Array:
        # From differences: those of squares would be rounding where units are equal.
        square = jnp.sum((weights - weights[i][None]) ** 2, 1)
        return jnp.where(jnp.arange(units) == i, jnp.inf, root(square))

    class State(NamedTuple):
        weights: jax.Array
        counts: jax.Array
        labels: jax.Array
        distances: jax.Array
        left: jax.Array
        last: jax.Array

    def more(state: State) -> jax.Array:
        return (state.left > features) & (jnp.min(state.distances) < threshold)

    def step(state: State) -> State:
        pair = jnp.argmin(state.distances)  # the first, so that i < j
        i, j = pair // units, pair % units
        counts = state.counts
        total = counts[i] + counts[j]
        mean = (counts[i] * state.weights[i] + counts[j] * state.weights[j]) / total
        weights = state.weights.at[i].set(mean)
        counts = counts.at[i].set(total).at[j].set(0)
        row = jnp.where(counts > 0, from_unit(weights, i), jnp.inf)
        distances = state.distances.at[i].set(row).at[:, i].set(row)
        distances = distances.at[j].set(jnp.inf).at[:, j].set(jnp.inf)
        labels = jnp.where(state.labels == j, i, state.labels)
        last = state.distances[i, j]
        return State(weights, counts, labels, distances, state.left - 1, last)

    places = jnp.arange(units)
    start = State(
        weights=weights,
        counts=jnp.ones(units, weights.dtype),
        labels=places,
        distances=jax.lax.map(partial(from_unit, weights), places),
        left=jnp.asarray(units),
        last=jnp.zeros((), weights.dtype),
    )
    end = jax.lax.while_loop(more, step, start)
    return end.labels, end.last


@partial(compiled, static_argnames=("features", "homogeneous"))
def _merge(
    kernel: jax.Array,
    bias: jax.Array,
    following: jax.Array,
    labels: jax.Array,
    distance: jax.Array,
    *,
    features: int,
    homogeneous: bool,
) -> MergedFeatures:
    """Average the incoming weights of each group and add up its outgoing ones."""
    weights, outgoing = _incoming(kernel, bias), widen(following)
    kept = jnp.unique(labels, size=features)
    groups = jnp.searchsorted(kept, labels)
    member = (groups[None, :] == jnp.arange(features, dtype=groups.dtype)[:, None]).astype(
        weights.dtype
    )
    if homogeneous:
        lengths = _lengths(weights)[:, None]
        # A unit without weights stays one, and passes nothing on that is not there.
        weights, outgoing = ratio(weights, lengths), outgoing * lengths.astype(outgoing.dtype)
    means = matmul(member, weights) / jnp.sum(member, 1, keepdims=True)
    return MergedFeatures(
        kernel=means[:, :-1].T.astype(kernel.dtype),
        bias=means[:, -1].astype(bias.dtype),
        following=matmul(member.astype(outgoing.dtype), outgoing).astype(following.dtype),
        groups=groups,
        distance=distance,
    )


def _incoming(kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Give the weights and the bias of each unit, in a row."""
    wide = widen(kernel)
    return jnp.concatenate([wide.T, bias.astype(wide.dtype)[:, None]], 1)


def _lengths(weights: jax.Array) -> jax.Array:
    return root(jnp.sum(weights**2, 1))
