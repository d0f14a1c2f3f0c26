"""What a trained model looks at and how much of it is at work, measured and drawn.

The analysis asks the model what it can do: images get maps, tables get bars; spikes, attention
weights and Kolmogorov-Arnold layers are drawn where the model has them. One program runs the
model and looks inside, one explains; both take the variables as arguments.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.analysis import visualization
from jaxnn.cli._analysis_explain import draw_explanations, explain_outputs
from jaxnn.cli._analysis_inside import (
    draw_attention,
    draw_kan,
    draw_sparsity,
    draw_spikes,
    hidden_layers,
    look_inside,
)
from jaxnn.cli._analysis_layers import draw_layers
from jaxnn.cli._analysis_parts import LABELS as LABELS
from jaxnn.cli._analysis_parts import FigureEntry as FigureEntry
from jaxnn.cli._analysis_parts import ModelAnalysis as ModelAnalysis
from jaxnn.cli._analysis_parts import entry, once
from jaxnn.data import Dataset

EXAMPLES = 128  # looked into
WINDOWS = 8  # of a text, each of which has as many examples as bytes


def analyze_model(
    model: nn.Module,
    variables: Mapping[str, Any],
    dataset: Dataset,
    *,
    key: jax.Array,
    history: Sequence[Mapping[str, float]] | None = None,
    progress: Callable[[str], None] | None = None,
    thorough: bool = False,
) -> ModelAnalysis:
    """Measure and draw a trained model on its test examples.

    Args:
      model: takes ``(batch, ...)``, gives ``(batch, outputs)``, or ``(batch, time, outputs)``
        where the data have a target at each place of a text.
      variables: its variables, trained.
      dataset: the data it was trained on; only the test part is looked at, and the mean of the
        training part where an explanation needs a reference.
      key: for the noise of SmoothGrad and the order of random deletion.
      history: the training's records, for learning curves.
      progress: told in a few words what is being done.
      thorough: whether to compare layers, too, and to take parts away one at a time.

    Returns:
      The numbers and figures.
    """
    tell = progress or (lambda _: None)
    x = np.asarray(dataset.test.x)
    measures: dict[str, Any] = {}
    figures: list[FigureEntry] = []

    tell("predicting")
    outputs = _predict(model, variables, x)
    text = dataset.task == "classification" and np.ndim(dataset.test.y) > 1
    chosen = np.arange(min(WINDOWS, len(x))) if text else _choose(dataset, EXAMPLES)
    explainable = jnp.issubdtype(x.dtype, jnp.floating)
    with ThreadPoolExecutor(1) as pool:
        # The explanations are compiled while the model is looked into and figures are drawn.
        tell("explaining")
        explanation = (
            pool.submit(explain_outputs, model, variables, dataset, outputs, chosen, key)
            if explainable
            else None
        )
        figures += _learning(history or ())
        perform = _writing if text else _performance
        figures += perform(dataset, outputs, measures)
        tell("looking inside")
        named, edges = look_inside(model, variables, x[chosen])
        inside = draw_sparsity(variables, named, measures)
        inside += draw_spikes(dataset, named, chosen, measures)
        inside += draw_attention(named, measures, text=text)
        if thorough:
            tell("comparing layers")
            hidden = hidden_layers(named)
            inside += draw_layers(model, variables, dataset, chosen, hidden, measures)
        inside += draw_kan(dataset, edges, measures)
        if explanation is not None:
            tell("drawing explanations")
            figures += draw_explanations(dataset, outputs, chosen, explanation.result(), measures)
    figures += inside
    return ModelAnalysis(measures=measures, figures=tuple(figures))


def _predict(model: nn.Module, variables: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """Give the outputs for all examples, computed in chunks."""
    count = len(x)
    chunks = -(-count // 256)
    size = -(-count // chunks)
    padded = np.concatenate([x, np.repeat(x[-1:], chunks * size - count, 0)])

    @once
    def program(variables, x):
        return jax.lax.map(functools.partial(model.apply, variables), x)

    outputs = program(variables, padded.reshape(chunks, size, *x.shape[1:]))
    inner = outputs.shape[2:] if np.ndim(x) == 2 and outputs.ndim == 4 else (-1,)
    return np.asarray(outputs, np.float32).reshape(chunks * size, *inner)[:count]


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


def _learning(history: Sequence[Mapping[str, float]]) -> list[FigureEntry]:
    if len(history) < 2:
        return []
    return [
        entry(
            visualization.learning_curves(history),
            "Learning",
            "While training went on. The solid line is measured on examples the model learns "
            "from, the dashed one on examples it never sees. Both should move together; where "
            "the dashed line turns back, the model has begun to learn its examples by heart. "
            "Training with dropout or other noise makes the solid line look worse than it is.",
        )
    ]


def _writing(dataset: Dataset, outputs: np.ndarray, measures: dict[str, Any]) -> list[FigureEntry]:
    """Measure guesses of the next byte, by how much was read before it."""
    y = np.asarray(dataset.test.y, np.int64)
    top = outputs.max(-1, keepdims=True)
    log_total = np.log(np.exp(outputs - top).sum(-1)) + top[..., 0]
    own = np.take_along_axis(outputs, y[..., None], -1)[..., 0]
    bits = ((log_total - own) / math.log(2)).mean(0)
    measures["test_accuracy"] = float((outputs.argmax(-1) == y).mean())
    measures["test_bits_per_byte"] = float(bits.mean())
    half = len(bits) // 2
    late = f"; in the later half of a window {bits[half:].mean():.2f} on average" if half else ""
    figure = visualization.compare_curves(
        {"test": (np.arange(1, len(bits) + 1), bits)},
        ylabel="",
        xlabel="bytes read before the guess",
        percent=False,
        small=True,
    )
    return [
        entry(
            figure,
            "What reading on is worth",
            "How many bits the model is short of knowing the next byte, by how many bytes it has "
            "read: 8 for one who knows nothing, 1 for a choice between two. The line falls as "
            f"long as more text helps. The first guess costs {bits[0]:.2f} bits{late}.",
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
            entry(
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
        f"{off[worst]} times."
        if off[worst] > 1
        else ""
    )
    return [
        entry(
            visualization.confusion_matrix(matrix, names),
            "Right and wrong",
            f"{right} of {len(y)} test examples are named correctly, in blue on the diagonal. "
            "What is true stands at the left, what the model said below; orange cells are "
            f"mistakes.{remark}",
        )
    ]
