import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn import models


@functools.partial(jax.jit, static_argnums=0)
def init(model, key, x):
    return model.init(key, x)


@functools.partial(jax.jit, static_argnums=0)
def apply(model, variables, x):
    return model.apply(variables, x)


def test_equals_a_numpy_loop(key):
    """Flattened, and no activation after the last map."""
    model, x = models.MLP((7, 5, 3), activation=jnp.tanh), jax.random.normal(key, (6, 2, 4))
    variables = init(model, key, x)
    # Biases start at zero; others show whether they are added.
    leaves, tree = jax.tree.flatten(variables)
    variables = jax.tree.unflatten(tree, [leaf + 0.1 for leaf in leaves])
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    h = np.asarray(x, np.float64).reshape(6, 8)
    for i in range(2):
        h = np.tanh(h @ p[f"dense_{i}"]["kernel"] + p[f"dense_{i}"]["bias"])
    want = h @ p["dense_2"]["kernel"] + p["dense_2"]["bias"]
    np.testing.assert_allclose(apply(model, variables, x), want, atol=1e-5)
    assert set(p) == {"dense_0", "dense_1", "dense_2"}


def test_one_width_is_an_affine_map(key):
    model, x = models.MLP((3,)), jax.random.normal(key, (5, 4))
    variables = init(model, key, x)
    double = apply(model, variables, 2 * x)
    np.testing.assert_allclose(double, 2 * apply(model, variables, x), atol=1e-5)


def test_an_empty_batch_is_no_error(key):
    model = models.MLP((7, 3))
    variables = init(model, key, jnp.ones((1, 2, 4)))
    assert apply(model, variables, jnp.ones((0, 2, 4))).shape == (0, 3)


def test_drops_units_exactly_when_given_a_key(key):
    model, x = models.MLP((64, 3), dropout_rate=0.5), jnp.ones((2, 3))
    variables = init(model, key, x)
    plain = apply(model, variables, x)
    np.testing.assert_array_equal(plain, apply(model, variables, x))
    assert not np.allclose(plain, model.apply(variables, x, rngs={"dropout": key}))
    forced = model.apply(variables, x, deterministic=True, rngs={"dropout": key})
    np.testing.assert_allclose(plain, forced, rtol=1e-6)  # eagerly: another program


def test_sows_every_hidden_layer(key):
    """After the activation and before dropout: what is sown makes the outputs."""
    model, x = models.MLP((7, 5, 3), activation=jax.nn.relu), jax.random.normal(key, (4, 2))
    variables = init(model, key, x)
    out, sown = model.apply({"params": variables["params"]}, x, mutable=["intermediates"])
    sown = sown["intermediates"]
    assert [sown[f"hidden_{i}"][0].shape for i in (0, 1)] == [(4, 7), (4, 5)]
    last = variables["params"]["dense_2"]
    np.testing.assert_allclose(
        sown["hidden_1"][0] @ last["kernel"] + last["bias"][None], out, atol=1e-5
    )
    assert (sown["hidden_0"][0] >= 0).all()


def test_dense_is_a_slot(key):
    model = models.MLP((7, 3), dense=nn.Dense)
    ours = models.MLP((7, 3))
    x = jax.random.normal(key, (4, 2))
    variables = init(model, key, x)
    np.testing.assert_allclose(apply(model, variables, x), apply(ours, variables, x), atol=1e-5)


def test_computes_in_the_dtype_asked_for(key):
    model, x = models.MLP((7, 3), dtype=jnp.bfloat16), jnp.ones((4, 2))
    variables = init(model, key, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    assert apply(model, variables, x).dtype == jnp.bfloat16


def test_config_builds_what_it_says(key):
    config = models.MLPConfig(hidden=(7, 5), activation="tanh", dropout=0.25)
    model = config.build((8, 8), 10)
    assert model == models.MLP((7, 5, 10), activation=jnp.tanh, dropout_rate=0.25)
    assert model.init_with_output(key, jnp.ones((2, 8, 8)))[0].shape == (2, 10)
    assert models.MLPConfig(hidden=()).build((4,), 2).features == (2,)


def test_config_is_plain_data():
    config = models.MLPConfig()
    again = models.MLPConfig(**dataclasses.asdict(config))
    assert again == config
    assert hash(again) == hash(config)


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named(key):
    model = models.MLP((3,))
    with pytest.raises(ValueError, match=r"MLP: `x` is .*\(4,\).* \(batch, \.\.\.\).*x\[None\]"):
        model.init(key, jnp.ones(4))
    with pytest.raises(TypeError, match=r"MLP: `x` is .*int32.*floating-point"):
        model.init(key, jnp.ones((1, 4), jnp.int32))
    with pytest.raises(ValueError, match=r"MLP: `features` is .*at least one width"):
        models.MLP(()).init(key, jnp.ones((1, 4)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"hidden": (4, 0)}, r"`hidden` is \(4, 0\); it needs widths above zero"),
        ({"dropout": 1.0}, r"`dropout` is 1.0; it needs a share in \[0, 1\)"),
        ({"activation": "sine"}, "`activation` is 'sine'; it needs one of gelu, relu, silu, tanh"),
    ],
)
def test_bad_configs_are_named(options, match):
    with pytest.raises(ValueError, match=f"MLPConfig: {match}"):
        models.MLPConfig(**options).build((4,), 2)
