r"""Masks that keep the largest weights.

Source: "Learning both Weights and Connections for Efficient Neural Networks" (2015) for
magnitude as the score; "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural
Networks" (2019) for pruning in rounds.

=======  ======================================================
group    the weights that compete: all, a layer's, or a neuron's
masks    a pytree like the parameters, True where a weight is kept
=======  ======================================================
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array, require_key
from jaxnn._numeric import accumulation_dtype

Scope = Literal["global", "layer", "neuron"]
Prunable = Callable[[str, jax.Array], bool]


def is_matrix(path: str, leaf: jax.Array) -> bool:
    """Say whether a parameter has two axes or more: kernels do, biases and scales do not."""
    del path
    return leaf.ndim >= 2


def magnitude_masks(
    params: PyTree,
    sparsity: Float[Array, ""] | float,
    *,
    scope: Scope = "global",
    masks: PyTree | None = None,
    prunable: Prunable = is_matrix,
) -> PyTree:
    """Make masks that remove the given fraction of weights, smallest magnitudes first.

    Args:
      params: a pytree of arrays.
      sparsity: the fraction, of each group, that is gone afterwards, in [0, 1); rounded to
        whole weights. It may be traced, so that one program serves a whole schedule.
      scope: the group within which weights compete: ``"global"``, all prunable ones;
        ``"layer"``, each array; ``"neuron"``, what leads to one entry of an array's last axis.
      masks: what is pruned already, and stays so; nothing if ``None``.
      prunable: ``(path, array) -> bool``, with paths like ``"dense/kernel"``; arrays of two
        axes or more by default. The others are kept whole. Of Flax's recurrent cells,
        ``path.split("/")[-2:-1]`` is a name with ``h`` before the gate where the kernel is
        recurrent, and with ``i`` where it is the input's.

    Returns:
      Booleans like ``params``. Among equal magnitudes the earlier goes first, so the count is
      exact.

    Raises:
      TypeError: a leaf is not an array of floating-point numbers.
      ValueError: ``sparsity`` is out of range, ``scope`` is unknown, nothing is prunable, or
        ``masks`` is not like ``params``.

    Example:
      >>> params = {"kernel": jnp.array([[1.0, -4.0], [3.0, 2.0]]), "bias": jnp.zeros(2)}
      >>> magnitude_masks(params, 0.5)["kernel"].tolist()
      [[False, True], [True, False]]
    """
    where = "magnitude_masks"
    return prune_groups(where, params, masks, scope, prunable, _count(where, sparsity))


def random_masks(
    key: jax.Array,
    params: PyTree,
    sparsity: Float[Array, ""] | float,
    *,
    scope: Scope = "global",
    masks: PyTree | None = None,
    prunable: Prunable = is_matrix,
) -> PyTree:
    """Make masks that remove the given fraction of weights, whichever: a baseline.

    Args:
      key: random key.
      params: a pytree of arrays, of which only the shapes matter.
      sparsity: the fraction, of each group, that is gone afterwards, as in
        :func:`magnitude_masks`.
      scope: the group of which the fraction is gone; see :func:`magnitude_masks`.
      masks: what is pruned already, and stays so; nothing if ``None``.
      prunable: ``(path, array) -> bool``; arrays of two axes or more by default.

    Returns:
      Booleans like ``params``; as many False as :func:`magnitude_masks` gives.

    Raises:
      TypeError: ``key`` is no random key, or a leaf is not an array of floating-point numbers.
      ValueError: see :func:`magnitude_masks`.

    Example:
      >>> masks = random_masks(jax.random.key(0), {"kernel": jnp.ones((4, 5))}, 0.8)
      >>> masks["kernel"].sum().item()
      4
    """
    where = "random_masks"
    require_key(where, key)
    leaves, structure = jax.tree.flatten(params)
    sizes = [jnp.size(leaf) for leaf in leaves]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    lots = jnp.split(jax.random.uniform(key, (sum(sizes),), jnp.float32), ends)
    # Leaves that are no floating-point arrays are left as they are, to be complained of.
    scores = [
        lot.reshape(leaf.shape) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf
        for lot, leaf in zip(lots, leaves, strict=True)
    ]
    tree = jax.tree.unflatten(structure, scores)
    return prune_groups(where, tree, masks, scope, prunable, _count(where, sparsity))


def _count(
    where: str, sparsity: Float[Array, ""] | float
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Check the fraction; give the count for :func:`prune_groups`."""
    if isinstance(sparsity, float | int):
        require(0 <= sparsity < 1, where, "sparsity", sparsity, "a fraction in [0, 1)")

    def count(weights: jax.Array, kept: jax.Array) -> jax.Array:
        gone = jnp.rint(jnp.asarray(sparsity, jnp.float32) * weights.size)
        return gone.astype(jnp.int32)

    return count


def apply_masks(params: PyTree, masks: PyTree) -> PyTree:
    """Set the pruned weights to zero.

    Args:
      params: a pytree of arrays.
      masks: booleans like ``params``, True where a weight is kept.

    Returns:
      Arrays like ``params``.

    Raises:
      ValueError: ``masks`` is not like ``params``.

    Gradient: none flows to pruned weights.

    Example:
      >>> apply_masks({"w": jnp.ones(2)}, {"w": jnp.array([True, False])})["w"].tolist()
      [1.0, 0.0]
    """
    require_like("apply_masks", masks, params)
    return jax.tree.map(
        lambda leaf, mask: jnp.where(mask.astype(bool), leaf, jnp.zeros_like(leaf)), params, masks
    )


def require_like(where: str, masks: PyTree, params: PyTree) -> None:
    """Raise ``ValueError`` unless ``masks`` has the tree structure and shapes of ``params``."""
    structures = jax.tree.structure(masks), jax.tree.structure(params)
    needs = f"the structure of the parameters, {structures[1]}"
    require(structures[0] == structures[1], where, "masks", structures[0], needs)
    for (keys, leaf), mask in zip(
        jax.tree.leaves_with_path(params), jax.tree.leaves(masks), strict=True
    ):
        argument = f"masks[{_path(keys)!r}]"
        require(mask.shape == leaf.shape, where, argument, mask, f"the shape {leaf.shape}")


def prune_groups(
    where: str,
    params: PyTree,
    masks: PyTree | None,
    scope: Scope,
    prunable: Prunable,
    count: Callable[[jax.Array, jax.Array], jax.Array],
) -> PyTree:
    """Remove from each group its smallest weights, as many in all as ``count`` says.

    ``count`` gets the weights of one group, with zeros for the pruned, and which are kept.
    """
    require(
        scope in ("global", "layer", "neuron"), where, "scope", scope, "global, layer or neuron"
    )
    if masks is None:
        masks = jax.tree.map(lambda leaf: jnp.ones(jnp.shape(leaf), bool), params)
    require_like(where, masks, params)
    leaves, structure = jax.tree.flatten_with_path(params)
    kept = [mask.astype(bool) for mask in jax.tree.leaves(masks)]
    chosen = []
    for i, (keys, leaf) in enumerate(leaves):
        path = _path(keys)
        require_array(where, floating=True, **{f"params[{path!r}]": leaf})
        if leaf.size and prunable(path, leaf):
            chosen.append(i)
    names = [_path(keys) for keys, _ in leaves]
    require(bool(chosen), where, "params", names, "at least one array that is prunable")

    def rows(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(-1, leaf.shape[-1]).T if scope == "neuron" else leaf.reshape(1, -1)

    def unrow(row: jax.Array, like: jax.Array) -> jax.Array:
        return (row.T if scope == "neuron" else row).reshape(like.shape)

    def prune(weights: jax.Array, kept: jax.Array) -> jax.Array:
        weights = jnp.where(kept, weights, jnp.zeros_like(weights))
        # The pruned come first in the order, before weights that happen to be zero.
        score = jnp.where(kept, jnp.abs(weights), -jnp.ones_like(weights))
        order = jnp.argsort(score, stable=True)
        places = jnp.arange(score.size, dtype=jnp.int32)
        rank = jnp.zeros(score.size, jnp.int32).at[order].set(places)
        return kept & (rank >= count(weights, kept))

    wide = [leaves[i][1].astype(accumulation_dtype(leaves[i][1].dtype)) for i in chosen]
    if scope == "global":
        together = jnp.concatenate([leaf.reshape(-1) for leaf in wide])
        flags = prune(together, jnp.concatenate([kept[i].reshape(-1) for i in chosen]))
        ends = [sum(leaf.size for leaf in wide[: n + 1]) for n in range(len(wide) - 1)]
        for i, part in zip(chosen, jnp.split(flags, ends), strict=True):
            kept[i] = part.reshape(kept[i].shape)
    else:
        for i, leaf in zip(chosen, wide, strict=True):
            kept[i] = unrow(jax.vmap(prune)(rows(leaf), rows(kept[i])), kept[i])
    return jax.tree.unflatten(structure, kept)


def _path(keys: tuple) -> str:
    """Write the keys of a leaf as ``"dense/kernel"``."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")
