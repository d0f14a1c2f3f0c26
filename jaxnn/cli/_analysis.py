"""What a trained model looks at and how much of it is at work, measured and drawn.

The analysis asks the model what it can do: images get maps, tables get bars; spikes, attention
weights and Kolmogorov-Arnold layers are drawn where the model has them. One program runs the
model and looks inside, one explains; both take the variables as arguments.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from jaxnn.analysis import activations, attribution, faithfulness, sparsity, visualization
from jaxnn.data import Dataset
from jaxnn.layers import kan

EXAMPLES = 128  # looked into
EXPLAINED = 32  # explained, for the measures of the methods
SHOWN = 10  # drawn
CHUNK = 16  # explained at once
STEPS = 32  # gradients of integrated gradients
SAMPLES = 16  # noisy copies of SmoothGrad
DELETIONS = 15  # steps of a deletion curve
CURVE_POINTS = 61  # of an edge's curve
QUIET = 0.01  # of a layer's largest magnitude: below it a unit counts as silent


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigureEntry:
    """One figure of the report.

    Attributes:
      title: a short heading.
      caption: what the picture shows and what to look for, in plain words.
      svg: the drawing, a self-contained SVG element.
    """

    title: str
    caption: str
    svg: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelAnalysis:
    """The figures and numbers of one model, all JSON-able.

    Attributes:
      measures: name to value; nested mappings hold one value a layer or a method.
      figures: in reading order.
    """

    measures: Mapping[str, Any]
    figures: tuple[FigureEntry, ...] = ()


@dataclasses.dataclass(frozen=True)
class Label:
    """How a measure is called and explained.

    Attributes:
      label: in full.
      short: as the head of a column.
      says: what it means, to somebody who does not know it.
      share: whether it is written in per cent.
      summary: whether it belongs in the table that compares all models.
    """

    label: str
    short: str
    says: str = ""
    share: bool = False
    summary: bool = False


LABELS = {
    "test_accuracy": Label("test accuracy", "test accuracy", share=True),
    "accuracy": Label("test accuracy", "test accuracy", share=True),
    "test_error": Label("mean absolute test error", "test error"),
    "completeness_gap": Label(
        "completeness gap of integrated gradients",
        "completeness gap",
        "Attributions by integrated gradients should add up to the model's output. This is how "
        "far they are off, relative to it: near 0 the explanation accounts for everything.",
        share=True,
        summary=True,
    ),
    "attribution_focus": Label(
        "focus of integrated gradients (Gini)",
        "attribution focus",
        "How few inputs carry the explanation: 0 if all count the same, 1 if a single one "
        "counts (the Gini index).",
        summary=True,
    ),
    "deletion_gain": Label(
        "deletion, below random order",
        "deletion gain",
        "Inputs are erased, those with the largest attribution first. This is how much lower "
        "the model's confidence is, on average, than when they are erased at random: the "
        "higher, the more the explanation found what matters to the model.",
        share=True,
        summary=True,
    ),
    "silent_activations": Label(
        "silent activations",
        "silent units",
        "The share of hidden values that are nothing, or below a hundredth of the layer's "
        "largest: the part of the network that rests for an example.",
        share=True,
        summary=True,
    ),
    "dead_units": Label(
        "dead units",
        "dead units",
        "Hidden units that are silent for every example looked at, and so could go.",
        share=True,
        summary=True,
    ),
    "weight_hoyer": Label(
        "weight sparsity (Hoyer)",
        "weight sparsity",
        "How unequal the weights are: 0 if all have the same magnitude, 1 if one has it all "
        "(Hoyer's index). High means that many connections hardly count.",
        summary=True,
    ),
    "spike_rate": Label(
        "spikes a step and unit",
        "spike rate",
        "How often a spiking unit fires in a time step, on average.",
        share=True,
        summary=True,
    ),
    "spikes_per_example": Label("spikes for an example", "spikes"),
    "attention_entropy": Label(
        "evenness of attention",
        "evenness",
        share=True,
    ),
    "kan_edges_for_90_percent": Label(
        "edges that make 90 % of the strength", "edges for 90 %", share=True
    ),
    "by_method": Label("method", "method"),
    "by_layer": Label("layer", "layer"),
    "by_weights": Label("weights", "weights"),
    "focus": Label("focus (Gini)", "focus (Gini)"),
    "deletion_area": Label("confidence left under deletion", "confidence left", share=True),
    "silent": Label("silent", "silent", share=True),
    "dead": Label("dead", "dead", share=True),
    "hoyer": Label("Hoyer", "Hoyer"),
    "gini": Label("Gini", "Gini"),
    "pq_index": Label("PQ index", "PQ index"),
    "rate": Label("rate", "rate", share=True),
}


def analyze_model(
    model: nn.Module,
    variables: Mapping[str, Any],
    dataset: Dataset,
    *,
    key: jax.Array,
    history: Sequence[Mapping[str, float]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ModelAnalysis:
    """Measure and draw a trained model on its test examples.

    Args:
      model: takes ``(batch, ...)``, gives ``(batch, outputs)``.
      variables: its variables, trained.
      dataset: the data it was trained on; only the test part is looked at, and the mean of the
        training part where an explanation needs a reference.
      key: for the noise of SmoothGrad and the order of random deletion.
      history: the training's records, for learning curves.
      progress: told in a few words what is being done.

    Returns:
      The numbers and figures.
    """
    tell = progress or (lambda _: None)
    x = np.asarray(dataset.test.x)
    measures: dict[str, Any] = {}
    figures: list[FigureEntry] = []

    tell("predicting")
    outputs = _predict(model, variables, x)
    chosen = _choose(dataset, EXAMPLES)
    explainable = jnp.issubdtype(x.dtype, jnp.floating)
    with ThreadPoolExecutor(1) as pool:
        # The explanations are compiled while the model is looked into and figures are drawn.
        tell("explaining")
        explanation = (
            pool.submit(_explain, model, variables, dataset, outputs, chosen, key)
            if explainable
            else None
        )
        figures += _learning(history or ())
        figures += _performance(dataset, outputs, measures)
        tell("looking inside")
        named, edges = _look_inside(model, variables, x[chosen])
        inside = _sparsity(variables, named, measures)
        inside += _spikes(dataset, named, chosen, measures)
        inside += _attention(named, measures)
        inside += _kan(dataset, edges, measures)
        if explanation is not None:
            tell("drawing explanations")
            figures += _explanations(dataset, outputs, chosen, explanation.result(), measures)
    figures += inside
    return ModelAnalysis(measures=measures, figures=tuple(figures))


# --- the model at work ---------------------------------------------------------------------


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a program that runs once: fast to make rather than fast.

    On a CPU full optimisation takes seconds, most of them for the drawing of random numbers,
    and saves milliseconds.
    """
    quick = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=quick)


def _predict(model: nn.Module, variables: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """Give the outputs for all examples, computed in chunks."""

    count = len(x)
    chunks = -(-count // 256)
    size = -(-count // chunks)
    padded = np.concatenate([x, np.repeat(x[-1:], chunks * size - count, 0)])

    @_once
    def program(variables, x):
        return jax.lax.map(functools.partial(model.apply, variables), x)

    outputs = program(variables, padded.reshape(chunks, size, *x.shape[1:]))
    return np.asarray(outputs, np.float32).reshape(chunks * size, -1)[:count]


def _choose(dataset: Dataset, count: int) -> np.ndarray:
    """Take test examples in turn from each class; the first ones for a regression."""
    y = np.asarray(dataset.test.y)
    if dataset.task == "regression":
        return np.arange(min(count, len(y)))
    turn = np.zeros(len(y), int)
    for label in np.unique(y):
        of_class = np.flatnonzero(y == label)
        turn[of_class] = np.arange(len(of_class))
    return np.lexsort((y, turn))[:count]


def _look_inside(
    model: nn.Module, variables: Mapping[str, Any], x: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Run the model once and keep named values, and the edges of Kolmogorov-Arnold layers."""

    @_once
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
    options = {"basis": layer.basis(), "base": layer.base}
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


@dataclasses.dataclass(frozen=True)
class _Explained:
    """Attributions of the first examples: arrays of (examples, ...) by method."""

    maps: dict[str, np.ndarray]
    gaps: dict[str, float]
    deletion: dict[str, np.ndarray]  # of confidence; empty for a regression
    focus: dict[str, np.ndarray] | None  # none where there is a single input
    targets: np.ndarray


def _explain(
    model: nn.Module,
    variables: Mapping[str, Any],
    dataset: Dataset,
    outputs: np.ndarray,
    chosen: np.ndarray,
    key: jax.Array,
) -> _Explained:
    """Attribute the outputs that the model chose, by every method, in one program."""
    # Whole chunks: what is left over would be compiled apart.
    chosen = chosen[: min(EXPLAINED, len(chosen) // CHUNK * CHUNK or len(chosen))]
    x = jnp.asarray(dataset.test.x[chosen])
    classes = dataset.task == "classification"
    targets = outputs[chosen].reshape(len(chosen), -1).argmax(-1)
    picture = _is_picture(dataset)
    # Black is "nothing there" in a picture; in a table the mean is.
    mean = np.asarray(dataset.train.x, np.float32).mean(0)
    baseline = jnp.zeros_like(x[0]) if picture else jnp.asarray(mean, x.dtype)
    window = _window(x.shape[1:]) if picture else 1
    stdev = float(0.15 * np.ptp(np.asarray(dataset.train.x)))
    stdev = stdev if picture else 0.3

    # Compiled by itself the model is traced once for all methods.
    apply = jax.jit(lambda variables, one: model.apply(variables, one[None]).reshape(-1))

    def explain(variables, x, target, key):
        f = lambda one: apply(variables, one)[target]
        maps = {
            "integrated gradients": attribution.integrated_gradients(f, x, baseline, steps=STEPS),
            "input × gradient": attribution.input_x_gradient(f, x),
            "gradient": attribution.gradient(f, x),
            "SmoothGrad": attribution.smooth(attribution.gradient)(
                f, x, key=key, stdev=stdev, samples=SAMPLES
            ),
            "occlusion": attribution.occlusion(f, x, window=window, baseline=baseline),
        }
        change = f(x) - f(baseline)
        gaps = {name: jnp.sum(value) - change for name, value in maps.items()}
        flat = jnp.stack([value.reshape(-1) for value in maps.values()])
        focus = None
        if x.size > 1:
            focus = dict(zip(maps, sparsity.gini(flat, axis=-1), strict=True))
        if not classes:
            return maps, focus, gaps, change, {}
        confidence = lambda one: jax.nn.softmax(apply(variables, one).astype(jnp.float32))[target]
        orders = {**maps, "random order": jax.random.uniform(key, x.shape, x.dtype)}
        curve = functools.partial(
            faithfulness.deletion_curve, confidence, x, baseline=baseline, steps=DELETIONS
        )
        # One program for all orders: they are stacked, not traced one by one.
        curves = jax.lax.map(curve, jnp.stack([*orders.values()]))
        return maps, focus, gaps, change, dict(zip(orders, curves, strict=True))

    @_once
    def program(variables, x, targets, keys):
        one = lambda row: explain(variables, *row)
        return jax.lax.map(one, (x, targets, keys), batch_size=min(CHUNK, len(x)))

    keys = jax.random.split(key, len(chosen))
    found = jax.device_get(program(variables, x, jnp.asarray(targets), keys))
    maps, focus, gaps, change, deletion = found
    scale = float(np.abs(change).mean())
    adding_up = ("integrated gradients", "input × gradient", "occlusion")
    return _Explained(
        maps=maps,
        gaps={n: float(np.abs(gaps[n]).mean()) / max(scale, 1e-12) for n in adding_up},
        deletion={n: c.mean(0) for n, c in deletion.items()},
        focus=focus,
        targets=targets,
    )


def _is_picture(dataset: Dataset) -> bool:
    return dataset.test.x.ndim in (3, 4) and min(dataset.test.x.shape[1:3]) > 1


def _window(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Cover about a third of each side of a picture, odd, and all channels."""
    sides = [max(1, round(side / 3)) | 1 for side in shape[:2]]
    return (*sides, *shape[2:])


# --- figures -------------------------------------------------------------------------------


def _entry(figure: Any, title: str, caption: str) -> FigureEntry:
    svg = visualization.to_svg(figure, description=f"{title}. {caption}")
    return FigureEntry(title=title, caption=caption, svg=svg)


def _learning(history: Sequence[Mapping[str, float]]) -> list[FigureEntry]:
    if len(history) < 2:
        return []
    return [
        _entry(
            visualization.learning_curves(history),
            "Learning",
            "While training went on. The solid line is measured on examples the model learns "
            "from, the dashed one on examples it never sees. Both should move together; where "
            "the dashed line turns back, the model has begun to learn its examples by heart.",
        )
    ]


def _performance(
    dataset: Dataset, outputs: np.ndarray, measures: dict[str, Any]
) -> list[FigureEntry]:
    y = np.asarray(dataset.test.y)
    if dataset.task == "regression":
        true = y.reshape(-1) * dataset.target_scale + dataset.target_mean
        predicted = outputs.reshape(-1) * dataset.target_scale + dataset.target_mean
        measures["test_error"] = float(np.abs(predicted - true).mean())
        spread = float(((true - true.mean()) ** 2).sum())
        measures["explained_variance"] = 1 - float(((predicted - true) ** 2).sum()) / spread
        return [
            _entry(
                visualization.predicted_against_true(true, predicted),
                "Right and wrong",
                "Each dot is a test example; on the dashed line the prediction is exact. A "
                "cloud flatter than the line means that the model plays safe, towards the mean.",
            )
        ]
    classes = dataset.num_classes or int(outputs.shape[-1])
    guess = outputs.argmax(-1)
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (y, guess), 1)
    right = int((guess == y).sum())
    measures["test_accuracy"] = right / len(y)
    names = list(dataset.class_names) or [str(i) for i in range(classes)]
    off = matrix * (1 - np.eye(classes, dtype=int))
    worst = np.unravel_index(int(off.argmax()), off.shape)
    remark = (
        f" The commonest mistake: {names[worst[0]]} taken for {names[worst[1]]}, "
        f"{off[worst]} time{'s' if off[worst] > 1 else ''}."
        if off.any()
        else ""
    )
    return [
        _entry(
            visualization.confusion_matrix(matrix, names),
            "Right and wrong",
            f"{right} of {len(y)} test examples are named correctly, in blue on the diagonal. "
            f"Orange cells are mistakes: what is true stands at the left, what the model said "
            f"below.{remark}",
        )
    ]


def _explanations(
    dataset: Dataset,
    outputs: np.ndarray,
    chosen: np.ndarray,
    explained: _Explained,
    measures: dict[str, Any],
) -> list[FigureEntry]:
    methods: dict[str, dict[str, float]] = {}
    for name, maps in explained.maps.items():
        row = {} if explained.focus is None else {"focus": float(explained.focus[name].mean())}
        if name in explained.gaps:
            row["completeness_gap"] = explained.gaps[name]
        if name in explained.deletion:
            row["deletion_area"] = _area(explained.deletion[name])
        methods[name] = row
    first = methods["integrated gradients"]
    measures["completeness_gap"] = first["completeness_gap"]
    if "focus" in first:
        measures["attribution_focus"] = first["focus"]
    if explained.deletion:
        chance = _area(explained.deletion["random order"])
        measures["deletion_gain"] = chance - first["deletion_area"]
        methods["random order"] = {"deletion_area": chance}
    measures["by_method"] = methods
    draw = _picture_maps if _is_picture(dataset) else _feature_maps
    return [*draw(dataset, outputs, chosen, explained), *_deletion(explained)]


def _area(curve: np.ndarray) -> float:
    return float((curve[1:] + curve[:-1]).mean() / 2)


def _picture_maps(
    dataset: Dataset, outputs: np.ndarray, chosen: np.ndarray, explained: _Explained
) -> list[FigureEntry]:
    y = np.asarray(dataset.test.y)[chosen[:SHOWN]]
    labels, wrong = None, [False] * len(y)
    if dataset.task == "classification":
        names = list(dataset.class_names) or [str(i) for i in range(outputs.shape[-1])]
        said = explained.targets[:SHOWN]
        wrong = [bool(a != b) for a, b in zip(y, said, strict=True)]
        pairs = zip(y, said, strict=True)
        labels = [names[a] if a == b else f"{names[a]} as {names[b]}" for a, b in pairs]
    figure = visualization.attribution_panels(
        dataset.test.x[chosen[:SHOWN]],
        {name: maps[:SHOWN] for name, maps in explained.maps.items()},
        labels=labels,
        marks=wrong,
    )
    return [
        _entry(
            figure,
            "What it looks at",
            "One test example a row, and what five methods say about why the model answered as "
            "it did. Red pixels spoke for the answer, blue ones against it, white ones did not "
            "matter. Look for strokes that the methods agree on; a red pixel where nothing is "
            "drawn means that the model counts on that place being empty."
            + (" Wrong answers are marked." if any(wrong) else ""),
        )
    ]


def _feature_maps(
    dataset: Dataset, outputs: np.ndarray, chosen: np.ndarray, explained: _Explained
) -> list[FigureEntry]:
    count = int(np.prod(dataset.test.x.shape[1:]))
    names = list(dataset.feature_names)
    names = names if len(names) == count else [f"feature {i}" for i in range(count)]
    flat = {name: maps.reshape(len(maps), -1) for name, maps in explained.maps.items()}
    kept = ("integrated gradients", "SmoothGrad", "occlusion")
    shares = {name: np.abs(flat[name]).mean(0) for name in kept}
    shares = {name: v / max(float(v.sum()), 1e-12) for name, v in shares.items()}
    more = f" The {12} strongest of {count} are shown." if count > 12 else ""
    values = np.asarray(dataset.test.x[chosen[: len(explained.targets)]]).reshape(-1, count)
    entries = [
        _entry(
            visualization.feature_bars(shares, names),
            "What it goes by",
            "How much each feature moves the answer, averaged over test examples, according to "
            f"three methods. Long bars that agree can be trusted.{more}",
        )
    ]
    whose = "the output" if dataset.task == "regression" else "the answer given"
    entries.append(
        _entry(
            visualization.feature_swarm(
                flat["integrated gradients"], values, names, xlabel=f"attribution to {whose}"
            ),
            "Which way it moves",
            f"Each dot is a test example: at the right the feature raised {whose}, at the left "
            "it lowered it (integrated gradients). Where blue and orange part, high and low "
            f"values of the feature work in opposite directions.{more}",
        )
    )
    return entries


def _deletion(explained: _Explained) -> list[FigureEntry]:
    if not explained.deletion:
        return []
    steps = 100 * np.linspace(0, 1, DELETIONS + 1)
    kept = ("integrated gradients", "SmoothGrad", "occlusion", "random order")
    figure = visualization.compare_curves(
        {name: (steps, explained.deletion[name]) for name in kept},
        ylabel="confidence left",
        xlabel="share of the input erased, in %",
        small=True,
    )
    return [
        _entry(
            figure,
            "Do the explanations hold?",
            "Inputs are erased one after the other, those a method calls most important first, "
            "and the model's confidence in its answer is watched. A curve that falls early has "
            "found what the model needs; the line for a random order is what chance does.",
        )
    ]


def _sparsity(
    variables: Mapping[str, Any], named: Mapping[str, np.ndarray], measures: dict[str, Any]
) -> list[FigureEntry]:
    hidden = _hidden(named)
    leaves = flatten_dict(dict(variables["params"]), sep="/")
    kernels = {n: jnp.asarray(w) for n, w in leaves.items() if w.ndim >= 2 and w.size > 1}
    inner, outer = jax.device_get(_once(_measure_sparsity)(hidden, kernels))
    layers = {_short(n): {k: float(v) for k, v in row.items()} for n, row in inner.items()}
    weights = {_short(n): {k: float(v) for k, v in row.items()} for n, row in outer.items()}
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
        _entry(
            visualization.sparsity_bars(bars, xlabel="0 = all alike, 1 = nearly all silent"),
            "How much of it works",
            "For each set of weights, how unequal they are by two indices; and for each hidden "
            "layer, the share of its values that are silent for an example. Points far to the "
            "right mark layers that could be made smaller.",
        )
    ]


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


def _hidden(named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
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


def _short(name: str) -> str:
    """Shorten a path: ``blocks_0/feedforward/up/kernel`` to ``blocks_0 up``."""
    dull = {"kernel", "feedforward", "hidden", "coefficients"}
    parts = [part for part in name.split("/") if part not in dull]
    short = " ".join(parts) or name
    return short.replace("base_kernel", "base")


def _spikes(
    dataset: Dataset,
    named: Mapping[str, np.ndarray],
    chosen: np.ndarray,
    measures: dict[str, Any],
) -> list[FigureEntry]:
    found = {
        name: value
        for name, value in _hidden(named).items()
        if "spikes" in name.rsplit("/", 1)[-1] and value.ndim == 3
    }
    if not found:
        return []
    units = sum(v.shape[-1] for v in found.values())
    spikes = sum(float(v.sum()) for v in found.values())
    examples, time = next(iter(found.values())).shape[:2]
    measures["spike_rate"] = spikes / (examples * time * units)
    measures["spikes_per_example"] = spikes / examples
    name, value = next(iter(found.items()))
    label = _class_name(dataset, int(chosen[0]))
    return [
        _entry(
            visualization.spike_raster(value[0]),
            "Spikes",
            f"What the first hidden layer does with one test example{label}. Each mark is a "
            f"spike: time runs to the right, one row a unit; below, the share of units that fire "
            f"at each step. Over all examples a unit fires in "
            f"{100 * measures['spike_rate']:.1f} % of its steps; rows that stay empty cost nothing.",
        )
    ]


def _class_name(dataset: Dataset, index: int) -> str:
    if dataset.task == "regression":
        return ""
    y = int(dataset.test.y[index])
    return f" (true class {dataset.class_names[y] if dataset.class_names else y})"


def _attention(named: Mapping[str, np.ndarray], measures: dict[str, Any]) -> list[FigureEntry]:
    found = {
        name.rsplit("/", 1)[0].replace("/attention", ""): value
        for name, value in named.items()
        if name.rsplit("/", 1)[-1] == "attention_weights" and value.ndim == 4
    }
    if not found:
        return []
    evenness = [
        -(w * np.log(np.maximum(w, 1e-12))).sum(-1).mean() / np.log(max(w.shape[-1], 2))
        for w in found.values()
    ]
    measures["attention_entropy"] = float(np.mean(evenness))
    return [
        _entry(
            visualization.attention_maps({name: w[0] for name, w in found.items()}),
            "Where it attends",
            "One test example through every head: each row is a patch that asks, each column a "
            "patch that answers, dark where it is listened to. Vertical stripes are patches "
            "that everybody listens to; a diagonal means that patches look at themselves or "
            f"their neighbours. Evenness over all examples: {100 * np.mean(evenness):.0f} % of "
            "attention spread over everything alike.",
        )
    ]


def _kan(
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
            _entry(
                figure,
                f"Learned functions, layer {index + 1} of {len(layers)}",
                f"The {min(limit, count)} strongest of {count} edges. Each panel is the curve "
                "(solid) that one input goes through on its way to one node; the dashed line is "
                "the part made by the spline, the marks below are its knots, and the shaded "
                "band is where the data lie: outside of it a curve is a guess. Nearly straight "
                "curves could be plain weights.",
            )
        )
    chain = all(a["strengths"].shape[1] == b["strengths"].shape[0]
                for a, b in zip(layers, layers[1:], strict=False))  # fmt: skip
    if chain:
        figure = visualization.kan_network(
            [e["strengths"] for e in layers], output_names=classes or None
        )
        entries.append(
            _entry(
                figure,
                "The network",
                "Nodes in columns, and the 120 strongest edges between each two: the wider and "
                f"darker, the more an edge varies over the test examples. {needed} of "
                f"{len(strengths)} edges ({100 * needed / len(strengths):.0f} %) make up 90 % of "
                "that; the others could be tried without.",
            )
        )
    return entries


def _input_names(dataset: Dataset, count: int) -> list[str]:
    if _is_picture(dataset) and count == int(np.prod(dataset.test.x.shape[1:3])):
        width = dataset.test.x.shape[2]
        return [f"pixel {i // width},{i % width}" for i in range(count)]
    if len(dataset.feature_names) == count:
        return [name if len(name) <= 14 else f"{name[:13]}…" for name in dataset.feature_names]
    return [f"in {i}" for i in range(count)]
