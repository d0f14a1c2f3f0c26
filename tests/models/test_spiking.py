import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.models._spiking import RESETS, SURROGATES, SpikingMLP, SpikingMLPConfig
from tests.layers.spiking import reference


@pytest.fixture
def x(key):
    return jax.random.uniform(key, (4, 2, 3))


def test_equals_a_numpy_loop_over_steps(key, x):
    """Each step multiplies anew, as the definition says; the module multiplies once."""
    model = SpikingMLP(features=(8, 7, 5), time_steps=6, readout_decay=0.8)
    params = jax.jit(model.init)(key, x)["params"]
    params = jax.tree.map(lambda p: 2 * p + 0.1, params)  # biases matter, units fire
    weights = [
        [np.asarray(params[f"dense_{i}"][name], float) for name in ("kernel", "bias")]
        for i in range(3)
    ]
    want = []
    for row in np.asarray(x, float).reshape(4, 6):
        h = np.tile(row, (6, 1))
        for i in range(2):
            h, _ = reference.leaky(h @ weights[i][0] + weights[i][1], 0.9)
        assert h.any()
        v, trace = 0.0, []
        for i in h @ weights[2][0] + weights[2][1]:
            v = 0.8 * v + i
            trace.append(v)
        want.append(np.mean(trace, 0))
    np.testing.assert_allclose(model.apply({"params": params}, x), want, atol=1e-4)


def test_the_first_product_is_computed_once_and_others_once_for_all_steps(key, x):
    model = SpikingMLP(features=(8, 7, 5), time_steps=6)
    params = jax.jit(model.init)(key, x)
    text = str(jax.make_jaxpr(model.apply)(params, x))
    assert text.count("dot_general") == 3
    assert "f32[4,8] = dot_general" in text  # batch rows, not batch times steps
    assert "f32[24,7] = dot_general" in text


def test_rate_encoding_draws_with_a_key_and_takes_the_mean_without(key, x):
    model = SpikingMLP(features=(8, 5), time_steps=6, encoding="rate")
    variables = jax.jit(model.init)(key, x)
    apply = jax.jit(model.apply, static_argnames="deterministic")
    mean = apply(variables, x)
    direct = SpikingMLP(features=(8, 5), time_steps=6)
    np.testing.assert_allclose(mean, direct.apply(variables, x), atol=1e-6)
    drawn = apply(variables, x, rngs={"dropout": key})
    np.testing.assert_array_equal(drawn, apply(variables, x, rngs={"dropout": key}))
    assert not np.allclose(drawn, mean)
    forced = apply(variables, x, deterministic=True, rngs={"dropout": key})
    np.testing.assert_array_equal(forced, mean)
    binary = jnp.round(x)  # probabilities 0 and 1 leave nothing to chance
    np.testing.assert_allclose(
        apply(variables, binary, rngs={"dropout": key}), apply(variables, binary), atol=1e-5
    )


def test_sows_spikes_membranes_and_the_penalty(key, x):
    model = SpikingMLP(features=(8, 7, 5), time_steps=6, rate_target=0.01, rate_weight=3.0)
    variables = jax.jit(model.init)(key, x)
    assert set(variables) == {"params"}
    logits, sown = model.apply(variables, 9 * x, mutable=["intermediates", "losses"])
    seen = sown["intermediates"]
    assert seen["spikes_0"][0].shape == (4, 6, 8)
    assert seen["spikes_1"][0].shape == (4, 6, 7)
    assert set(np.unique(seen["spikes_0"][0])) == {0, 1}
    np.testing.assert_allclose(seen["membrane"][0].mean(1), logits, atol=1e-5)
    for i, loss in enumerate(sown["losses"]["spike_rate"]):
        rates = np.asarray(seen[f"spikes_{i}"][0]).mean((0, 1))
        want = 3 * np.mean(np.maximum(rates - 0.01, 0) ** 2)
        np.testing.assert_allclose(loss, want, rtol=1e-5)
    assert "losses" not in SpikingMLP((8, 5)).apply(
        SpikingMLP((8, 5)).init(key, x), x, mutable=["losses"]
    )[1]  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        *(SpikingMLPConfig(surrogate=name) for name in SURROGATES),
        *(SpikingMLPConfig(reset=name) for name in RESETS),
        SpikingMLPConfig(slope=10.0, learn_decay=True, encoding="rate"),
    ],
    ids=str,
)
def test_every_config_builds_and_has_gradients(config, key, x):
    model = dataclasses.replace(config, hidden=(8,), time_steps=3).build((2, 3), 5)
    params = jax.jit(model.init)(key, x)["params"]

    def total(params):
        return jnp.sum(model.apply({"params": params}, x, rngs={"dropout": key}) ** 2)

    gradients = jax.jit(jax.grad(total))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert jnp.isfinite(leaf).all()
        assert leaf.any(), path


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"hidden": ()}, "SpikingMLPConfig: `hidden` is .* at least one width"),
        ({"hidden": (8, 0)}, "SpikingMLPConfig: `hidden` is .* widths above zero"),
        ({"time_steps": 0}, "SpikingMLPConfig: `time_steps` is 0"),
        ({"decay": 1.0}, r"SpikingMLPConfig: `decay` is 1.0; it needs a factor inside \(0, 1\)"),
        ({"slope": -1.0}, "SpikingMLPConfig: `slope` is -1.0"),
        ({"rate_target": 2.0}, "SpikingMLPConfig: `rate_target` is 2.0"),
    ],
)
def test_bad_configs_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        SpikingMLPConfig(**options).build((8, 8), 10)


@pytest.mark.usefixtures("unchecked")
def test_bad_inputs_are_named(key):
    with pytest.raises(ValueError, match=r"SpikingMLP: `x` is .*add a batch axis"):
        SpikingMLP((8, 5)).init(key, jnp.ones(3))
    with pytest.raises(ValueError, match=r'SpikingMLP: `encoding` .*"direct" or "rate"'):
        SpikingMLP((8, 5), encoding="phase").init(key, jnp.ones((2, 3)))  # pyright: ignore


def test_learns_digits_with_few_spikes(key):
    """Short training; 1,000 steps of 128 examples reach 97 %."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = jnp.asarray(x / 16, jnp.float32), jnp.asarray(y, jnp.int32)
    model = SpikingMLPConfig(hidden=(64,), time_steps=8).build((64,), 10)
    params = jax.jit(model.init)(key, x[:1])["params"]
    tx = optax.adamw(1e-2)

    def loss(params, rows):
        logits, sown = model.apply({"params": params}, x[rows], mutable=["losses"])
        errors = optax.softmax_cross_entropy_with_integer_labels(logits, y[rows])
        return errors.mean() + sum(jax.tree.leaves(sown["losses"]))

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (128,), 0, 1400)
        updates, state = tx.update(jax.grad(loss)(params, rows), state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(key, 200)
    params, _ = jax.jit(lambda c: jax.lax.scan(step, c, keys)[0])((params, tx.init(params)))
    logits, seen = model.apply({"params": params}, x[1400:], mutable=["intermediates"])
    assert (logits.argmax(1) == y[1400:]).mean() > 0.85
    assert seen["intermediates"]["spikes_0"][0].mean() < 0.25
