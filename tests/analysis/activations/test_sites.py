"""Slopes at sites and replacements one by one, against loops and plain ``jax.grad``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import activations
from tests.analysis.activations.models import Block, Model

MODEL, X = Model(), jax.random.normal(jax.random.key(1), (5, 3))
BLOCK = Block()


def network(params, x, tap):
    """The block by hand, with its values named, and called twice."""
    for _ in range(2):
        hidden = tap("up", x @ params["up"]["kernel"] + params["up"]["bias"][None])
        x = x + tap("down", jax.nn.relu(hidden) @ params["down"]["kernel"])
    return x


def first(y):
    return jnp.sum(y[:, 0] ** 2)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(0), X)


@pytest.fixture(scope="module")
def params():
    return jax.jit(BLOCK.init)(jax.random.key(2), X)["params"]


@pytest.fixture(scope="module")
def result(variables):
    return jax.jit(lambda v, x: activations.gradients(MODEL, v, x, metric=first))(variables, X)


@pytest.mark.parametrize("name", ["first/up", "shared:0", "shared/up:1", "saved", "cell/0", "head"])
def test_gradients_are_those_of_the_model_cut_there(name, variables, result):
    _, after = activations.cut(MODEL, variables, name)
    slope = jax.grad(lambda h: first(after(h, X)))(result.values[name])
    largest = jnp.abs(slope).max()
    np.testing.assert_allclose(result.gradients[name], slope, atol=1e-5 * largest)
    assert largest > 1e-3


def test_gradients_are_given_at_all_that_can_be_replaced(variables, result):
    """Neither at sown values nor inside scan, where one patch would act on every step."""
    _, values = activations.capture(MODEL, variables, X)
    listed = activations.sites(MODEL, variables, X)
    assert {name: site.shape for name, site in listed.items()} == {
        name: slope.shape for name, slope in result.gradients.items()
    }
    missing = set(values) - set(result.gradients)
    scanned = {name for name in values if name.startswith("layers/")}
    sown = {name for name in values if "hidden" in name}
    assert missing == scanned | sown
    np.testing.assert_allclose(result.metric, first(MODEL.apply(variables, X)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"`names` is 'layers/block'; .* outside nn\.scan"):
        activations.gradients(MODEL, variables, X, metric=first, names=["layers/block"])


def test_gradients_are_taken_at_the_patched_values(params):
    """With the hidden layer doubled, slopes are those there."""
    patches = {"up": lambda h: 2 * h}
    got = activations.gradients(
        BLOCK, {"params": params}, X, metric=first, patches=patches, names=["up", "down"]
    )
    hidden = 2 * (X @ params["up"]["kernel"] + params["up"]["bias"][None])
    np.testing.assert_allclose(got.values["up"], hidden, rtol=1e-6)
    y = activations.patch(BLOCK, {"params": params}, X, patches=patches)
    slope = jnp.zeros_like(X).at[:, 0].set(2 * y[:, 0])
    np.testing.assert_allclose(got.gradients["down"], slope, rtol=1e-5)
    want = (slope @ params["down"]["kernel"].T) * (hidden > 0)
    np.testing.assert_allclose(got.gradients["up"], want, atol=1e-6)


def test_patching_is_a_loop_over_sites_in_one_trace(variables):
    _, values = activations.capture(MODEL, variables, X)
    names = ["first/up", "shared:1", "saved", "cell/1", "head"]
    other = activations.ablation({name: values[name] for name in names}, "mean")
    axes = {"first/up": (1, 0), "saved": -1}
    traces = []

    @jax.jit
    def effects(variables, x, replacements):
        traces.append(1)
        return activations.activation_patching(
            MODEL, variables, x, replacements=replacements, metric=first, axes=axes, batch_size=7
        )

    got = effects(variables, X, other)
    assert {name: value.shape for name, value in got.items()} == {
        "first/up": (4, 5),
        "shared:1": (),
        "saved": (3,),
        "cell/1": (),
        "head": (),
    }
    run = jax.jit(lambda patches: first(activations.patch(MODEL, variables, X, patches=patches)))
    for unit in range(4):
        row = unit % 5
        new = values["first/up"].at[row, unit].set(other["first/up"][row, unit])
        np.testing.assert_allclose(got["first/up"][unit, row], run({"first/up": new}), rtol=1e-5)
    for unit in range(3):
        new = values["saved"].at[:, unit].set(other["saved"][:, unit])
        np.testing.assert_allclose(got["saved"][unit], run({"saved": new}), rtol=1e-5)
    for name in ("shared:1", "cell/1", "head"):
        np.testing.assert_allclose(got[name], run({name: other[name]}), rtol=1e-5, err_msg=name)
    effects(variables, 2 * X, other)
    assert len(traces) == 1


def test_the_slope_times_a_small_change_is_its_effect(params):
    variables = {"params": params}
    point = activations.gradients(BLOCK, variables, X, metric=first)
    moved = {name: value * 1.0001 for name, value in point.values.items()}
    effects = activations.activation_patching(BLOCK, variables, X, replacements=moved, metric=first)
    for name, effect in effects.items():
        estimate = jnp.sum(point.gradients[name] * (moved[name] - point.values[name]))
        np.testing.assert_allclose(effect - point.metric, estimate, rtol=0.05, atol=2e-6)


def test_a_function_with_a_tap_does_all_that_a_module_does(params):
    outputs, values = activations.capture(network, params, X)
    variables = {"params": {**params, "down": {**params["down"], "bias": jnp.zeros(3)}}}
    once, inside = activations.capture(BLOCK, variables, X)
    twice, second = activations.capture(BLOCK, variables, once)
    np.testing.assert_allclose(outputs, twice, rtol=1e-5, atol=1e-6)
    assert list(values) == ["up:0", "up:1", "down:0", "down:1"]
    np.testing.assert_allclose(values["up:0"], inside["up"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values["down:1"], second["down"], rtol=1e-4, atol=1e-6)
    zero = {"down:0": jnp.zeros_like}
    patched = activations.patch(network, params, X, patches=zero)
    np.testing.assert_allclose(patched, once, rtol=1e-5, atol=1e-6)
    both = activations.patch(network, params, X, patches={"down": jnp.zeros_like})
    np.testing.assert_array_equal(both, X)
    before, after = activations.cut(network, params, "up:1")
    np.testing.assert_allclose(after(before(X), X), outputs, rtol=1e-6)
    got = activations.gradients(network, params, X, metric=first)
    slope = jax.grad(lambda h: first(after(h, X)))(values["up:1"])
    np.testing.assert_allclose(got.gradients["up:1"], slope, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`patches` is 'dwon'; .* nearest: down"):
        activations.patch(network, params, X, patches={"dwon": jnp.zeros_like})


def test_resampling_gives_all_names_the_same_other_examples(key):
    values = {"a": jnp.arange(6.0), "b": 10 * jnp.arange(12.0).reshape(6, 2)}
    drawn = activations.ablation(values, "resample", key=key)
    order = drawn["a"].astype(int)
    assert sorted(order.tolist()) == list(range(6))
    assert order.tolist() != list(range(6))
    np.testing.assert_array_equal(drawn["b"], values["b"][order])
    with pytest.raises(ValueError, match=r"one number of examples along it, not \[5, 6\]"):
        activations.ablation({**values, "c": jnp.ones(5)}, "resample", key=key)


def test_means_are_over_the_axes_given():
    value = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    got = activations.ablation({"h": jnp.asarray(value)}, "mean", axis=(0, 1))["h"]
    want = np.broadcast_to(value.reshape(6, 4).mean(0), (2, 3, 4))
    np.testing.assert_allclose(got, want, rtol=1e-6)
