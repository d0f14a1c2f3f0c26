import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.layers import feedforward


def test_is_its_blocks_in_turn(key):
    model, x = models.ResidualMLP(3, features=8, depth=2), jax.random.normal(key, (5, 2, 4))
    variables = jax.jit(model.init)(key, x)
    p = variables["params"]
    assert set(p) == {"inputs", "blocks_0", "blocks_1", "outputs"}
    h = feedforward.dense(x.reshape(5, 8), **p["inputs"])
    for i in (0, 1):
        h = feedforward.InvertedBottleneck().apply({"params": p[f"blocks_{i}"]}, h)
    want = feedforward.dense(h, **p["outputs"])
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x), want, atol=1e-5)


def test_config_builds_what_it_says(key):
    config = models.ResidualMLPConfig(width=8, depth=2, expansion=3, activation="relu", dropout=0.5)
    assert models.ResidualMLPConfig(**dataclasses.asdict(config)) == config
    model = config.build((8, 8), 10)
    logits, variables = jax.jit(model.init_with_output)(key, jnp.ones((2, 8, 8)))
    assert logits.shape == (2, 10)
    up = variables["params"]["blocks_1"]["feedforward"]["up"]["kernel"]
    assert up.shape == (8, 24)
    dropped = model.apply(variables, jnp.ones((2, 8, 8)), rngs={"dropout": key})
    assert not np.allclose(dropped, logits)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"width": 0}, "`width` is 0; it needs a whole number above zero"),
        ({"dropout": 1.0}, r"`dropout` is 1.0; it needs a share in \[0, 1\)"),
        ({"activation": "sine"}, "`activation` is 'sine'; it needs one of gelu, relu, silu, tanh"),
    ],
)
def test_bad_configs_are_named(options, match):
    with pytest.raises(ValueError, match=f"ResidualMLPConfig: {match}"):
        models.ResidualMLPConfig(**options).build((4,), 2)


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named(key):
    model = models.ResidualMLP(3)
    with pytest.raises(ValueError, match=r"ResidualMLP: `x` is .*\(4,\).*x\[None\]"):
        model.init(key, jnp.ones(4))
    with pytest.raises(ValueError, match="ResidualMLP: `depth` is 0"):
        models.ResidualMLP(3, depth=0).init(key, jnp.ones((1, 4)))
