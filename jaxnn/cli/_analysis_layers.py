"""Layer by layer: how alike they are, how far classes lie apart, what is missed, what feeds it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.analysis import activations, separability, similarity, visualization
from jaxnn.cli._analysis_parts import QUIET, FigureEntry, entry, once, short
from jaxnn.data import Dataset

LAYERS = 12  # whose units are drawn
PARTS = 16  # compared, and taken away one at a time
NODES = 10  # of the circuit: parts that do not contain one another
TRACED = 64  # examples for which the circuit is followed
EDGES = 24  # drawn
FAINT = 0.01  # of the strongest edge; weaker ones are not told


def draw_layers(
    model: nn.Module,
    variables: Mapping[str, Any],
    dataset: Dataset,
    chosen: np.ndarray,
    hidden: Mapping[str, np.ndarray],
    measures: dict[str, Any],
) -> list[FigureEntry]:
    """Compare the model's parts with each other and with the classes; take each away.

    Args:
      model: as for ``analyze_model``.
      variables: its variables.
      dataset: its data.
      chosen: test examples looked at.
      hidden: what the layers pass on for these, by name.
      measures: filled in.

    Returns:
      The figures.
    """
    x, y = jnp.asarray(dataset.test.x[chosen]), jnp.asarray(dataset.test.y[chosen])
    classes = dataset.num_classes if dataset.task == "classification" and y.ndim == 1 else None
    inner = _inner(model, variables, x)
    parts, nodes = _spread(inner, PARTS), _nodes(inner)
    figures = _busy(hidden)
    if not parts:
        return figures

    @once
    def program(variables, x, y):
        def loss(outputs):
            return jnp.mean(_losses(dataset.task, outputs, y))

        wanted = dict.fromkeys([*parts, *nodes])  # in an order that is the same in every process
        outputs, values = activations.capture(model, variables, x, names=wanted)
        rows = {n: values[n].astype(jnp.float32).reshape(len(x), -1) for n in parts}
        missed = activations.activation_patching(
            model,
            variables,
            x,
            replacements=activations.ablation({n: values[n] for n in parts}, "mean"),
            metric=loss,
            batch_size=4,
        )
        alike = similarity.layer_map(rows) if len(parts) > 1 else None
        apart = {
            name: separability.generalized_discrimination_value(h, y, num_classes=classes)
            for name, h in rows.items()
            if classes is not None
        }
        paths = None
        if len(nodes) > 2:
            traced = {name: values[name][:TRACED] for name in nodes}
            paths = activations.path_patching(
                model,
                variables,
                x[:TRACED],
                replacements=activations.ablation(traced, "mean"),
                metric=lambda outputs: jnp.mean(_losses(dataset.task, outputs, y[:TRACED])),
                batch_size=NODES,
            )
        return {n: missed[n] - loss(outputs) for n in parts}, alike, apart, paths

    costs, alike, apart, paths = jax.device_get(program(variables, x, y))
    table: dict[str, dict[str, float]] = {}
    for name in parts:
        table[_words(name)] = {"missed": float(costs[name])}
        if name in apart:
            table[_words(name)]["separation"] = float(apart[name])
    measures["by_part"] = table
    if classes is not None:
        measures["class_separation"] = float(apart[parts[-1]])
    if alike is not None:
        figures.append(_alike(alike, parts, apart))
    figures.append(_missed(costs, parts, dataset.task))
    if paths is not None and np.isfinite(paths.edges).all() and paths.edges.any():
        figures.append(_fed(paths, min(len(x), TRACED), dataset.task, measures))
    return figures


def _words(name: str) -> str:
    return name.replace("/", " ")


def _busy(hidden: Mapping[str, np.ndarray]) -> list[FigureEntry]:
    """Draw how often the units are at work."""
    shares = {}
    for name in _spread(list(hidden), LAYERS):
        value = np.abs(hidden[name].astype(np.float32)).reshape(-1, hidden[name].shape[-1])
        if value.shape[1] > 1 and value.max() > 0:
            shares[short(name)] = (value > QUIET * value.max()).mean(0)
    if not shares:
        return []
    idle = np.concatenate([*shares.values()])
    return [
        entry(
            visualization.unit_map(shares),
            "Units at work",
            "Each strip is a layer, each column one of its units, busiest first: dark if the "
            "unit is at work for every example (and place), white if for none. A strip that "
            "fades early could be narrower; one dark from end to end has no units to spare. "
            f"{int((idle < 0.05).sum())} of {len(idle)} units work for less than 5 %.",
        )
    ]


def _spread(names: list[str], most: int) -> list[str]:
    """Choose names evenly, the first and the last among them."""
    places = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    return [names[place] for place in places] if names else []


def _inner(model: nn.Module, variables: Mapping[str, Any], x: jax.Array) -> list[str]:
    """List what can be taken away: values of modules that are not the model's whole output."""
    shapes = jax.eval_shape(lambda: model.apply(variables, x))
    listed = {
        name: site
        for name, site in activations.sites(model, variables, x).items()
        if jnp.issubdtype(site.dtype, jnp.floating) and len(site.shape) > 1
    }
    listed = {name: site for name, site in listed.items() if site.shape[0] == len(x)}
    names = [name for name in listed if name.count("/") <= 1 and "Dropout" not in name]
    return [name for name in names if listed[name].shape != getattr(shapes, "shape", None)]


def _nodes(names: list[str]) -> list[str]:
    """Choose parts that contain no other, without the normalisations if enough are left.

    What feeds a layer feeds it through its normalisation, which would hide where it comes from.
    """
    inside = [name for name in names if not any(_contains(name, other) for other in names)]
    plain = [name for name in inside if "norm" not in name.lower()]
    return _spread(plain if len(plain) > 2 else inside, NODES)


def _contains(name: str, other: str) -> bool:
    return other.startswith(name.partition(":")[0] + "/")


def _losses(task: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    outputs = jnp.asarray(outputs, jnp.float32)
    if task == "classification":
        return optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    return jnp.square(outputs.reshape(len(outputs), -1)[:, 0] - y.reshape(len(y), -1)[:, 0])


def _alike(values: np.ndarray, names: list[str], apart: Mapping[str, Any]) -> FigureEntry:
    first, last = names[0], names[-1]
    words = (
        " By the generalized discrimination value, 0 where classes are mixed and -1 where they "
        f"lie apart, they stand at {float(apart[first]):.2f} in {_words(first)} and at "
        f"{float(apart[last]):.2f} in {_words(last)}."
        if last in apart
        else ""
    )
    return entry(
        visualization.similarity_map(values, [_words(name) for name in names]),
        "How alike the layers are",
        "Centred kernel alignment of each part's values with each other's, over the test "
        "examples looked at: 1 where two arrange the examples in the same way but for a "
        "rotation and a scale, 0 where they have nothing in common. A dark block is a group of "
        f"layers that change little.{words}",
    )


def _missed(costs: Mapping[str, Any], parts: list[str], task: str) -> FigureEntry:
    worst = max(parts, key=lambda name: float(costs[name]))
    unit = _unit(task)
    return entry(
        visualization.feature_bars(
            {"loss added": np.array([float(costs[name]) for name in parts])},
            [_words(name) for name in parts],
            limit=PARTS,
            xlabel=f"loss added, {unit}",
        ),
        "What is missed",
        "Each part's values are replaced by their mean over the examples, one part at a time, "
        "and all behind it is computed anew: the loss that this adds is what the model owes to "
        f"the part. Most is missed without {_words(worst)}: {float(costs[worst]):.2f}.",
    )


def _unit(task: str) -> str:
    return "nats an example" if task == "classification" else "squared error"


def _fed(paths: activations.Paths, count: int, task: str, measures: dict[str, Any]) -> FigureEntry:
    """Draw which part feeds which."""
    names = [_words(name) for name in paths.names]
    ends = [*names, "outputs"]
    size = np.abs(paths.edges)
    order = np.argsort(-size.ravel(), kind="stable")[:EDGES]
    pairs = [divmod(int(flat), len(ends)) for flat in order]
    measures["by_edge"] = {
        f"{ends[s]} → {ends[r]}": {"along": float(paths.edges[s, r])}
        for s, r in pairs
        if size[s, r] >= FAINT * size.max()
    }
    strongest = next(iter(measures["by_edge"]))
    return entry(
        visualization.circuit_graph(
            paths.edges, names, limit=EDGES, metric="the loss", units=_unit(task)
        ),
        "Which part feeds which",
        "What each part hands directly to each other one, without a third between them: the "
        f"upper part's values are replaced by their mean over {count} examples, what then reaches "
        "the lower part is kept, and all behind that is computed as ever. Orange lines are those "
        "the model goes by, for it does worse without them; blue ones get in its way. Most runs "
        f"along {strongest}: {measures['by_edge'][strongest]['along']:.2f}.",
    )
