r"""Kolmogorov-Arnold layers that choose their functions: a gated pool of bases on every edge.

.. math::
    \phi_{ij}(x) = w_{ij}\,\mathrm{silu}(x) + \sum_p \alpha_{pij} \sum_b c_{pbij} B_{pb}(x), \quad
    \alpha_{\cdot ij} = \mathrm{softmax}(\gamma_{\cdot ij})

Training has three stages: everything, gates included; then :func:`select_bases` keeps the best
basis of each node; then what is kept is trained on. The gates multiply the coefficients, not the
values, and the bases stand one after the other, so that a layer is one product however many
bases the pool has: it is :func:`kan_layer` with a longer basis.

===========  ===============================================================
x            input, ``(*batch, inputs)``
p            number of a basis in the pool
B_p          its functions
c            ``coefficients``, ``(functions, inputs, outputs)``, of all bases one after the other
γ            parameter ``gates``, ``(bases, 1, outputs)``, or ``(bases, inputs, outputs)``
α            the gates' weights, shaped like γ
w            ``base_kernel``, ``(inputs, outputs)``, no part of what is selected
===========  ===============================================================

Source: "Activation Space Selectable Kolmogorov-Arnold Networks" (2024). The paper's abstract
leaves open how bases are scored; both scores here, by gate and by fit, are this library's reading.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.traverse_util import unflatten_dict
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers._convolution import Padding, require_convolution
from jaxnn.layers.kan._basis import require_grid
from jaxnn.layers.kan._convolution import convolve_functions
from jaxnn.layers.kan._families import BasisName
from jaxnn.layers.kan._grid import least_squares
from jaxnn.layers.kan._layer import Basis, edge_functions, edge_inits, kan_layer, named_or_own
from jaxnn.layers.kan._observe import Path, Variables, flatten, replaced
from jaxnn.layers.kan._penalty import edge_norms, regularization

Gate = Literal["node", "edge"]
POOL = ("bspline", "chebyshev", "gaussian", "fourier", "wavelet", "relu_power")


def selectable_kan_layer(
    x: Float[Array, "*batch inputs"],
    coefficients: Float[Array, "functions inputs outputs"],
    gates: Float[Array, "bases _ outputs"],
    base_kernel: Float[Array, "inputs outputs"] | None = None,
    *,
    bases: Sequence[Basis],
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu,
) -> Float[Array, "*batch outputs"]:
    r"""Apply a Kolmogorov-Arnold layer whose edges mix several bases.

    .. math:: y_j = \sum_i w_{ij}\,\beta(x_i)
                    + \sum_p \alpha_{pij} \sum_{b,i} c_{pbij} B_{pb}(x_i)

    Args:
      x: any leading axes, then features.
      coefficients: c, those of the first basis first.
      gates: α, the weights themselves, ``(bases, inputs, outputs)``; with an axis of 1 for the
        inputs, all edges into a node share theirs.
      base_kernel: w; no gate stands before it.
      bases: the pool, each as :func:`kan_layer` takes it.
      base: the fixed function β.

    Returns:
      An array in the dtype of ``x``; products accumulate in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> bases = [make_basis(name, grid=2, degree=1) for name in ("bspline", "chebyshev")]
      >>> gates = jnp.array([[[0.75]], [[0.25]]])
      >>> c = jnp.ones((6, 1, 1)).at[4:].set(0)  # a partition of unity, and T_0 alone
      >>> selectable_kan_layer(jnp.array([[0.5]]), c, gates, bases=bases).tolist()
      [[1.0]]
    """
    where = "selectable_kan_layer"
    require_array(where, x=x, coefficients=coefficients, gates=gates)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    require(len(bases) > 0, where, "bases", bases, "at least one basis")
    sizes = _sizes(bases, x.shape[-1], x.dtype)
    _require_coefficients(where, coefficients, sizes, x.shape[-1])
    shapes = [(len(bases), n, coefficients.shape[2]) for n in (1, x.shape[-1])]
    needs = f"shape {shapes[0]}, a weight for each basis and node, or {shapes[1]}, for each edge"
    require(gates.shape in shapes, where, "gates", gates, needs)
    mixed = _gated(coefficients, gates, sizes)
    return kan_layer(x, mixed, base_kernel, basis=_joined(bases), base=base)


def basis_scores(
    model: nn.Module, variables: Variables, x: Array, **options: Any
) -> dict[str, Any]:
    r"""Measure how well each basis alone could do what a node, or an edge, has learned.

    .. math:: s_{pj} = -\min_{c, w} \tfrac{1}{N} \sum_n
        \Bigl(y_{nj} - \sum_i \bigl(w_i\,\beta(x_{ni}) + \sum_b c_{bi} B_{pb}(x_{ni})\bigr)\Bigr)^2

    with y the outputs the layer gives now. With a gate for each edge the same is done edge by
    edge; constants, which edges can pass on to each other, are then left out on both sides.

    Args:
      model: a :class:`SelectableKANLayer`, or any linen module with such layers inside.
      variables: its variables, after the first stage of training.
      x: a batch of its inputs: more examples than a node has coefficients of one basis.
      **options: passed on to ``model.apply``.

    Returns:
      For each layer, at its path, ``{"gates": (bases, 1 or inputs, outputs)}``; 0 is the best.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: the model has no selectable layer.
    """
    where = "basis_scores"
    require_array(where, x=x)
    seen: dict[Path, tuple[SelectableKANLayer, list[jax.Array]]] = {}

    def record(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, SelectableKANLayer) and context.method_name == "__call__":
            value = args[0] if args else kwargs["x"]
            rows = value.reshape(math.prod(value.shape[:-1]), value.shape[-1])
            seen.setdefault(layer.path, (layer, []))[1].append(rows)
        return call(*args, **kwargs)

    with nn.intercept_methods(record):
        model.apply(variables, x, **options)
    require(bool(seen), where, "model", model, "at least one SelectableKANLayer")
    flat, scores = flatten(variables), {}
    for path, (layer, inputs) in seen.items():
        rows = jnp.concatenate(inputs)
        c, w, gates = (flat["params", *path, name] for name in _PARAMETERS)
        selected = flat.get(("selection", *path, "gates"))
        weights = jax.nn.softmax(gates, axis=0) if selected is None else selected
        scores[*path, "gates"] = _scores(layer, rows, c, w, weights)
    return unflatten_dict(scores)


_PARAMETERS = ("coefficients", "base_kernel", "gates")


def _scores(
    layer: "SelectableKANLayer", x: jax.Array, c: jax.Array, w: jax.Array, weights: jax.Array
) -> jax.Array:
    narrow, wide = c.dtype, accumulation_dtype(c.dtype)
    x, c, w, weights = (value.astype(wide) for value in (x, c, w, weights))
    bases = layer.pool()
    mixed = _gated(c, weights, _sizes(bases, x.shape[-1], x.dtype))
    options = {"basis": _joined(bases), "base": layer.base}
    by_edge = weights.shape[1] > 1 or layer.gate == "edge"
    if by_edge:
        # (inputs, samples, outputs), and below the columns (inputs, samples, functions).
        targets = _centred(jnp.moveaxis(edge_functions(x, mixed, w, **options), 1, 0))
    else:
        targets = kan_layer(x, mixed, w, **options)[None]

    def error(columns: jax.Array, target: jax.Array) -> jax.Array:
        solution = least_squares(columns, target)
        fit = jnp.dot(columns, solution, precision=jax.lax.Precision.HIGHEST)
        return jnp.mean(jnp.square(fit - target), axis=0)

    # Columns of zeros fill up the shorter bases, so that all are solved side by side.
    values = [jnp.concatenate([basis(x), layer.base(x)[:, None]], axis=1) for basis in bases]
    most = max(value.shape[1] for value in values)
    values = jnp.stack([jnp.pad(v, ((0, 0), (0, most - v.shape[1]), (0, 0))) for v in values])
    if by_edge:
        columns = _centred(jnp.moveaxis(values, 3, 1))
    else:
        columns = values.reshape(len(bases), 1, x.shape[0], most * x.shape[1])
    return -jax.vmap(jax.vmap(error), in_axes=(0, None))(columns, targets).astype(narrow)


def _centred(values: jax.Array) -> jax.Array:
    return values - jnp.mean(values, axis=-2, keepdims=True)


def select_bases(variables: Variables, scores: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Keep the best basis of each node, or edge, and drop the others.

    The gate of the kept basis stays at the weight it has now and is trained no further: what is
    left of the function is unchanged, and where the others had no weight, so is all of it. The
    coefficients that are dropped get no gradient.

    Args:
      variables: of a network with selectable layers, dense or convolutional; what was selected
        before is selected anew from its parameters ``gates``.
      scores: from :func:`basis_scores`, or any others of that form. Layers that have none, and
        all layers if ``None``, keep the basis with the largest gate.

    Returns:
      The variables and a collection ``selection`` with the weights, one above 0 for each gate.
      Pass it to ``apply``; train ``params`` alone.

    Raises:
      ValueError: no layer has gates, or ``scores`` has a layer that ``variables`` has not.
    """
    where = "select_bases"
    flat, given = flatten(variables), flatten(scores or {})
    found = {path[1:]: gates for path, gates in flat.items() if _is_gates(path)}
    require(bool(found), where, "variables", sorted(variables), "a layer with `gates` in `params`")
    for path, score in given.items():
        ok = path in found and found[path].shape == score.shape
        needs = f"only layers of `variables`, with as many gates; see {'/'.join(path[:-1])!r}"
        require(ok, where, "scores", score, needs)
    changes = {}
    for path, gates in found.items():
        best = jnp.argmax(given.get(path, gates), axis=0)
        kept = jax.nn.one_hot(best, gates.shape[0], axis=0, dtype=gates.dtype)
        changes["selection", *path] = kept * jax.nn.softmax(gates, axis=0)
    return replaced(variables, changes)


def _is_gates(path: Path) -> bool:
    return path[0] == "params" and path[-1] == "gates"


class SelectableKANLayer(nn.Module):
    """The layer with its parameters; see :func:`selectable_kan_layer`.

    The parameters are ``coefficients``, ``base_kernel`` and the logits ``gates``. With the
    collection ``selection`` of :func:`select_bases`, its ``gates`` are the weights instead. As
    the ``layer`` of ``models.KAN`` it makes a network whose ``basis`` is the pool.

    At the start all bases have equal weight and equal shares of the output's variance. Dropped
    bases are still computed: selection saves parameters, not time.

    Attributes:
      features: size of the output's last axis.
      grid: G of the bases given by name, as in :class:`KANLayer`, and so are the following.
      degree: k; all named bases have about G + k functions.
      grid_range: where the uniform grids begin and end.
      basis: the pool: names for :func:`make_basis`, or functions.
      gate: whether each output ``"node"`` has one gate a basis, or each ``"edge"``.
      spline_share: part of the output's variance that the bases have at the start.
      regularization: λ of the penalty on edges, sown into ``losses``.
      entropy: weight of the entropy in it.
      base: the fixed function.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
    """

    features: int
    grid: int = 5
    degree: int = 3
    grid_range: tuple[float, float] = (-1.0, 1.0)
    basis: Sequence[BasisName | Basis] = POOL
    gate: Gate = "node"
    spline_share: float = 0.5
    regularization: float = 0.0
    entropy: float = 1.0
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        require_array("SelectableKANLayer", x=x)
        bases = self.pool()
        values = promote_dtype(x, *_parameters(self, (), x, bases), dtype=self.dtype)
        x, coefficients, base_kernel, weights = values
        if self.regularization and not self.is_initializing():
            mixed = _gated(coefficients, weights, _sizes(bases, x.shape[-1], x.dtype))
            edges = edge_functions(x, mixed, base_kernel, basis=_joined(bases), base=self.base)
            penalty = regularization(
                edge_norms(edges.astype(accumulation_dtype(x.dtype))), entropy=self.entropy
            )
            self.sow("losses", "regularization", self.regularization * penalty)
        return selectable_kan_layer(
            x, coefficients, weights, base_kernel, bases=bases, base=self.base
        )

    def pool(self) -> tuple[Basis, ...]:
        """Give the bases as functions."""
        return _pool("SelectableKANLayer", self)


class SelectableKANConv(nn.Module):
    """A convolution whose taps are functions of a gated pool; see :class:`KANConv`.

    The parameters are ``coefficients``, of shape ``(*kernel_size, functions, inputs, features)``,
    ``base_kernel``, ``(*kernel_size, inputs, features)``, and the logits ``gates``, one for each
    basis and output channel, or for each basis and tap. :func:`select_bases` selects among them.

    Attributes:
      features: output channels.
      kernel_size: taps along each axis.
      strides: step along each axis, or one for all.
      padding: ``"SAME"``, ``"VALID"``, or pairs of numbers of places.
      grid: as in :class:`SelectableKANLayer`, and so are the following.
      degree: k.
      grid_range: where the uniform grids begin and end.
      basis: the pool: names for :func:`make_basis`, or functions.
      gate: whether each output channel (``"node"``) has its gates, or each tap (``"edge"``).
      spline_share: part of the output's variance that the bases have at the start.
      base: the fixed function.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
    """

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    grid: int = 5
    degree: int = 3
    grid_range: tuple[float, float] = (-1.0, 1.0)
    basis: Sequence[BasisName | Basis] = POOL
    gate: Gate = "node"
    spline_share: float = 0.5
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *smaller space, features)``."""
        where = "SelectableKANConv"
        kernel = require_convolution(where, x, self.kernel_size)
        bases = _pool(where, self)
        values = promote_dtype(x, *_parameters(self, kernel, x, bases), dtype=self.dtype)
        x, coefficients, base_kernel, weights = values
        coefficients = _gated(coefficients, weights, _sizes(bases, x.shape[-1], x.dtype))
        return convolve_functions(
            where,
            x,
            coefficients,
            base_kernel,
            basis=_joined(bases),
            base=self.base,
            strides=self.strides,
            padding=self.padding,
        )


def _pool(where: str, layer: "SelectableKANLayer | SelectableKANConv") -> tuple[Basis, ...]:
    require_count(where, features=layer.features)
    require_grid(where, layer.grid, layer.degree)
    several = not isinstance(layer.basis, str) and not callable(layer.basis)
    needs = "a sequence of bases, at least one"
    require(several and len(layer.basis) > 0, where, "basis", layer.basis, needs)
    require(layer.gate in ("node", "edge"), where, "gate", layer.gate, "'node' or 'edge'")
    share = layer.spline_share
    require(0 <= share <= 1, where, "spline_share", share, "a number from 0 to 1")
    options = layer.grid, layer.degree, layer.grid_range
    return tuple(named_or_own(basis, *options) for basis in layer.basis)


def _parameters(
    layer: "SelectableKANLayer | SelectableKANConv",
    kernel: tuple[int, ...],
    x: jax.Array,
    bases: tuple[Basis, ...],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Give coefficients, base kernel and the gates' weights of the module that calls."""
    inputs, dtype = x.shape[-1], layer.param_dtype
    sizes = _sizes(bases, inputs, x.dtype)
    inits = [
        edge_inits(
            basis,
            layer.base,
            fan_in=inputs * math.prod(kernel),
            grid_range=layer.grid_range,
            spline_share=layer.spline_share,
        )
        for basis in bases
    ]
    shape = (*kernel, sum(sizes), inputs, layer.features)
    coefficients = layer.param("coefficients", _in_turn(inits, sizes), shape, dtype)
    shape = (*kernel, inputs, layer.features)
    base_kernel = layer.param("base_kernel", inits[0][1], shape, dtype)
    if layer.gate == "node":
        shape = (*(1 for _ in kernel), 1, layer.features)
    gates = layer.param("gates", nn.initializers.zeros, (len(bases), *shape), dtype)
    if layer.has_variable("selection", "gates"):
        return coefficients, base_kernel, layer.get_variable("selection", "gates")
    return coefficients, base_kernel, jax.nn.softmax(gates, axis=0)


def _in_turn(inits: list[tuple[Initializer, Initializer]], sizes: tuple[int, ...]) -> Initializer:
    """Draw the coefficients of each basis for an equal share of the variance."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
        keys = jax.random.split(key, len(sizes))
        # Gates of 1/P leave P (1/P)² of the variance that P bases have together.
        scale = jnp.sqrt(jnp.asarray(len(sizes), dtype))
        parts = [
            scale * draw(key, (*shape[:-3], size, *shape[-2:]), dtype)
            for key, (draw, _), size in zip(keys, inits, sizes, strict=True)
        ]
        return jnp.concatenate(parts, axis=-3)

    return init


def _sizes(bases: Sequence[Basis], inputs: int, dtype: Dtype) -> tuple[int, ...]:
    """Count the functions of each basis, by shapes alone."""
    row = jax.ShapeDtypeStruct((1, inputs), dtype)
    return tuple(jax.eval_shape(basis, row).shape[-2] for basis in bases)


def _require_coefficients(
    where: str, coefficients: jax.Array, sizes: tuple[int, ...], inputs: int
) -> None:
    ok = coefficients.ndim == 3 and coefficients.shape[:2] == (sum(sizes), inputs)
    needs = f"shape {(sum(sizes), inputs, 'outputs')}: the bases have {sizes} functions"
    require(ok, where, "coefficients", coefficients, needs)


def _joined(bases: Sequence[Basis]) -> Basis:
    return functools.partial(_all_values, tuple(bases))


def _all_values(bases: tuple[Basis, ...], x: jax.Array) -> jax.Array:
    return jnp.concatenate([basis(x) for basis in bases], axis=-2)


def _gated(coefficients: jax.Array, gates: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Multiply the coefficients of each basis by its gates."""
    gates = jnp.moveaxis(gates, 0, -3).astype(coefficients.dtype)
    ends = np.cumsum(sizes)
    # Slices and a concatenation: the gradient of a gather would be a scatter, which is slow.
    parts = [
        coefficients[..., end - size : end, :, :] * gates[..., p : p + 1, :, :]
        for p, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]
    return jnp.concatenate(parts, axis=-3)
