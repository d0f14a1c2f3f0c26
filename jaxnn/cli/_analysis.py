"""What a trained model looks at and how much of it is at work, measured and drawn.

The analysis asks the model what it can do: images get maps, tables get bars; spikes, attention
weights and Kolmogorov-Arnold layers are drawn where the model has them. One program runs the
model and looks inside, one explains; both take the variables as arguments.
"""

import functools
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
    look_inside,
)
from jaxnn.cli._analysis_parts import LABELS as LABELS
from jaxnn.cli._analysis_parts import FigureEntry as FigureEntry
from jaxnn.cli._analysis_parts import ModelAnalysis as ModelAnalysis
from jaxnn.cli._analysis_parts import entry, once
from jaxnn.data import Dataset

EXAMPLES = 128  # looked into


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
            pool.submit(explain_outputs, model, variables, dataset, outputs, chosen, key)
            if explainable
            else None
        )
        figures += _learning(history or ())
        figures += _performance(dataset, outputs, measures)
        tell("looking inside")
        named, edges = look_inside(model, variables, x[chosen])
        inside = draw_sparsity(variables, named, measures)
        inside += draw_spikes(dataset, named, chosen, measures)
        inside += draw_attention(named, measures)
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
