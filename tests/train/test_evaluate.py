import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn import train
from jaxnn.train import losses
from tests.train.toys import DROPPING, NET, examples, new_state

METRICS = {"loss": losses.cross_entropy, "accuracy": losses.accuracy}


@pytest.mark.parametrize(
    ("count", "size"), [(90, 256), (90, 90), (89, 30), (61, 30), (1, 4), (5, 1)]
)
def test_equals_numpy_over_all_examples(count, size):
    """Padding repeats examples, and none of it may count."""
    x, y = (array[:count] for array in examples())
    state = new_state()
    logits = np.asarray(NET.apply(state.variables, x), np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    got = train.evaluate(state, (x, y), METRICS, batch_size=size)
    np.testing.assert_allclose(got["loss"], -logs[np.arange(count), y].mean(), rtol=1e-5)
    assert got["accuracy"] == pytest.approx((logits.argmax(-1) == y).mean(), abs=1e-7)
    assert list(got) == ["loss", "accuracy"]


def test_what_padding_gives_is_masked_even_if_not_finite():
    """The first example is the one repeated as padding; it counts once."""
    x = examples()[0][:5]
    metric = {"inverse": lambda outputs, y: y.astype(jnp.float32)}
    weights = np.array([1e6, 1, 1, 1, 1], np.int32)
    got = train.evaluate(new_state(), (x, weights), metric, batch_size=4)
    assert got["inverse"] == pytest.approx((1e6 + 4) / 5)


def test_uses_the_averaged_parameters_and_no_dropout():
    x, y = examples()
    state = new_state(DROPPING, ema_decay=0.9)
    state = state.replace(params={**state.params, "Dense_1": state.params["Dense_0"]})
    first = train.evaluate(state, (x, y), METRICS)
    plain = train.evaluate(new_state(), (x, y), METRICS)
    assert first == plain, "the average is still the initial parameters"
    assert train.evaluate(state, (x, y), METRICS) == first


def test_a_metric_with_further_axes_counts_as_its_mean():
    x, y = examples()
    state = new_state()
    got = train.evaluate(state, (x, y), {"logit": lambda outputs, y: outputs}, batch_size=32)
    want = np.asarray(NET.apply(state.variables, x)).mean()
    np.testing.assert_allclose(got["logit"], want, rtol=1e-4)
    flags = train.evaluate(state, (x, y), {"right": lambda o, y: jnp.argmax(o, -1) == y})
    assert flags["right"] == train.evaluate(state, (x, y), METRICS)["accuracy"]


class Two(nn.Module):
    """A model of a dictionary, with a pair of outputs."""

    @nn.compact
    def __call__(self, x):
        return {"sum": x["a"] + nn.Dense(1)(x["b"]), "b": x["b"]}


def test_inputs_and_outputs_may_be_trees(key):
    a, b = np.arange(7.0, dtype=np.float32)[:, None], np.ones((7, 2), np.float32)
    model = Two()
    variables = model.init(key, {"a": a, "b": b})
    want = model.apply(variables, {"a": a, "b": b})
    got = train.predict(model.apply, variables, {"a": a, "b": b}, batch_size=3)
    np.testing.assert_allclose(got["sum"], want["sum"], rtol=1e-6)
    np.testing.assert_array_equal(got["b"], b)


@pytest.mark.parametrize("size", [1, 4, 90, 1000])
def test_predictions_keep_the_order(size):
    x, _ = examples()
    state = new_state()
    got = train.predict(NET.apply, state.variables, x, batch_size=size)
    assert isinstance(got, np.ndarray)
    assert got.shape == (90, 3)
    np.testing.assert_allclose(got, NET.apply(state.variables, x), atol=1e-6)


def test_one_trace_for_many_evaluations():
    traces = []

    def metric(outputs, y):
        traces.append(1)
        return losses.accuracy(outputs, y)

    for seed in range(3):
        train.evaluate(new_state(seed=seed), examples(), {"accuracy": metric})
    assert len(traces) == 1


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named():
    x, y = examples()
    state = new_state()
    with pytest.raises(ValueError, match="evaluate: `data` is 0; it needs at least one example"):
        train.evaluate(state, (x[:0], y[:0]), METRICS)
    with pytest.raises(ValueError, match=r"evaluate: `data` is \[\(90, 4\), \(89,\)\]"):
        train.evaluate(state, (x, y[1:]), METRICS)
    for size in (0, 2.5):
        with pytest.raises(ValueError, match=f"evaluate: `batch_size` is {size}"):
            train.evaluate(state, (x, y), METRICS, batch_size=size)
    with pytest.raises(ValueError, match=r"metrics\['mean'\]` is \(\); .*average over the batch"):
        train.evaluate(state, (x, y), {"mean": lambda o, y: jnp.mean(o)})
    with pytest.raises(ValueError, match="predict: `x` is 0; it needs at least one example"):
        train.predict(NET.apply, state.variables, x[:0])
    with pytest.raises(ValueError, match="predict: `batch_size` is 0"):
        train.predict(NET.apply, state.variables, x, batch_size=0)
