import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn import train
from tests.train.toys import ADAM, NET, assert_same_bits, examples, new_state, step_of


def make(**options):
    return train.create_state(NET, optax.adam(1e-2), jnp.ones((2, 4)), **options)


def test_has_the_models_own_parameters(key):
    """As model.init gives them for the first half of the split key."""
    state = make(key=key)
    init_key, run_key = jax.random.split(key)
    want = NET.init(init_key, jnp.ones((2, 4)))["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.params, want)
    assert (jax.random.key_data(state.key) == jax.random.key_data(run_key)).all()
    assert state.step == 0
    assert state.collections == {}
    assert state.ema is None


def test_variables_are_what_the_model_takes():
    state = new_state()
    x = examples()[0]
    assert state.apply_fn(state.variables, x).shape == (90, 3)
    assert state.evaluation_variables["params"] is state.params


def test_evaluation_uses_the_average():
    state = new_state(ema_decay=0.9)
    assert state.evaluation_variables["params"] is state.ema
    assert state.variables["params"] is state.params
    assert_same_bits(state.ema, state.params)


def test_no_two_leaves_share_memory():
    """They are donated together, and a buffer can be given away once."""
    state = new_state(ema_decay=0.9)
    leaves = jax.tree.leaves((state.step, state.params, state.opt_state, state.ema))
    pointers = [leaf.unsafe_buffer_pointer() for leaf in leaves]
    assert len(set(pointers)) == len(pointers)


def test_typed_and_legacy_keys_agree():
    typed, legacy = make(key=jax.random.key(3)), make(key=jax.random.PRNGKey(3))
    assert_same_bits((typed.params, typed.key), (legacy.params, legacy.key))
    assert jnp.issubdtype(typed.key.dtype, jax.dtypes.prng_key)
    assert legacy.key.dtype == jnp.uint32


def test_keeps_the_other_variables_and_drops_what_is_only_output(key):
    class Noting(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.BatchNorm(use_running_average=not self.is_mutable_collection("batch_stats"))(x)
            self.sow("intermediates", "x", x)
            self.sow("losses", "l2", jnp.sum(x))
            return nn.Dense(2)(x)

    state = train.create_state(Noting(), optax.sgd(0.1), jnp.ones((2, 4)), key=key)
    assert set(state.collections) == {"batch_stats"}
    assert set(state.variables) == {"params", "batch_stats"}


def test_one_trace_for_all_seeds():
    traces = []

    class Counted(nn.Module):
        @nn.compact
        def __call__(self, x):
            traces.append(1)
            return nn.Dense(1)(x)

    model, tx = Counted(), optax.sgd(0.1)
    states = [
        train.create_state(model, tx, jnp.ones((1, 2)), key=jax.random.key(seed))
        for seed in range(3)
    ]
    kernels = {float(state.params["Dense_0"]["kernel"][0, 0]) for state in states}
    assert len(kernels) == 3
    assert len(traces) == 1
    train.create_state(Counted(), tx, jnp.ones((1, 2)), key=jax.random.key(0))
    assert len(traces) == 2, "another model object is another program"


def test_a_model_need_not_be_hashable(key):
    class Scaled(nn.Module):
        scale: np.ndarray

        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(x * self.scale)

    model = Scaled(np.ones((1, 2), np.float32))
    state = train.create_state(model, optax.sgd(0.1), jnp.ones((1, 2)), key=key)
    assert state.params["Dense_0"]["kernel"].shape == (2, 1)


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named(key):
    with pytest.raises(TypeError, match="create_state: `key` is 0; it needs a random key"):
        make(key=0)
    for decay in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match=r"create_state: `ema_decay` is .* in \(0, 1\)"):
            make(key=key, ema_decay=decay)

    class Empty(nn.Module):
        def __call__(self, x):
            return x

    with pytest.raises(ValueError, match=r"create_state: `model` is Empty.* parameters to train"):
        train.create_state(Empty(), optax.sgd(0.1), jnp.ones((1, 2)), key=key)


def test_starts_from_variables_that_stay_alive(key):
    """A state made from given variables is their copy; steps that consume it leave them."""
    x, y = (jnp.asarray(v[:12]) for v in examples())
    first = new_state()
    given = jax.tree.map(jnp.copy, first.variables)
    state = train.create_state(NET, ADAM, x, key=key, variables=given)
    assert_same_bits(state.variables, given)
    assert_same_bits(state.opt_state, ADAM.init(state.params))
    state, _ = step_of()(state, (x, y))
    assert int(state.step) == 1
    assert_same_bits(given, first.variables)  # reading a consumed array would raise
