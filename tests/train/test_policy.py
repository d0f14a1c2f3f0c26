import jax.numpy as jnp
import numpy as np

from jaxnn import train


def test_casts_floats_and_nothing_else():
    tree = {
        "float": jnp.ones(2),
        "half": jnp.ones(2, jnp.float16),
        "integer": jnp.ones(2, jnp.int32),
        "flag": jnp.array([True]),
        "numpy": np.ones(2, np.float32),
    }
    dtypes = {k: v.dtype for k, v in train.Policy().to_compute(tree).items()}
    assert dtypes == {
        "float": jnp.bfloat16,
        "half": jnp.bfloat16,
        "integer": jnp.int32,
        "flag": jnp.bool,
        "numpy": jnp.bfloat16,
    }
    back = train.Policy().to_output(train.Policy().to_compute(tree))
    assert back["float"].dtype == jnp.float32
    assert back["integer"].dtype == jnp.int32


def test_the_dtypes_are_the_policys():
    policy = train.Policy(compute=jnp.float16, output=jnp.bfloat16)
    assert policy.to_compute(jnp.ones(1)).dtype == jnp.float16
    assert policy.to_output(jnp.ones(1)).dtype == jnp.bfloat16


def test_equal_policies_are_one_key():
    assert hash(train.Policy()) == hash(train.Policy())
    assert train.Policy() == train.Policy()
    assert train.Policy(compute=jnp.float16) != train.Policy()
