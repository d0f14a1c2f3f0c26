r"""A mixture of experts whose experts lie on different devices.

Each device routes its own tokens: it queues up to C of them for each expert, one all-to-all brings
every expert's queues together, and one brings the outputs back. What finds its queue full is
dropped: it adds nothing, and the residual stream carries the token on.

.. math:: y_t = \sum_j w_{tj}\, f_{e_{tj}}(x_t) \; [n_{tj} < C]

===  ===========================================================
x    tokens, ``(tokens, width)``
w    ``weights`` of a token's experts, ``(tokens, choices)``
e    ``indices``, which they are, ``(tokens, choices)``
f    the experts, E of them on P devices
n    how many came before in a device's queue for that expert
C    ``capacity`` of a device's queue for one expert
===  ===========================================================

Queues are filled by first choices in the order of tokens, then by second ones, and so on.

Source: "GShard: Scaling Giant Models with Conditional Computation and Automatic Sharding" (2020),
algorithm 1.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import PyTree

from jaxnn._check import require, require_array, require_count
from jaxnn.train.parallel._axes import require_axis

WHERE = "expert_parallel"


def expert_parallel(
    expert: Callable[[Any, jax.Array], jax.Array],
    mesh: Mesh,
    *,
    capacity: int,
    axis: str = "expert",
) -> Callable[[PyTree, jax.Array, jax.Array, jax.Array], jax.Array]:
    """Make the function that sends tokens to experts on other devices and brings back the outputs.

    Args:
      expert: called as ``expert(params, x)`` with one expert's parameters and ``(n, width)``
        tokens, some of them zeros; each token is treated by itself.
      mesh: the devices; those that differ on other axes do the same.
      capacity: how many tokens of one device an expert takes.
      axis: the mesh axis over which experts and tokens are split.

    Returns:
      ``run(params, x, weights, indices) -> y``: stacked parameters, each array
      ``(experts, ...)``, tokens ``(tokens, width)``, and a router's ``(tokens, choices)`` weights
      and experts. The output is ``(tokens, output width)``, zero where all choices were dropped.

    Raises:
      ValueError: the mesh lacks the axis; when called, the devices do not divide the experts or
        the tokens, or shapes do not fit.

    Example:
      >>> run = expert_parallel(lambda w, x: x @ w, make_mesh("expert=-1"), capacity=4)
      >>> x, weights = jnp.ones((8, 3)), jnp.ones((8, 1))
      >>> run(jnp.ones((8, 3, 2)), x, weights, jnp.arange(8)[:, None]).shape
      (8, 2)
    """
    require_axis(WHERE, mesh, axis)
    require_count(WHERE, capacity=capacity)
    ways = mesh.shape[axis]

    def device(params: PyTree, x: jax.Array, weights: jax.Array, indices: jax.Array) -> jax.Array:
        experts = ways * jax.tree.leaves(params)[0].shape[0]
        # Beyond the queue's end lies nothing: what is dropped is neither written nor read.
        place = _places(indices, experts)
        queues = jnp.zeros((experts, capacity, x.shape[-1]), x.dtype)
        queues = queues.at[indices, place].set(x[:, None], mode="drop")
        gathered = lax.all_to_all(queues, axis, split_axis=0, concat_axis=1, tiled=True)
        found = jax.vmap(expert)(params, gathered)
        found = lax.all_to_all(found, axis, split_axis=1, concat_axis=0, tiled=True)
        outputs = found.at[indices, place].get(mode="fill", fill_value=0)
        return jnp.sum(outputs * weights[..., None].astype(outputs.dtype), axis=1)

    split = PartitionSpec(axis)
    spread = jax.shard_map(
        device, mesh=mesh, in_specs=(split,) * 4, out_specs=split, check_vma=False
    )

    def run(params: PyTree, x: jax.Array, weights: jax.Array, indices: jax.Array) -> jax.Array:
        _check(params, x, weights, indices, ways, axis)
        return spread(params, x, weights, indices)

    return run


def _places(indices: jax.Array, experts: int) -> jax.Array:
    """Give each choice's place in its expert's queue: how many came before."""
    tokens, choices = indices.shape
    first = indices.T.reshape(-1)  # all first choices, then all second ones
    chosen = jax.nn.one_hot(first, experts, dtype=jnp.int32)
    before = jnp.cumsum(chosen, axis=0) - chosen
    return jnp.sum(before * chosen, axis=1).reshape(choices, tokens).T


def _check(
    params: PyTree, x: jax.Array, weights: jax.Array, indices: jax.Array, ways: int, axis: str
) -> None:
    divide = f"that the {ways} devices of {axis!r} divide"
    leaves = jax.tree.leaves(params)
    require(bool(leaves), WHERE, "params", params, "an array (experts, ...) at least")
    for leaf in leaves:
        require_array(WHERE, floating=False, params=leaf)
        fits = leaf.ndim > 0 and leaf.shape[0] % ways == 0
        require(fits, WHERE, "params", leaf, f"a first axis of experts {divide}")
    require_array(WHERE, x=x, weights=weights)
    require_array(WHERE, floating=False, indices=indices)
    fits = x.ndim == 2 and x.shape[0] % ways == 0
    require(fits, WHERE, "x", x, f"shape (tokens, width), a number of tokens {divide}")
    fits = weights.ndim == 2 and weights.shape[0] == x.shape[0]
    require(fits, WHERE, "weights", weights, f"shape ({x.shape[0]}, choices), as `x` has tokens")
    needs = f"integers of shape {weights.shape}, as `weights`"
    fits = indices.shape == weights.shape and jnp.issubdtype(indices.dtype, jnp.integer)
    require(fits, WHERE, "indices", indices, needs)
