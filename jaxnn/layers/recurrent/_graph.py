r"""A recurrent network wired like a graph: its units in layers, with connections that skip.

An undirected graph becomes a directed one without cycles by the order of its nodes, each edge
from the lower to the higher; the layer of a node is the length of the longest path that leads
to it. A node is a unit. Within a step of time what a unit says passes along the edges, over as
many layers as they skip; from one step to the next it passes to all units of its layer.

.. math:: h_t^{(k)} = \phi\Big(a_t^{(k)} + h_{t-1}^{(k)} U^{(k)}
          + \sum_{j < k} h_t^{(j)} \big(W^{(jk)} \odot M^{(jk)}\big)\Big)

=====  ===============================================================================
n      ``units``, the nodes; in their order all along, not sorted by layer
h      ``state``, ``(*batch, n)``
a      ``drive``, the input's products with their biases, ``(*batch, n)``
W      ``kernel``, ``(n, n)`` from row to column
M      ``edges``, ``(n, n)``: M of layers j and k is its rows of j and columns of k
U      ``recurrent_kernel``, ``(n, n)``, used where both units are of one layer
φ      ``activation``
=====  ===============================================================================

Source: "Investigating Sparsity in Recurrent Neural Networks" (2024), where each connection that
skips a layer had hidden states of its own, added to those of the layer.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Bool, Float, Int, Num

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype


class DirectedLayers(NamedTuple):
    """A directed graph without cycles, in layers; hashable, so that a module can own it.

    Attributes:
      layers: the layer of each node, from 0.
      edges: pairs of nodes, from the lower to the higher, in order.
    """

    layers: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """The number of layers."""
        return max(self.layers) + 1

    @property
    def adjacency(self) -> Bool[np.ndarray, "n n"]:
        """True where an edge leads from the row's node to the column's: above the diagonal."""
        made = np.zeros((len(self.layers),) * 2, bool)
        made[tuple(np.array(self.edges, int).reshape(-1, 2).T)] = True
        return made

    def nodes(self, layer: int) -> Int[np.ndarray, " nodes"]:
        """Give the nodes of a layer, in order; ``-1`` is the last layer."""
        return np.flatnonzero(np.array(self.layers) == layer % self.depth)

    def mask(self, source: int, target: int) -> Bool[np.ndarray, "sources targets"]:
        """Give the mask between two layers, next to each other or not."""
        return self.adjacency[np.ix_(self.nodes(source), self.nodes(target))]


def directed_layers(adjacency: Num[np.ndarray, "n n"] | Bool[np.ndarray, "n n"]) -> DirectedLayers:
    """Direct the edges of an undirected graph by the order of its nodes; put nodes in layers.

    Args:
      adjacency: not zero where two nodes are connected, e.g. of ``networkx.to_numpy_array``.

    Returns:
      Each edge once, from the lower node to the higher. A node's layer is the length of the
      longest path that ends there: 0 for one that no edge leads to.

    Raises:
      ValueError: ``adjacency`` is not square and symmetric, is empty, or connects a node with
        itself.

    Example:
      >>> directed_layers(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
      DirectedLayers(layers=(0, 1, 2), edges=((0, 1), (0, 2), (1, 2)))
    """
    where = "directed_layers"
    matrix = np.asarray(adjacency)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
    require(square, where, "adjacency", matrix, "shape (n, n) with n above zero")
    linked = matrix != 0
    symmetric = bool((linked == linked.T).all())
    hint = "Of a directed graph take `adjacency | adjacency.T`."
    require(symmetric, where, "adjacency", matrix, "each edge in both directions", hint)
    require(not linked.diagonal().any(), where, "adjacency", matrix, "a diagonal of zeros")
    directed = np.triu(linked)
    layers: list[int] = []
    for node in range(len(directed)):  # lower nodes are done: their order is topological
        before = np.flatnonzero(directed[:, node])
        layers.append(1 + max((layers[j] for j in before), default=-1))
    edges = tuple((int(i), int(j)) for i, j in np.argwhere(directed))
    return DirectedLayers(tuple(layers), edges)


def graph_rnn_step(
    state: Float[Array, "*batch units"],
    drive: Float[Array, "*batch units"],
    kernel: Float[Array, "units units"],
    recurrent_kernel: Float[Array, "units units"],
    edges: Num[Array, "units units"] | Bool[Array, "units units"],
    layers: Int[Array, " units"] | tuple[int, ...],
    *,
    depth: int | None = None,
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
) -> tuple[Float[Array, "*batch units"], Float[Array, "*batch units"]]:
    """Take one step of a recurrent network wired like a graph.

    With ``layers`` as a tuple each layer is computed once. With an array, which may be traced and
    of which there may be several under ``jax.vmap``, all units are computed ``depth`` times: after
    the first time layer 0 is right, after the second layer 1, and so on. The result is the same.

    Args:
      state: h of the step before.
      drive: a, zero where a unit reads no input.
      kernel: W.
      recurrent_kernel: U.
      edges: M, not zero where an edge leads from the row's unit to the column's, which has to be
        in a higher layer.
      layers: the layer of each unit, from 0.
      depth: number of layers, or more; needed if ``layers`` is an array, which cannot say it.
      activation: φ.

    Returns:
      h in the dtype of ``state`` as the state, and in that of ``drive`` as the output.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or ``depth`` is missing or too low.

    Gradient: exactly zero for what no edge of M, and no two units of a layer, use.
    """
    where = "graph_rnn_step"
    require_array(where, state=state, drive=drive, kernel=kernel, recurrent_kernel=recurrent_kernel)
    require_array(where, floating=False, edges=edges)
    require_rank(where, "state", state, 1, "(*batch, units)")
    units = state.shape[-1]
    require(drive.shape == state.shape, where, "drive", drive, f"shape {state.shape}")
    for name, matrix in {
        "kernel": kernel,
        "recurrent_kernel": recurrent_kernel,
        "edges": edges,
    }.items():
        require(matrix.shape == (units, units), where, name, matrix, f"shape {(units, units)}")
    fixed = isinstance(layers, tuple)
    ok = len(layers) == units if fixed else layers.shape == (units,)
    require(ok, where, "layers", layers, f"one layer for each of {units} units")
    if fixed:
        least = max(layers) + 1
        depth = least if depth is None else depth
        require(depth >= least, where, "depth", depth, f"at least {least}, the number of layers")
    sweeps = depth or 0
    require(sweeps > 0, where, "depth", depth, "the number of layers, as `layers` may be traced")
    wide = accumulation_dtype(jnp.promote_types(state.dtype, drive.dtype))
    place = jnp.asarray(layers)
    within = place[:, None] == place[None, :]
    weights = jnp.where(edges.astype(bool), kernel, jnp.zeros_like(kernel))
    before = jnp.where(within, recurrent_kernel, jnp.zeros_like(recurrent_kernel))

    def product(h: jax.Array, matrix: jax.Array) -> jax.Array:
        return jnp.dot(h, matrix.astype(h.dtype), preferred_element_type=wide)

    stays = drive.astype(wide) + product(state, before)
    if fixed:
        h = jnp.zeros_like(state)
        for layer in range(max(layers) + 1):
            here = np.flatnonzero(np.array(layers) == layer)
            # Units of later layers are zero still; no edge leads from them anyway.
            new = activation(stays[..., here] + product(h, weights[:, here]))
            h = h.at[..., here].set(new.astype(h.dtype))
    else:

        def sweep(h: jax.Array, _: None) -> tuple[jax.Array, None]:
            return activation(stays + product(h, weights)).astype(h.dtype), None

        first = activation(stays).astype(state.dtype)
        h, _ = jax.lax.scan(sweep, first, None, length=sweeps - 1)
    return h, h.astype(drive.dtype)


class GraphRNNCell(nn.RNNCellBase):
    """One step of a recurrent network wired like a graph, for ``nn.RNN``.

    Layer 0 reads the input; the output is that of all units, of which
    ``y[..., graph.nodes(-1)]`` are the last layer. See :func:`graph_rnn_step`. Weights that no
    edge uses are zero from the start and have no gradient, so that they stay zero.

    Attributes:
      graph: of :func:`directed_layers`; its nodes are the units.
      activation: φ, e.g. ``jnp.tanh`` or ``jax.nn.relu``.
      dtype: compute in this dtype; ``None`` promotes input, state and parameters.
      param_dtype: dtype of the parameters and of the state at the start.
      kernel_init: initialiser of the kernels. What it draws is masked, and scaled up for each
        unit by the root of how many times fewer inputs it has, so that sparse units are driven
        as strongly as dense ones.
    """

    graph: DirectedLayers
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, carry: Float[Array, "*batch units"], inputs: Float[Array, "*batch inputs"]
    ) -> tuple[Float[Array, "*batch units"], Float[Array, "*batch units"]]:
        """Take the state and one step's input; return the next state and the output."""
        require_array(type(self).__name__, inputs=inputs)
        units, edges = len(self.graph.layers), self.graph.adjacency
        layers = np.array(self.graph.layers)
        reads = np.broadcast_to(layers == 0, (inputs.shape[-1], units))
        within = layers[:, None] == layers[None, :]
        x_kernel = self.param(
            "input_kernel", _masked(self.kernel_init, reads), reads.shape, self.param_dtype
        )
        kernel = self.param(
            "kernel", _masked(self.kernel_init, edges), edges.shape, self.param_dtype
        )
        recurrent = self.param(
            "recurrent_kernel", _masked(self.kernel_init, within), within.shape, self.param_dtype
        )
        bias = self.param("bias", nn.initializers.zeros, (units,), self.param_dtype)
        inputs, x_kernel, kernel, recurrent, bias = promote_dtype(
            inputs, x_kernel, kernel, recurrent, bias, dtype=self.dtype
        )
        wide = accumulation_dtype(inputs.dtype)
        x_kernel = jnp.where(reads, x_kernel, jnp.zeros_like(x_kernel))
        drive = jnp.dot(inputs, x_kernel, preferred_element_type=wide)
        drive = drive + jnp.broadcast_to(bias.astype(wide), drive.shape)
        return graph_rnn_step(
            carry,
            drive.astype(inputs.dtype),
            kernel,
            recurrent,
            jnp.asarray(edges),
            self.graph.layers,
            activation=self.activation,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> jax.Array:
        """Make the zero state for inputs of ``input_shape``; the key is not used."""
        return jnp.zeros((*input_shape[:-1], len(self.graph.layers)), self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1


def _masked(initializer: Initializer, mask: np.ndarray) -> Initializer:
    """Mask what is drawn for rows that are inputs, and make up for the inputs that are gone."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
        scale = mask * np.sqrt(shape[0] / np.maximum(mask.sum(axis=0, keepdims=True), 1))
        return initializer(key, shape, dtype) * jnp.asarray(scale, dtype)

    return init
