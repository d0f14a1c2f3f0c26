"""What goes on inside a model: silent units and weights, spikes, attention, learned functions."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from jaxnn.analysis import activations, sparsity, visualization
from jaxnn.cli._analysis_parts import QUIET, FigureEntry, entry, is_picture, once, short
from jaxnn.data import Dataset
from jaxnn.layers import kan

CURVE_POINTS = 61  # of an edge's curve
PLACES = 48  # of a text, drawn in attention maps


def look_inside(
    model: nn.Module, variables: Mapping[str, Any], x: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Run the model once and keep named values, and the edges of Kolmogorov-Arnold layers."""

    @once
    def program(variables, x):
        edges: dict[str, dict[str, jax.Array]] = {}

        def watch(call, args, kwargs, context):
            module = context.module
            if isinstance(module, kan.KANLayer) and context.method_name == "__call__":
                value = args[0] if args else kwargs["x"]
                edges["/".join(module.path)] = _watch_edges(module, value)
            return call(*args, **kwargs)

        with nn.intercept_methods(watch):
            outputs, named = activations.capture(model, variables, x)
        return outputs, named, edges

    outputs, named, edges = jax.device_get(program(variables, x))
    # The last layer's values are the outputs, which are no secret.
    inside = {
        name: value
        for name, value in named.items()
        if not (value.shape == outputs.shape and np.array_equal(value, outputs))
    }
    return inside, edges


def _watch_edges(layer: kan.KANLayer, x: jax.Array) -> dict[str, jax.Array]:
    """Evaluate a layer's edges on its inputs, and along a line over their range."""
    rows = x.reshape(-1, x.shape[-1])
    coefficients = layer.get_variable("params", "coefficients")
    base = layer.get_variable("params", "base_kernel")
    if layer.has_variable("mask", "edges"):
        kept = layer.get_variable("mask", "edges").astype(coefficients.dtype)
        coefficients, base = coefficients * kept[None], base * kept
    options = {"basis": layer.edge_basis(), "base": layer.base}
    if layer.has_variable("grid", "knots"):
        knots = layer.get_variable("grid", "knots")
        inner = knots[..., layer.degree : knots.shape[-1] - layer.degree]
        low, high = jnp.min(inner), jnp.max(inner)
    else:
        low, high = (jnp.asarray(end, rows.dtype) for end in layer.grid_range)
        inner = low + (high - low) * jnp.linspace(0, 1, layer.grid + 1, dtype=rows.dtype)
    # Some way past the grid, if data are there.
    beyond = (high - low) / 2
    start = jnp.minimum(low, jnp.maximum(jnp.min(rows), low - beyond))
    end = jnp.maximum(high, jnp.minimum(jnp.max(rows), high + beyond))
    line = start + (end - start) * jnp.linspace(0, 1, CURVE_POINTS, dtype=rows.dtype)
    points = jnp.broadcast_to(line[:, None], (CURVE_POINTS, rows.shape[1]))
    return {
        "points": line,
        "curves": kan.edge_functions(points, coefficients, base, **options),
        "splines": kan.edge_functions(points, coefficients, None, **options),
        "strengths": jnp.std(kan.edge_functions(rows, coefficients, base, **options), 0),
        "knots": inner,
        "data": rows,
    }


def draw_sparsity(
    variables: Mapping[str, Any], named: Mapping[str, np.ndarray], measures: dict[str, Any]
) -> list[FigureEntry]:
    hidden = hidden_layers(named)
    leaves: dict[str, Any] = {**flatten_dict(dict(variables["params"]), sep="/")}
    kernels = {n: jnp.asarray(w) for n, w in leaves.items() if w.ndim >= 2 and w.size > 1}
    inner, outer = jax.device_get(once(_measure_sparsity)(hidden, kernels))
    layers = {short(n): _row(inner[n], ("silent", "dead", "hoyer")) for n in hidden}
    weights = {short(n): _row(outer[n], ("hoyer", "gini", "pq_index")) for n in kernels}
    sizes = np.asarray([w.size for w in kernels.values()], float)
    if layers:
        units = np.asarray([value.shape[-1] for value in hidden.values()], float)
        for measure, column in (("silent_activations", "silent"), ("dead_units", "dead")):
            values = [row[column] for row in layers.values()]
            measures[measure] = float(np.average(values, weights=units))
        measures["by_layer"] = layers
    if not weights:
        return []
    hoyers = [row["hoyer"] for row in weights.values()]
    measures["weight_hoyer"] = float(np.average(hoyers, weights=sizes))
    measures["by_weights"] = weights
    bars: dict[str, dict[str, float]] = {
        "weights: Hoyer": {n: row["hoyer"] for n, row in weights.items()},
        "weights: Gini": {n: row["gini"] for n, row in weights.items()},
    }
    if layers:
        bars["activations: silent share"] = {n: row["silent"] for n, row in layers.items()}
    return [
        entry(
            visualization.sparsity_bars(bars, xlabel="0 = all alike, 1 = nearly all silent"),
            "How much of it works",
            "For each set of weights, how unequal they are by two indices; and for each hidden "
            "layer, the share of its values that are silent for an example. Points far to the "
            "right mark layers that could be made smaller.",
        )
    ]


def _row(values: Mapping[str, Any], order: Sequence[str]) -> dict[str, float]:
    return {name: float(values[name]) for name in order if name in values}


def _measure_sparsity(
    hidden: Mapping[str, jax.Array], kernels: Mapping[str, jax.Array]
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, dict[str, jax.Array]]]:
    """Measure every layer's activations and weights in one program."""
    layers, weights = {}, {}
    for name, value in hidden.items():
        h = value.astype(jnp.float32)
        h = h / jnp.maximum(jnp.max(jnp.abs(h)), 1e-12)
        layers[name] = {
            "silent": sparsity.activation_sparsity(h, threshold=QUIET),
            "dead": sparsity.dead_units(h, threshold=QUIET).mean(),
        }
        if h.shape[-1] > 1:
            layers[name]["hoyer"] = sparsity.hoyer(h, axis=-1).mean()
    for name, w in kernels.items():
        weights[name] = {
            "hoyer": sparsity.hoyer(w),
            "gini": sparsity.gini(w),
            "pq_index": sparsity.pq_index(w),
        }
    return layers, weights


def hidden_layers(named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Choose the values that layers pass on: those sown for it, else what modules return."""
    count = max((len(v) for v in named.values() if np.ndim(v) > 1), default=0)
    rows = {n: v for n, v in named.items() if np.ndim(v) >= 2 and len(v) == count}
    last = {n: n.rsplit("/", 1)[-1].rstrip("0123456789_") for n in rows}
    sown = {n: v for n, v in rows.items() if last[n] in ("hidden", "spikes")}
    inner = {n: v for n, v in sown.items() if not _repeats(n, sown)}
    plain = {n: v for n, v in rows.items() if last[n] not in ("attention_weights", "membrane")}
    return inner or plain


def _repeats(name: str, others: Mapping[str, np.ndarray]) -> bool:
    """Whether a nested name says what a shorter one says already."""
    value = others[name]
    return any(
        other.count("/") < name.count("/")
        and others[other].shape == value.shape
        and np.array_equal(others[other], value)
        for other in others
    )


def draw_spikes(
    dataset: Dataset,
    named: Mapping[str, np.ndarray],
    chosen: np.ndarray,
    measures: dict[str, Any],
) -> list[FigureEntry]:
    found = {
        name: value
        for name, value in hidden_layers(named).items()
        if "spikes" in name.rsplit("/", 1)[-1] and value.ndim == 3
    }
    if not found:
        return []
    units = sum(v.shape[-1] for v in found.values())
    spikes = sum(float(v.sum()) for v in found.values())
    examples, time = next(iter(found.values())).shape[:2]
    measures["spike_rate"] = spikes / (examples * time * units)
    measures["spikes_per_example"] = spikes / examples
    first = next(iter(found.values()))
    label = class_name(dataset, int(chosen[0]))
    return [
        entry(
            visualization.spike_raster(first[0]),
            "Spikes",
            f"What the first hidden layer does with one test example{label}. Each mark is a "
            f"spike: time runs to the right, one row a unit; below, the share of units that fire "
            f"at each step. Over all examples a unit fires in {100 * measures['spike_rate']:.1f} % "
            "of its steps; rows that stay empty cost nothing.",
        )
    ]


def class_name(dataset: Dataset, index: int) -> str:
    if dataset.task == "regression":
        return ""
    y = int(dataset.test.y[index])
    return f" (true class {dataset.class_names[y] if dataset.class_names else y})"


def draw_attention(
    named: Mapping[str, np.ndarray], measures: dict[str, Any], *, text: bool = False
) -> list[FigureEntry]:
    found = {
        name.rsplit("/", 1)[0].replace("/attention", ""): value
        for name, value in named.items()
        if name.rsplit("/", 1)[-1] == "attention_weights" and value.ndim == 4
    }
    if not found:
        return []
    evenness = [_evenness(w) for w in found.values()]
    measures["attention_entropy"] = float(np.mean(evenness))
    if text:
        sinks = [np.asarray(sparsity.attention_sink(jnp.asarray(w))) for w in found.values()]
        measures["attention_sink"] = float(np.mean(sinks))
        cut = {name: w[0, :, :PLACES, :PLACES] for name, w in found.items()}
        return [
            entry(
                visualization.attention_maps(cut),
                "Where it attends",
                f"The first {cut[next(iter(cut))].shape[-1]} bytes of one test text through every "
                "head: each row is a byte that asks, each column one that answers, dark where it "
                "is listened to; nobody sees what comes later. A diagonal means that bytes look "
                "at themselves or just before them; a dark first column is where heads look that "
                f"look for nothing. Evenness over all texts: {100 * np.mean(evenness):.0f} % of "
                "attention spread over everything alike; on the first byte lie "
                f"{100 * np.mean(sinks):.0f} %.",
            )
        ]
    return [
        entry(
            visualization.attention_maps({name: w[0] for name, w in found.items()}),
            "Where it attends",
            "One test example through every head: each row is a patch that asks, each column a "
            "patch that answers, dark where it is listened to. Vertical stripes are patches "
            "that everybody listens to; a diagonal means that patches look at themselves or "
            f"their neighbours. Evenness over all examples: {100 * np.mean(evenness):.0f} % of "
            "attention spread over everything alike.",
        )
    ]


def _evenness(w: np.ndarray) -> float:
    """Give the entropy of rows of weights, relative to that of rows spread over all they see."""
    queries, keys = w.shape[-2:]
    entropy = -(w * np.log(np.maximum(w, 1e-12))).sum(-1)
    if queries != keys or np.triu(w, 1).any():
        return float(entropy.mean() / np.log(max(keys, 2)))
    # Each row sees one key more; the first has no choice.
    return float((entropy[..., 1:] / np.log(np.arange(2, keys + 1))).mean()) if keys > 1 else 1.0


def draw_kan(
    dataset: Dataset, edges: Mapping[str, Mapping[str, np.ndarray]], measures: dict[str, Any]
) -> list[FigureEntry]:
    if not edges:
        return []
    layers = list(edges.values())
    strengths = np.sort(np.concatenate([e["strengths"].ravel() for e in layers]))[::-1]
    total = np.cumsum(strengths)
    needed = int(np.searchsorted(total, 0.9 * total[-1])) + 1
    measures["kan_edges_for_90_percent"] = needed / len(strengths)
    classes = list(dataset.class_names) if dataset.task == "classification" else []
    entries = []
    for index, layer in enumerate(layers):
        shape = layer["strengths"].shape
        limit = 12 if index == 0 else 8
        first, final = index == 0, index == len(layers) - 1
        inputs = (
            _input_names(dataset, shape[0]) if first else [f"node {i}" for i in range(shape[0])]
        )
        outputs = classes if final and len(classes) == shape[1] else None
        figure = visualization.kan_edges(
            layer["points"],
            layer["curves"],
            splines=layer["splines"],
            knots=layer["knots"],
            data=layer["data"],
            strengths=layer["strengths"],
            input_names=inputs,
            output_names=outputs or [f"node {j}" for j in range(shape[1])],
            limit=limit,
        )
        count = shape[0] * shape[1]
        entries.append(
            entry(
                figure,
                f"Learned functions, layer {index + 1} of {len(layers)}",
                f"The {min(limit, count)} strongest of {count} edges. Each panel is the curve "
                "(solid) that one input goes through on its way to one node; the dashed line is "
                "the part made by the spline, the marks below are its knots, and the shaded "
                "band is where the data lie: outside of it a curve is a guess. Nearly straight "
                "curves could be plain weights.",
            )
        )
    chain = all(
        before["strengths"].shape[1] == after["strengths"].shape[0]
        for before, after in itertools.pairwise(layers)
    )
    if chain:
        figure = visualization.kan_network(
            [e["strengths"] for e in layers], output_names=classes or None
        )
        entries.append(
            entry(
                figure,
                "The network",
                "Nodes in columns, and at most 80 edges between each two, the strongest: the "
                "bolder a line, the more its curve varies over the test examples. "
                f"{needed} of {len(strengths)} edges ({100 * needed / len(strengths):.0f} %) make "
                "up 90 % of all variation; the rest are candidates for pruning.",
            )
        )
    return entries


def _input_names(dataset: Dataset, count: int) -> list[str]:
    if is_picture(dataset) and count == int(np.prod(dataset.test.x.shape[1:3])):
        width = dataset.test.x.shape[2]
        return [f"pixel {i // width},{i % width}" for i in range(count)]
    if len(dataset.feature_names) == count:
        return [name if len(name) <= 14 else f"{name[:13]}…" for name in dataset.feature_names]
    return [f"in {i}" for i in range(count)]
