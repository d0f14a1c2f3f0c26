import numpy as np
import pytest

from jaxnn.analysis import visualization

HISTORY = [
    {"step": 10, "loss": 2.0, "accuracy": 0.2, "seconds": 1.0},
    {"step": 20, "loss": 1.0, "accuracy": 0.5, "test_loss": 1.2, "test_accuracy": 0.4},
    {"step": 30, "loss": float("nan"), "accuracy": 0.7},
    {"step": 40, "loss": 0.1, "accuracy": 0.9, "test_loss": 0.3, "test_accuracy": 0.8},
]


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_lines_are_the_records_and_gaps_are_left_out():
    loss, accuracy = visualization.learning_curves(HISTORY).axes
    assert lines(loss) == {
        "train": [[10, 2.0], [20, 1.0], [40, 0.1]],
        "test": [[20, 1.2], [40, 0.3]],
    }
    assert lines(accuracy)["test"] == [[20, 0.4], [40, 0.8]]
    assert [loss.get_title("left"), accuracy.get_title("left")] == ["loss", "accuracy"]
    assert loss.get_yscale() == "log"
    assert accuracy.get_ylim()[1] == 1


def test_lines_are_named_at_their_ends_without_touching():
    _, accuracy = visualization.learning_curves(HISTORY).axes
    ends = {text.get_text(): text.xy[1] for text in accuracy.texts}
    assert ends["train"] - ends["test"] > 0.1
    same = [{"step": s, "accuracy": 0.5, "test_accuracy": 0.5} for s in (1, 2)]
    places = [t.xy[1] for t in visualization.learning_curves(same).axes[0].texts]
    assert abs(places[0] - places[1]) > 0.08


def test_training_alone_is_enough():
    figure = visualization.learning_curves([{"step": 1, "loss": -1.0}, {"step": 2, "loss": 1.0}])
    assert [axes.get_yscale() for axes in figure.axes] == ["linear"]


def test_runs_are_compared_under_their_names():
    curves = {"a": ([1, 2], [0.5, 0.9]), "b": ([1, 3], [0.6, 0.7])}
    axes = visualization.compare_curves(curves).axes[0]
    assert lines(axes) == {"a": [[1, 0.5], [2, 0.9]], "b": [[1, 0.6], [3, 0.7]]}
    assert {text.get_text() for text in axes.texts} == {"a", "b"}
    dashes = [line.get_linestyle() for line in axes.lines]
    assert dashes[0] != dashes[1]  # told apart without colour


def test_predictions_are_scattered_over_targets():
    axes = visualization.predicted_against_true([1.0, 2.0], [1.5, 1.0]).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[1.0, 1.5], [2.0, 1.0]]
    assert axes.get_xlim() == axes.get_ylim()


def test_draws_into_given_axes():
    figure = visualization.learning_curves(HISTORY, panels=["loss"])
    again = visualization.compare_curves({"x": ([1], [2.0])}, axes=figure.axes[0])
    assert again is figure


def test_rejects_unknown_panels():
    with pytest.raises(ValueError, match=r"learning_curves: `panels` is .*'loss'"):
        visualization.learning_curves(HISTORY, panels=["lost"])


def test_curve_of_nothing_is_empty():
    steps, values = visualization.curve([], "loss")
    assert steps.shape == values.shape == (0,)
    assert np.isfinite(visualization.curve(HISTORY, "loss")[1]).all()
