"""Why the model answers as it does: attributions by several methods, and whether they hold."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.analysis import attribution, faithfulness, sparsity, visualization
from jaxnn.cli._analysis_parts import FigureEntry, entry, is_picture, once
from jaxnn.data import Dataset

METHODS = ("integrated gradients", "input × gradient", "gradient", "SmoothGrad", "occlusion")
EXPLAINED = 32  # examples that are explained, for the measures
SHOWN = 10  # of them drawn
CHUNK = 16  # explained at once
STEPS = 32  # gradients of integrated gradients
SAMPLES = 16  # noisy copies of SmoothGrad
DELETIONS = 15  # steps of a deletion curve


@dataclasses.dataclass(frozen=True)
class Explained:
    """Attributions of the first examples: arrays of (examples, ...) by method."""

    maps: dict[str, np.ndarray]
    gaps: dict[str, float]
    deletion: dict[str, np.ndarray]  # of confidence; empty for a regression
    focus: dict[str, np.ndarray] | None  # none where there is a single input
    targets: np.ndarray


def explain_outputs(
    model: nn.Module,
    variables: Mapping[str, Any],
    dataset: Dataset,
    outputs: np.ndarray,
    chosen: np.ndarray,
    key: jax.Array,
) -> Explained:
    """Attribute the outputs that the model chose, by every method, in one program."""
    # Whole chunks: what is left over would be compiled apart.
    chosen = chosen[: min(EXPLAINED, len(chosen) // CHUNK * CHUNK or len(chosen))]
    chunks = -(-len(chosen) // CHUNK)
    x = jnp.asarray(dataset.test.x[chosen])
    classes = dataset.task == "classification"
    targets = outputs[chosen].reshape(len(chosen), -1).argmax(-1)
    picture = is_picture(dataset)
    # Black is "nothing there" in a picture; in a table the mean is.
    mean = np.asarray(dataset.train.x, np.float32).mean(0)
    baseline = jnp.zeros_like(x[0]) if picture else jnp.asarray(mean, x.dtype)
    window = _window(x.shape[1:]) if picture else 1
    stdev = float(0.15 * np.ptp(np.asarray(dataset.train.x)))
    stdev = stdev if picture else 0.3

    # Compiled by itself the model is traced once for all methods.
    @jax.jit
    def apply(variables, one):
        return jnp.ravel(jnp.asarray(model.apply(variables, one[None])))

    def explain(variables, x, target, key):
        def f(one):
            return apply(variables, one)[target]

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

        def confidence(one):
            return jax.nn.softmax(apply(variables, one).astype(jnp.float32))[target]

        orders = {**maps, "random order": jax.random.uniform(key, x.shape, x.dtype)}
        curve = functools.partial(
            faithfulness.deletion_curve, confidence, x, baseline=baseline, steps=DELETIONS
        )
        # One program for all orders: they are stacked, not traced one by one.
        curves = jax.lax.map(curve, jnp.stack([*orders.values()]))
        return maps, focus, gaps, change, dict(zip(orders, curves, strict=True))

    @once
    def program(variables, x, targets, keys):
        rows = (x, targets, keys)
        return jax.lax.map(lambda row: explain(variables, *row), rows, batch_size=len(x) // chunks)

    keys = jax.random.split(key, len(chosen))
    found = jax.device_get(program(variables, x, jnp.asarray(targets), keys))
    maps, focus, gaps, change, deletion = found
    scale = float(np.abs(change).mean())
    # These two say where the output comes from; the others do not promise to add up to it.
    adding_up = ("integrated gradients", "input × gradient")
    return Explained(
        maps={name: maps[name] for name in METHODS},  # compiled programs sort names
        gaps={n: float(np.abs(gaps[n]).mean()) / max(scale, 1e-12) for n in adding_up},
        deletion={n: c.mean(0) for n, c in deletion.items()},
        focus=focus,
        targets=targets,
    )


def _window(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Cover about a third of each side of a picture, odd, and all channels."""
    sides = [max(1, round(side / 3)) | 1 for side in shape[:2]]
    return (*sides, *shape[2:])


def draw_explanations(
    dataset: Dataset,
    outputs: np.ndarray,
    chosen: np.ndarray,
    explained: Explained,
    measures: dict[str, Any],
) -> list[FigureEntry]:
    methods: dict[str, dict[str, float]] = {}
    for name in explained.maps:
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
    draw = _picture_maps if is_picture(dataset) else _feature_maps
    return [*draw(dataset, outputs, chosen, explained), *_deletion(explained)]


def _area(curve: np.ndarray) -> float:
    return float((curve[1:] + curve[:-1]).mean() / 2)


def _picture_maps(
    dataset: Dataset, outputs: np.ndarray, chosen: np.ndarray, explained: Explained
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
        entry(
            figure,
            "What it looks at",
            "One test example a row, and what five methods say about why the model answered as "
            "it did. Red pixels spoke for the answer, blue ones against it, white ones did not "
            "matter. Look for strokes that the methods agree on. Gradient and SmoothGrad ask "
            "another question, on empty ground too: where would more ink make the answer "
            "surer (red), and where less sure (blue)? Colours compare within a column."
            + (" Wrong answers are marked." if any(wrong) else ""),
        )
    ]


def _feature_maps(
    dataset: Dataset, outputs: np.ndarray, chosen: np.ndarray, explained: Explained
) -> list[FigureEntry]:
    count = int(np.prod(dataset.test.x.shape[1:]))
    names = [name.replace("_", " ") for name in dataset.feature_names]
    names = names if len(names) == count else [f"feature {i}" for i in range(count)]
    flat = {name: maps.reshape(len(maps), -1) for name, maps in explained.maps.items()}
    kept = ("integrated gradients", "SmoothGrad", "occlusion")
    shares = {name: np.abs(flat[name]).mean(0) for name in kept}
    shares = {name: v / max(float(v.sum()), 1e-12) for name, v in shares.items()}
    more = f" The 12 strongest of {count} are shown." if count > 12 else ""
    values = np.asarray(dataset.test.x[chosen[: len(explained.targets)]]).reshape(-1, count)
    entries = [
        entry(
            visualization.feature_bars(shares, names),
            "What it goes by",
            "How much each feature moves the answer, averaged over test examples, according to "
            f"three methods. Where the three agree, the ranking is not the method's doing.{more}",
        )
    ]
    whose = "the output" if dataset.task == "regression" else "the answer given"
    entries.append(
        entry(
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


def _deletion(explained: Explained) -> list[FigureEntry]:
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
        entry(
            figure,
            "Do the explanations hold?",
            "Inputs are erased one after the other, those a method calls most important first, "
            "and the model's confidence in its answer is watched. A curve that falls early has "
            "found what the model needs; the line for a random order is what chance does. "
            "SmoothGrad is a slope, not a share of the answer, and may well do worse.",
        )
    ]
