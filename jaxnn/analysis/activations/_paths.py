r"""What one part of a model passes on to another directly: path patching.

Sources: "Localizing Model Behavior with Path Patching" (2023); "Interpretability in the Wild: a
Circuit for Indirect Object Identification in GPT-2 small" (2022).

======  ====================================================
m       ``metric`` of the model's outputs
h_s     the value of node s
h'_s    its replacement
h_r^s   the value of node r with s replaced and all others clean
n       nodes
======  ====================================================
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._check import require, require_array
from jaxnn.analysis._function import chunked_map, scalar
from jaxnn.analysis.activations._intermediates import Applied, Model, Patch, apply, require_known
from jaxnn.analysis.activations._sites import fit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Paths:
    """What :func:`path_patching` gives.

    Attributes:
      metric: of the outputs of the model as it is, one number.
      edges: what the metric changes by along each edge, (nodes, nodes + 1): a row a sender, a
        column a receiver, the last column the outputs; 0 where no value can pass, from a later
        node to an earlier.
      names: of the nodes, in the order in which the model makes their values. They are part of
        the structure, and leave ``jit`` as they are.
    """

    metric: Any  # an array, but JAX and device_get put other things in its place
    edges: Any
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})


def path_patching(
    model: Model,
    variables: Mapping[str, Any],
    *args: Any,
    replacements: Mapping[str, jax.Array],
    metric: Callable[[Any], jax.Array],
    batch_size: int | None = None,
    method: Callable[..., Any] | str | None = None,
    rngs: Any = None,
    **kwargs: Any,
) -> Paths:
    r"""Measure what every part of a model hands directly to every other, in one compiled program.

    .. math::
        h_r^s &= h_r \text{ with } h_s = h'_s \text{ and every other node as it was} \\
        e_{sr} &= m(\text{model with } h_r = h_r^s \text{ and all behind it computed anew}) - m

    To the outputs, :math:`e_{s,\text{out}}` is the change of m itself with s replaced and every
    other node as it was. Where :func:`activation_patching` tells that a part is missed, this
    tells by whom. In a model that is linear from s on, the edges of s add up to what it tells.

    Nodes should not contain one another, as a block contains its attention: a container held as
    it was hides all that happens inside, so that what lies inside reaches the container alone.
    Between nodes, values pass along whatever has not been named.

    Args:
      model: any linen module, or a function ``f(variables, *args, tap)``.
      variables: its variables, as for ``model.apply``.
      *args: the model's inputs.
      replacements: node to array of the value's shape: :func:`capture` on other inputs,
        restricted to ``names``, or :func:`ablation`. The values of these names are the nodes.
      metric: the model's outputs to one number.
      batch_size: changed models run at once; ``None`` takes 5.
      method: the model's method to apply, if not ``__call__``.
      rngs: random keys for the model, e.g. ``{"dropout": key}``.
      **kwargs: further inputs of the model.

    Returns:
      The metric, the edges and the names of the nodes. The model is run n (n + 1) / 2 times, or
      (n + 1) / 2 more for an odd n, and what two senders hand on is held at a time.

    Raises:
      TypeError: ``model`` is neither of the two, or a replacement is not an array.
      ValueError: a path does not exist (the nearest are listed) or lies inside ``nn.scan``; a
        replacement does not fit; or the metric is more than one number.

    Example:
      >>> def chain(params, x, tap):
      ...     return 5 * tap("second", 3 * tap("first", 2 * x))
      >>> zero = {"first": jnp.zeros(()), "second": jnp.zeros(())}
      >>> paths = path_patching(chain, {}, jnp.ones(()), replacements=zero, metric=jnp.sum)
      >>> paths.names, float(paths.metric)
      (('first', 'second'), 30.0)
      >>> paths.edges.tolist()  # the first reaches the outputs through the second alone
      [[0.0, -30.0, 0.0], [0.0, 0.0, -30.0]]
    """
    where = "path_patching"
    for name, value in replacements.items():
        require_array(where, floating=False, **{f"replacements[{name!r}]": value})
    options = {"method": method, "rngs": rngs, **kwargs}
    measure = scalar(where, metric)

    def run(patches: Mapping[str, Patch], capturing: bool) -> Applied:
        """Run the model; values are given as they are before they are replaced."""
        argument = "replacements"
        return apply(where, model, variables, args, patches, capturing, options, argument, True)

    # The order is seen while the model is traced: that of a dictionary is sorted by jit, and that
    # of ``capture`` keeps the calls of one module together.
    made: dict[str, None] = {}

    def seen(name: str) -> Patch:
        def keep(old: jax.Array) -> jax.Array:
            made.setdefault(name)
            return old

        return keep

    clean = run({name: seen(name) for name in replacements}, True)
    for name in replacements:
        require_known(where, "replacements", name, clean.values)
        needs = "a value that a module returns, outside nn.scan"
        whole = clean.shapes.get(name) == clean.values[name].shape
        require(whole, where, "replacements", name, needs)
    names = tuple(made)
    was = {name: clean.values[name] for name in names}
    new = {name: fit(where, name, replacements[name], was[name]) for name in names}
    before = measure(clean.outputs)
    if not names:
        return Paths(before, jnp.zeros((0, 1), before.dtype), names)

    def alone(sender: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Replace the sender and hold the rest: what arrives at the outputs and at each node."""

        def held(i: int, name: str) -> Patch:
            return lambda old: jnp.where(sender == i, new[name], was[name])

        # A node is held behind the place where its own value is taken: one run serves all.
        ran = run({name: held(i, name) for i, name in enumerate(names)}, True)
        return measure(ran.outputs), {name: ran.values[name] for name in names}

    def row(inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        """Follow two senders to the outputs, and to as many nodes as one has in the mean."""
        two, sides, receivers = inputs
        ends, arrived = jax.vmap(alone)(two)

        def onwards(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
            side, receiver = pair

            def given(i: int, name: str) -> Patch:
                return lambda old: jnp.where(receiver == i, arrived[name][side], old)

            patches = {name: given(i, name) for i, name in enumerate(names)}
            return measure(run(patches, False).outputs)

        if not receivers.size:
            return ends, jnp.zeros(0, ends.dtype)
        return ends, chunked_map(where, onwards, (sides, receivers), batch_size)

    pairs = _pairs(len(names))
    ends, through = jax.lax.map(row, pairs)
    senders, sides, receivers = pairs
    edges = jnp.zeros((len(names), len(names) + 1), before.dtype)
    edges = edges.at[senders, -1].set(ends - before)
    senders = np.take_along_axis(senders, sides, 1)
    return Paths(before, edges.at[senders, receivers].set(through - before), names)


def _pairs(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List senders two by two, the k-th with the k-th from the end, and the receivers of both.

    Together they have ``count - 1``, however many each has, so that every row is of one length
    and no run is wasted. In the middle of an odd number one sender comes twice.

    Returns:
      Senders, (rows, 2); for each pair which of the two sends, and the receiver, both
      (rows, count - 1).
    """
    rows = np.arange(-(-count // 2), dtype=np.int32)
    row, column = rows[:, None], np.arange(count - 1, dtype=np.int32)[None]
    sides = (column >= count - 1 - row).astype(np.int32)
    receivers = column + 1 + np.where(sides == 0, row, 0)
    return np.stack([rows, count - 1 - rows], 1), sides, receivers.astype(np.int32)
