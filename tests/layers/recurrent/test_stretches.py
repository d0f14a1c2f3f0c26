"""Stretches of time: joined, forgotten in between, recomputed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import recurrent, spiking

UNIT = recurrent.LRU(2, states=3)
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 11, 2)), jnp.float32)
VARIABLES = UNIT.init(jax.random.key(0), X)


def error(variables, x, **options):
    y, state = recurrent.run_stretches(partial(UNIT.apply, variables), x, **options)
    return jnp.sum(y**2) + jnp.sum(jnp.abs(state) ** 2)


def test_stretches_give_values_and_gradients_of_the_whole():
    both = jax.jit(jax.value_and_grad(error, argnums=(0, 1)), static_argnames=("length",))
    whole = both(VARIABLES, X, length=20)
    # Eleven steps in stretches of four: the first makes the state, one is scanned, three are left.
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=2e-4, atol=1e-5),
        both(VARIABLES, X, length=4),
        whole,
    )


def test_truncation_cuts_the_gradient_between_stretches_and_nothing_else():
    # The state of a sum hands the gradient of each later output back, unless it is cut.
    def layer(x, state):
        y = state + jnp.cumsum(x)
        return y, y[-1]

    def total(x, truncate):
        y, _ = recurrent.run_stretches(
            layer, x, jnp.zeros(()), length=2, truncate=truncate, time_axis=0
        )
        return jnp.sum(y)

    x = jnp.arange(5.0)
    assert total(x, True) == total(x, False) == 20
    assert jax.grad(total)(x, False).tolist() == [5, 4, 3, 2, 1]
    assert jax.grad(total)(x, True).tolist() == [2, 1, 2, 1, 1]


def test_a_checkpointed_network_keeps_states_only():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(256, 1, 8)), jnp.float32)

    def kept(checkpoint):
        def run(kernel, x):
            def layer(x, state):
                drive = (x.reshape(-1, 8) @ kernel).reshape(x.shape)
                state, spikes = spiking.leaky_sequence(drive, 0.9, state=state, time_axis=0)
                return spikes, state

            start = spiking.leaky_init((1, 8))
            return recurrent.run_stretches(
                layer, x, start, length=16, checkpoint=checkpoint, time_axis=0
            )[0]

        spikes, back = jax.vjp(run, jnp.full((8, 8), 0.1), x)
        return spikes, sum(leaf.size for leaf in jax.tree.leaves(back)), back(jnp.ones_like(spikes))

    (spikes, most, gradients), (same, few, again) = kept(False), kept(True)
    np.testing.assert_array_equal(spikes, same)
    for found, wanted in zip(again, gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert 0 < float(spikes.mean()) < 1
    # Both keep the inputs, 2,048 numbers, and the kernel; then sixteen states of eight, or all.
    assert few <= 2048 + 64 + 17 * 8 + 16
    assert most >= 2048 + 2048


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"length": 0}, "run_stretches: `length` is 0"),
        ({"length": 2, "time_axis": 3}, "run_stretches: `time_axis` is 3; it needs an axis of `x`"),
    ],
)
def test_errors_name_the_argument(options, match):
    with pytest.raises(ValueError, match=match):
        recurrent.run_stretches(lambda x, state: (x, state), X, **options)
