import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn import data
from jaxnn.layers import kan
from jaxnn.models import KAN, KANConfig


def test_is_its_layers_in_a_chain(key):
    model, x = KAN((4, 3), grid=4, degree=2), jax.random.uniform(key, (5, 2, 3), minval=-1.0)
    variables = jax.jit(model.init)(key, x)
    assert set(variables) == {"params"}

    def basis(x):
        return kan.uniform_bspline_basis(x, grid=4, degree=2)

    want = x.reshape(5, 6)
    for layer in ("layers_0", "layers_1"):
        want = kan.kan_layer(want, **variables["params"][layer], basis=basis)
    got, sown = model.apply(variables, x, mutable=["intermediates"])
    np.testing.assert_allclose(got, want, atol=1e-5)
    hidden = sown["intermediates"]["hidden_0"][0]
    first = kan.kan_layer(x.reshape(5, 6), **variables["params"]["layers_0"], basis=basis)
    np.testing.assert_allclose(hidden, first, atol=1e-5)


def test_inputs_are_scaled_onto_the_grid(key):
    plain, x = KAN((2,), grid_range=(-2.0, 2.0)), jax.random.uniform(key, (5, 3))
    scaled = plain.clone(input_range=(0.0, 1.0))
    variables = jax.jit(plain.init)(key, x)
    np.testing.assert_allclose(
        scaled.apply(variables, x), plain.apply(variables, 4 * x - 2), atol=1e-5
    )


def test_penalty_of_every_layer_is_sown(key):
    model, x = KAN((4, 2), regularization=0.1), jax.random.uniform(key, (5, 3))
    _, sown = model.apply(model.init(key, x), x, mutable=["losses"])
    assert set(sown["losses"]) == {"layers_0", "layers_1"}
    assert all(jax.tree.leaves(jax.tree.map(lambda loss: loss > 0, sown)))


def test_layer_is_a_slot(key):
    made = []

    def factory(features, **options):
        made.append((features, options["grid"]))
        return kan.KANLayer(features, **options)

    KAN((4, 2), grid=7, layer=factory).init(key, jnp.ones((2, 3)))
    assert made == [(4, 7), (2, 7)]


def test_config_builds(key):
    config = KANConfig(hidden=(4,), grid=3, degree=2, scale_inputs=True, input_range=(0.0, 16.0))
    model = config.build((8, 8), 10)
    assert model.input_range == (0.0, 16.0)
    shape = jax.eval_shape(lambda: model.init_with_output(key, jnp.ones((2, 8, 8)))[0]).shape
    assert shape == (2, 10)
    assert KANConfig().build((3,), 2).input_range is None
    assert KANConfig(entropy=2.0).build((3,), 2).layer(4).entropy == 2
    with pytest.raises(ValueError, match=r"KANConfig: `hidden` is \(0,\); it needs widths above"):
        KANConfig(hidden=(0,)).build((3,), 2)
    with pytest.raises(ValueError, match=r"KANConfig: `grid_range` .* lower end below its upper"):
        KANConfig(grid_range=(1.0, 0.0)).build((3,), 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learns_the_digits(seed):
    """The README's call: 1,000 steps of 128 with AdamW at 3e-3; 96 percent is the bound."""
    digits = data.load("digits")
    x, y, x_test, y_test = (jnp.asarray(part) for part in (*digits.train, *digits.test))
    model, tx = KAN((32, 10), grid=5), optax.adamw(3e-3)

    @jax.jit
    def train(key):
        params = model.init(key, x[:1])["params"]

        def step(carry, key):
            params, state = carry
            rows = jax.random.randint(key, (128,), 0, len(x))

            def loss(params):
                logits = model.apply({"params": params}, x[rows])
                return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

            updates, state = tx.update(jax.grad(loss)(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        start = (params, tx.init(params))
        (params, _), _ = jax.lax.scan(step, start, jax.random.split(key, 1000))
        return model.apply({"params": params}, x_test).argmax(axis=-1)

    assert (train(jax.random.key(seed)) == y_test).mean() >= 0.96
