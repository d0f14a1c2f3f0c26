"""The config of the model that writes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.models import GPTConfig

SMALL = {"width": 8, "depth": 2, "num_heads": 2, "hidden": 12, "context": 6}


def test_a_token_sees_only_those_before_it(key):
    model = GPTConfig(**SMALL, key_heads=1).build((6,), 10)
    tokens = jax.random.randint(key, (1, 6), 0, 10)
    variables = model.init(key, tokens)
    assert variables["params"]["blocks_0"]["attention"]["key"]["kernel"].shape == (8, 4)
    apply = jax.jit(model.apply)
    logits = apply(variables, tokens)
    assert logits.shape == (1, 6, 10)
    changed = apply(variables, tokens.at[0, 3].add(1) % 10)
    np.testing.assert_allclose(changed[:, :3], logits[:, :3], atol=1e-6)
    assert (jnp.abs(changed[:, 3:] - logits[:, 3:]).max(-1) > 1e-6).all()


def test_the_feed_forward_network_is_gated_or_plain(key):
    for name, kernels in (("swiglu", {"gate", "up", "down"}), ("gelu", {"up", "down"})):
        model = GPTConfig(**SMALL, feedforward=name).build((6,), 10)
        shapes = jax.eval_shape(model.init, key, jnp.zeros((1, 6), jnp.int32))
        assert set(shapes["params"]["blocks_1"]["feedforward"]) == kernels


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"context": 1}, r"GPTConfig: `context` is 1; it needs at least 2"),
        ({"key_heads": 3}, r"GPTConfig: `key_heads` is 3; .*divisor of the 2 heads"),
        ({"num_heads": 3}, r"GPTConfig: `num_heads` is 3; .*divisor of the width 8"),
        ({"dropout": 1.0}, r"GPTConfig: `dropout` is 1.0"),
    ],
)
def test_bad_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        GPTConfig(**{**SMALL, **options}).build((6,), 10)
    with pytest.raises(ValueError, match=r"GPTConfig: `input_shape` is \(2, 3\)"):
        GPTConfig(**SMALL).build((2, 3), 10)
