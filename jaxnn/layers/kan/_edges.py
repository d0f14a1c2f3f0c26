r"""Look at edges, score them, and remove those that do nothing.

Scores are trees shaped like the collection ``mask``: ``{"layers_0": {"edges": (inputs,
outputs)}}``. A hidden node is kept when some edge into it and some edge out of it both matter:

.. math:: I_i = \max_k |\phi_{l-1,ki}|_1 > \theta, \quad O_i = \max_j |\phi_{l,ij}|_1 > \theta

Source: "KAN: Kolmogorov-Arnold Networks" (2024), section 2.5.1, equations 2.17 and 2.21.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict
from jaxtyping import Array, Float

from jaxnn._check import require, require_positive
from jaxnn.layers.kan._basis import bspline_basis, uniform_knots
from jaxnn.layers.kan._layer import Basis, edge_functions
from jaxnn.layers.kan._observe import Path, Variables, flatten, observe, replaced
from jaxnn.layers.kan._penalty import edge_norms

Scores = Mapping[str, Any]


def edge_curves(
    coefficients: Float[Array, "functions inputs outputs"],
    base_kernel: Float[Array, "inputs outputs"] | None = None,
    knots: Float[Array, " knots"] | Float[Array, "inputs knots"] | None = None,
    *,
    degree: int = 3,
    grid_range: tuple[float, float] = (-1.0, 1.0),
    points: int = 101,
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu,
    basis: Basis | None = None,
) -> tuple[Float[Array, "inputs points"], Float[Array, "inputs outputs points"]]:
    """Sample the function of every edge over its grid, for drawing or fitting formulas.

    The arguments have the names of the variables: ``edge_curves(**params["layers_0"])``, or
    with adapted grids ``edge_curves(**params["layers_0"], **grid["layers_0"])``.

    Args:
      coefficients: of one layer.
      base_kernel: weights of the base function; ``None`` gives the splines alone.
      knots: of all features or of each; uniform on ``grid_range`` if ``None``.
      degree: k.
      grid_range: of the uniform grid.
      points: how many, evenly spaced from the first to the last knot of the grid.
      base: the fixed function.
      basis: of a layer that has no splines, as :func:`kan_layer` takes it; it is sampled over
        ``grid_range``, and ``knots`` and ``degree`` do not matter.

    Returns:
      Where each feature was sampled, and the curve of each edge there: curve (i, j) is
      ``ys[i, j]`` over ``xs[i]``.

    Raises:
      TypeError: an argument is not a floating-point array.
      ValueError: shapes disagree.
    """
    require_positive("edge_curves", points=points)
    inputs = coefficients.shape[1]
    dtype = coefficients.dtype
    low, high = (jnp.full((inputs, 1), end, dtype) for end in grid_range)
    if basis is None:
        if knots is None:
            ends = low[0, 0], high[0, 0]
            knots = uniform_knots(*ends, grid=coefficients.shape[0] - degree, degree=degree)
        table = jnp.broadcast_to(knots.reshape(-1, knots.shape[-1]), (inputs, knots.shape[-1]))
        low, high = table[:, degree, None], table[:, table.shape[1] - degree - 1, None]
        basis = functools.partial(bspline_basis, knots=table, degree=degree)
    steps = jnp.linspace(0, 1, points, dtype=low.dtype)[None]
    xs = (low * (1 - steps) + high * steps).astype(dtype)
    ys = edge_functions(xs.T, coefficients, base_kernel, basis=basis, base=base)
    return xs, jnp.moveaxis(ys, 0, -1)


def edge_scores(model: nn.Module, variables: Variables, x: Array, **options: Any) -> dict[str, Any]:
    """Measure every edge of every KAN layer on data: the mean magnitude of its function.

    Args:
      model: a :class:`KANLayer`, or any linen module with such layers inside.
      variables: its variables.
      x: a batch of its inputs.
      **options: passed on to ``model.apply``.

    Returns:
      For each layer, at its path, ``{"edges": (inputs, outputs)}``; see :func:`edge_norms`.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: the model has no KAN layer.
    """
    scores = {}
    for path, (seen, inputs) in observe("edge_scores", model, variables, x, **options).items():
        options = {"basis": seen.basis, "base": seen.layer.base}
        edges = edge_functions(inputs, **seen.parameters, **options)
        scores[*path, "edges"] = edge_norms(edges)
    return unflatten_dict(scores)


def prune_edges(variables: Variables, scores: Scores, *, threshold: float = 0.03) -> dict[str, Any]:
    """Remove the edges that score no more than a threshold, by a mask.

    Args:
      variables: of the network; edges that a mask already removes stay removed.
      scores: from :func:`edge_scores`.
      threshold: an edge stays if its score is above it.

    Returns:
      The variables with the parameters of removed edges at 0, and a collection ``mask`` that
      holds them there when training goes on.

    Raises:
      ValueError: ``scores`` has a layer that ``variables`` has not.
    """
    flat, changes = flatten(variables), {}
    for path, score in flatten(scores).items():
        at = ("params", *path[:-1], "coefficients")
        needs = f"only layers of `variables`, with as many edges; see {'/'.join(path[:-1])!r}"
        ok = at in flat and flat[at].shape[1:] == score.shape
        require(ok, "prune_edges", "scores", score, needs)
        found = flat[at]
        mask = (score > threshold).astype(score.dtype)
        if (old := flat.get(("mask", *path))) is not None:
            mask = mask * old
        changes["mask", *path] = mask
        changes[at] = found * mask[None].astype(found.dtype)
        base = ("params", *path[:-1], "base_kernel")
        changes[base] = flat[base] * mask.astype(found.dtype)
    return replaced(variables, changes)


def prune_nodes(variables: Variables, scores: Scores, *, threshold: float = 0.01) -> dict[str, Any]:
    """Remove hidden nodes that no edge reaches or none leaves, giving a smaller network.

    For layers in a chain, each the input of the next. Sizes depend on values, so this runs
    outside ``jit``. A last node of a layer is never removed: the best one stays.

    Args:
      variables: of a network whose KAN layers follow each other, e.g. ``models.KAN``.
      scores: from :func:`edge_scores`; its layers follow each other in the order of the numbers
        in their names.
      threshold: a node stays if its best incoming and its best outgoing edge score above it.

    Returns:
      Variables of the smaller network; its ``features`` are the last axes of its base kernels.
      A removed node takes its edges on both sides along, so that even one whose value was 0
      no longer adds φ(0) to the next layer.

    Raises:
      ValueError: the layers are no chain: outputs and next inputs differ.
    """
    flat = flatten(variables)
    chain = sorted(
        ((path[:-1], np.asarray(score)) for path, score in flatten(scores).items()),
        key=lambda layer: natural(layer[0]),
    )
    (before, into), *rest = chain
    for after, out in rest:
        ends = into.shape[1]
        needs = f"{ends} inputs in layer {'/'.join(after)!r}, the outputs of the layer before"
        require(out.shape[0] == ends, "prune_nodes", "scores", out, needs)
        worth = np.minimum(into.max(axis=0), out.max(axis=1))
        keep = np.flatnonzero((worth > threshold) | (worth == worth.max()))
        # A node is an output of one layer and an input of the next.
        for layer, axes in ((before, _OUTPUT_AXES), (after, _INPUT_AXES)):
            for (collection, name), axis in axes.items():
                if (leaf := flat.get(at := (collection, *layer, name))) is not None:
                    flat[at] = jnp.take(leaf, keep, axis=axis)
        before, into = after, out[keep]
    return unflatten_dict(flat)


def prune_inputs(
    variables: Variables, scores: Scores, *, threshold: float = 0.01
) -> tuple[dict[str, Any], np.ndarray]:
    """Remove the inputs whose edges all score low, giving a network of fewer inputs.

    Args:
      variables: of a network whose KAN layers follow each other.
      scores: from :func:`edge_scores`.
      threshold: an input stays if its best edge scores above it; the best input always stays.

    Returns:
      Variables of the smaller network, and which inputs it takes: apply it to ``x[:, kept]``.

    Raises:
      ValueError: ``scores`` has no layer.
    """
    flat = flatten(variables)
    layers = {path[:-1]: np.asarray(score) for path, score in flatten(scores).items()}
    require(bool(layers), "prune_inputs", "scores", scores, "at least one layer")
    first = min(layers, key=natural)
    worth = layers[first].max(axis=1)
    keep = np.flatnonzero((worth > threshold) | (worth == worth.max()))
    for (collection, name), axis in _INPUT_AXES.items():
        if (leaf := flat.get(at := (collection, *first, name))) is not None:
            flat[at] = jnp.take(leaf, keep, axis=axis)
    return unflatten_dict(flat), keep


_OUTPUT_AXES = {("params", "coefficients"): 2, ("params", "base_kernel"): 1, ("mask", "edges"): 1}
_INPUT_AXES = {
    ("params", "coefficients"): 1,
    ("params", "base_kernel"): 0,
    ("mask", "edges"): 0,
    ("grid", "knots"): 0,
}


def natural(path: Path) -> list[str | int]:
    """Order ``layers_10`` after ``layers_2``."""
    words = re.split(r"(\d+)", "/".join(path))
    return [int(word) if word.isdigit() else word for word in words]
