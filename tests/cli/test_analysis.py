"""The analysis of small models, trained for a few steps: what is drawn and what is measured."""

import json
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn.cli import _analysis, _analysis_explain, _analysis_inside, _analysis_layers
from jaxnn.cli._analysis import LABELS, analyze_model
from jaxnn.data import Dataset, Split
from jaxnn.models import KAN, MLP, SpikingMLP, VisionTransformer


def pictures(count=60):
    """Three classes of 4 x 4 pictures: which of three rows is bright."""
    rng = np.random.default_rng(0)
    y = (np.arange(count) % 3).astype(np.int32)
    x = rng.uniform(0, 0.3, (count, 4, 4)).astype(np.float32)
    x[np.arange(count), y] += 0.7
    half = count // 2
    return Dataset(
        train=Split(x[:half], y[:half]),
        test=Split(x[half:], y[half:]),
        task="classification",
        num_classes=3,
        name="rows",
    )


def table():
    """A number that depends on the first of three features only, in units of its own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    y = 2 * x[:, 0]
    return Dataset(
        train=Split(x[:20], y[:20]),
        test=Split(x[20:], y[20:]),
        task="regression",
        feature_names=("first", "second", "third"),
        target_mean=10.0,
        target_scale=5.0,
    )


def trained(model, dataset, steps=40):
    x, y = map(jnp.asarray, dataset.train)
    params = model.init(jax.random.key(0), x)["params"]
    tx = optax.adam(0.02)

    def loss(params):
        outputs = model.apply({"params": params}, x)
        if dataset.task == "regression":
            return jnp.mean((outputs[:, 0] - y) ** 2)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda params: jax.lax.scan(step, (params, tx.init(params)), None, steps)[0][0])
    return {"params": run(params)}


HISTORY = [
    {"step": 10, "loss": 1.0, "accuracy": 0.4, "test_accuracy": 0.4, "test_loss": 1.1},
    {"step": 20, "loss": 0.3, "accuracy": 0.9, "test_accuracy": 0.8, "test_loss": 0.4},
]


def titles(analysis):
    return [figure.title for figure in analysis.figures]


def check_all(analysis):
    """Hold every analysis to what the report needs of it."""
    assert json.loads(json.dumps(analysis.measures)) == analysis.measures
    for figure in analysis.figures:
        ElementTree.fromstring(figure.svg)
        assert len(figure.caption) > 60
    numbers = [v for v in analysis.measures.values() if isinstance(v, float)]
    assert np.isfinite(numbers).all()
    for name in analysis.measures:
        assert name in LABELS, name


@pytest.fixture
def unexplained(monkeypatch):
    """Leave out the explanations, which take most of the time, where the rest is tested."""
    monkeypatch.setattr(_analysis, "explain_outputs", lambda *_: None)
    monkeypatch.setattr(_analysis, "draw_explanations", lambda *_: [])


@pytest.fixture(scope="module")
def mlp():
    model, dataset = MLP((8, 3), activation=jax.nn.relu), pictures()
    variables = trained(model, dataset)
    said = []
    analysis = analyze_model(
        model, variables, dataset, key=jax.random.key(0), history=HISTORY, progress=said.append
    )
    return model, dataset, variables, analysis, said


def test_a_classifier_of_pictures(mlp):
    model, dataset, variables, analysis, said = mlp
    check_all(analysis)
    assert titles(analysis) == [
        "Learning",
        "Right and wrong",
        "What it looks at",
        "Do the explanations hold?",
        "How much of it works",
    ]
    guess = model.apply(variables, jnp.asarray(dataset.test.x)).argmax(-1)
    right = int((guess == dataset.test.y).sum())
    assert analysis.measures["test_accuracy"] == pytest.approx(right / 30)
    assert f"{right} of 30" in analysis.figures[1].caption
    assert said[0] == "predicting"


def test_measures_of_explanations_mean_what_they_say(mlp):
    measures = mlp[3].measures
    methods = measures["by_method"]
    assert list(methods) == [*_analysis_explain.METHODS, "random order"]
    # A ReLU network is piecewise linear: a line from black crosses few kinks.
    assert measures["completeness_gap"] < 0.05
    assert methods["input × gradient"]["completeness_gap"] > measures["completeness_gap"]
    # The bright row decides, so erasing by attribution must hurt more than at random.
    assert measures["deletion_gain"] > 0.05
    assert measures["deletion_gain"] == pytest.approx(
        methods["random order"]["deletion_area"] - methods["integrated gradients"]["deletion_area"]
    )
    assert 0 < measures["attribution_focus"] < 1


def test_attributions_point_to_the_row_that_decides(mlp):
    model, dataset, variables, _, _ = mlp
    outputs = np.asarray(model.apply(variables, jnp.asarray(dataset.test.x)))
    chosen = np.arange(6)
    explained = _analysis_explain.explain_outputs(
        model, variables, dataset, outputs, chosen, jax.random.key(0)
    )
    maps = explained.maps["integrated gradients"]
    assert maps.shape == (6, 4, 4)
    assert (maps.sum(-1).argmax(-1) == dataset.test.y[:6]).all()


def test_measures_of_sparsity_equal_numpy(mlp):
    _, dataset, variables, analysis, _ = mlp
    x = dataset.test.x.reshape(30, -1)
    first = variables["params"]["dense_0"]
    hidden = np.maximum(x @ np.asarray(first["kernel"]) + np.asarray(first["bias"]), 0)
    quiet = hidden <= _analysis_inside.QUIET * hidden.max()
    row = analysis.measures["by_layer"]["hidden_0"]
    assert row["silent"] == pytest.approx(quiet.mean(), abs=1e-6)
    assert row["dead"] == pytest.approx(quiet.all(0).mean(), abs=1e-6)
    assert analysis.measures["silent_activations"] == pytest.approx(row["silent"])
    hoyers, sizes = [], []
    for name in ("dense_0", "dense_1"):
        w = np.abs(np.asarray(variables["params"][name]["kernel"], np.float64)).ravel()
        root = np.sqrt(len(w))
        hoyers.append((root - w.sum() / np.sqrt((w**2).sum())) / (root - 1))
        sizes.append(len(w))
        assert analysis.measures["by_weights"][name]["hoyer"] == pytest.approx(hoyers[-1], abs=1e-5)
    want = np.average(hoyers, weights=sizes)
    assert analysis.measures["weight_hoyer"] == pytest.approx(want, abs=1e-5)


def test_layers_are_compared_and_taken_away_one_at_a_time(unexplained):
    model, dataset = MLP((8, 6, 5, 3), activation=jax.nn.relu), pictures()
    variables = trained(model, dataset)
    analysis = analyze_model(model, variables, dataset, key=jax.random.key(0), thorough=True)
    check_all(analysis)
    assert titles(analysis)[-4:] == [
        "Units at work",
        "How alike the layers are",
        "What is missed",
        "Which part feeds which",
    ]
    parts = analysis.measures["by_part"]
    assert list(parts) == ["dense_0", "dense_1", "dense_2"]
    p = jax.tree.map(np.asarray, variables["params"])
    x = dataset.test.x.reshape(30, -1)
    h = x @ p["dense_0"]["kernel"] + p["dense_0"]["bias"]

    def loss(h):
        for name in ("dense_1", "dense_2", "dense_3"):
            h = np.maximum(h, 0) @ p[name]["kernel"] + p[name]["bias"]
        total = np.log(np.exp(h).sum(-1))
        return (total - h[np.arange(30), dataset.test.y]).mean()

    missed = loss(np.broadcast_to(h.mean(0), h.shape)) - loss(h)
    assert missed > 0.1
    assert parts["dense_0"]["missed"] == pytest.approx(missed, rel=1e-3)
    assert analysis.measures["class_separation"] == parts["dense_2"]["separation"] < 0
    # In a chain each layer feeds the next alone, and along that edge goes all that is missed.
    edges = {name: row["along"] for name, row in analysis.measures["by_edge"].items()}
    chain = ["dense_0 → dense_1", "dense_1 → dense_2", "dense_2 → outputs"]
    assert sorted(edges) == chain
    costs = [row["missed"] for row in parts.values()]
    assert [edges[name] for name in chain] == pytest.approx(costs, rel=1e-3)
    drawn = "".join(ElementTree.fromstring(analysis.figures[-1].svg).itertext())
    assert "dense_2outputs" in drawn.replace("\n", "")


def test_parts_of_a_circuit_do_not_contain_one_another():
    names = ["embed", "blocks_0/norm", "blocks_0/attention", "blocks_0", "shared/up:1", "shared:1"]
    want = ["embed", "blocks_0/attention", "shared/up:1"]
    assert _analysis_layers._nodes(names) == want
    assert _analysis_layers._nodes(names[1:]) == ["blocks_0/norm", *want[1:]]


def test_a_regression_on_a_table():
    model, dataset = MLP((8, 1)), table()
    variables = trained(model, dataset, steps=200)
    analysis = analyze_model(model, variables, dataset, key=jax.random.key(0))
    check_all(analysis)
    assert titles(analysis) == [
        "Right and wrong",
        "What it goes by",
        "Which way it moves",
        "How much of it works",
    ]
    predicted = np.asarray(model.apply(variables, jnp.asarray(dataset.test.x)))[:, 0]
    error = 5 * np.abs(predicted - dataset.test.y).mean()
    assert analysis.measures["test_error"] == pytest.approx(error, rel=1e-4)
    assert "deletion_gain" not in analysis.measures
    bars = ElementTree.fromstring(analysis.figures[1].svg).iter()
    words = [e.text for e in bars if e.text in dataset.feature_names]
    assert words[0] == "first"  # the feature that decides is on top
    assert set(words) == {"first", "second", "third"}


def test_spikes_are_drawn_and_counted():
    model, dataset = SpikingMLP((6, 3), time_steps=5), pictures()
    variables = trained(model, dataset, steps=5)
    analysis = analyze_model(model, variables, dataset, key=jax.random.key(0))
    check_all(analysis)
    assert "Spikes" in titles(analysis)
    _, state = model.apply(variables, jnp.asarray(dataset.test.x), mutable=["intermediates"])
    (spikes,) = state["intermediates"]["spikes_0"]
    assert spikes.shape == (30, 5, 6)
    assert analysis.measures["spike_rate"] == pytest.approx(float(spikes.mean()), abs=1e-6)
    assert analysis.measures["spikes_per_example"] == pytest.approx(float(spikes.sum()) / 30)


def test_attention_is_drawn_and_measured(unexplained):
    model = VisionTransformer(3, features=8, depth=2, num_heads=2)
    dataset = pictures()
    variables = trained(model, dataset, steps=2)
    analysis = analyze_model(model, variables, dataset, key=jax.random.key(0))
    check_all(analysis)
    attends = analysis.figures[titles(analysis).index("Where it attends")]
    words = "".join(ElementTree.fromstring(attends.svg).itertext())
    assert "blocks_0" in words
    assert "blocks_1" in words
    assert "head 2" in words
    assert 0 < analysis.measures["attention_entropy"] <= 1


def test_learned_functions_add_up_to_the_layer(unexplained):
    model, dataset = KAN((4, 3)), pictures()
    variables = trained(model, dataset, steps=5)
    analysis = analyze_model(model, variables, dataset, key=jax.random.key(0))
    check_all(analysis)
    assert titles(analysis)[-3:] == [
        "Learned functions, layer 1 of 2",
        "Learned functions, layer 2 of 2",
        "The network",
    ]
    assert 0 < analysis.measures["kan_edges_for_90_percent"] <= 1
    x = dataset.test.x
    _, edges = _analysis_inside.look_inside(model, variables, x)
    first, second = edges.values()
    np.testing.assert_allclose(first["data"], x.reshape(30, -1), rtol=1e-6)
    # The curves, read off at the data, must add up to what the layer gives the next one.
    for row in (0, 7):
        read = [
            np.interp(first["data"][row, i], first["points"], first["curves"][:, i, j])
            for i in range(16)
            for j in range(4)
        ]
        total = np.reshape(read, (16, 4)).sum(0)
        np.testing.assert_allclose(total, second["data"][row], atol=0.02)
    at_data = np.stack(
        [
            [
                np.interp(second["data"][n], second["points"], second["curves"][:, i, 0])[i]
                for i in range(4)
            ]
            for n in range(30)
        ]
    )
    np.testing.assert_allclose(at_data.std(0), second["strengths"][:, 0], atol=0.02)


class Unknown(nn.Module):
    """A model with batch statistics that sows nothing."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(6)(x.reshape(x.shape[0], -1))
        x = nn.relu(nn.BatchNorm(use_running_average=True)(x))
        return nn.Dense(3)(x)


def test_a_model_it_has_never_seen(unexplained):
    dataset = pictures()
    variables = Unknown().init(jax.random.key(0), dataset.test.x)
    analysis = analyze_model(Unknown(), variables, dataset, key=jax.random.key(0))
    check_all(analysis)
    assert set(analysis.measures["by_layer"]) == {"Dense_0", "BatchNorm_0"}


def test_equal_keys_give_equal_analyses(mlp):
    model, dataset, variables, analysis, _ = mlp
    again = analyze_model(model, variables, dataset, key=jax.random.key(0), history=HISTORY)
    assert again == analysis


def test_a_model_of_integers_is_looked_into_but_not_explained():
    """Tokens have no gradient."""

    class Words(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(nn.Embed(5, 4)(x).mean(1))

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (12, 6)).astype(np.int32), (np.arange(12) % 3).astype(np.int32)
    dataset = Dataset(Split(x, y), Split(x, y), task="classification", num_classes=3)
    variables = Words().init(jax.random.key(0), x)
    analysis = analyze_model(Words(), variables, dataset, key=jax.random.key(0))
    check_all(analysis)
    assert titles(analysis) == ["Right and wrong", "How much of it works"]
