"""The loop that keeps potentials in place, against a scan of single steps, in every derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking

TIME, BATCH, UNITS = 9, 2, 3
RNG = np.random.default_rng(0)
DRIVE = jnp.asarray(RNG.normal(0.4, 0.6, (TIME, BATCH, UNITS)), jnp.float32)
WEIGHT = jnp.asarray(RNG.normal(size=DRIVE.shape), jnp.float32)
PARAMS = {
    "decay": jnp.array([0.9, 0.7, 0.5]),
    "threshold": jnp.array([1.0, 0.8, 0.6]),
    "slope": jnp.array(3.0),
    "part": jnp.array(0.9),
    "v": jnp.asarray(RNG.normal(size=(BATCH, UNITS)), jnp.float32),
}


def soft(slope, x):
    """A surrogate whose second derivative is finite, and whose slope is learned."""
    bump = jnp.tanh(slope * x)
    return bump + jax.lax.stop_gradient((x > 0).astype(x.dtype) - bump)


def slots(params):
    """Give surrogate and reset, closed over what is differentiated."""
    reset = lambda u, s, theta: u - params["part"] * theta * s  # noqa: E731
    return {"surrogate": partial(soft, params["slope"]), "reset": reset}


def sequence(drive, params):
    state = spiking.LeakyState(params["v"])
    options = {"threshold": params["threshold"], **slots(params)}
    last, spikes = spiking.leaky_sequence(
        drive, params["decay"], state=state, time_axis=0, **options
    )
    return jnp.sum(WEIGHT * spikes) + jnp.sum(last.v**2)


def steps(drive, params):
    def step(state, row):
        return spiking.leaky_step(
            state, row, params["decay"], threshold=params["threshold"], **slots(params)
        )

    last, spikes = jax.lax.scan(step, spiking.LeakyState(params["v"]), drive)
    return jnp.sum(WEIGHT * spikes) + jnp.sum(last.v**2)


def close(got, want, atol=1e-4):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=atol), got, want)


def test_gradients_reach_drive_parameters_state_and_what_slots_close_over():
    got, want = (jax.jit(jax.value_and_grad(f, (0, 1)))(DRIVE, PARAMS) for f in (sequence, steps))
    close(got, want)
    assert all(jnp.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(want))


def test_forward_mode_is_that_of_the_steps():
    change = jax.tree.map(
        lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), (DRIVE, PARAMS)
    )
    got, want = (jax.jit(partial(jax.jvp, f))((DRIVE, PARAMS), change) for f in (sequence, steps))
    close(got, want)


@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
def test_second_derivatives_are_those_of_the_steps(outer):
    def hessian(f):
        few = lambda row, decay: f(  # noqa: E731
            DRIVE.at[0].set(row), PARAMS | {"decay": decay}
        )
        return jax.jit(outer(jax.grad(few, (0, 1)), (0, 1)))(DRIVE[0], PARAMS["decay"])

    got, want = hessian(sequence), hessian(steps)
    close(got, want, atol=1e-3)
    assert all(jnp.abs(leaf).max() > 1e-2 for leaf in jax.tree.leaves(want))


def test_vmapped_gradients_are_those_one_by_one():
    slopes = jnp.array([1.0, 2.0, 4.0])
    grad = jax.grad(lambda slope, f: f(DRIVE, PARAMS | {"slope": slope}))
    got = jax.jit(jax.vmap(lambda slope: grad(slope, sequence)))(slopes)
    close(got, [grad(slope, steps) for slope in slopes])


def test_no_steps_and_one_step():
    for length in (0, 1):
        state, spikes = spiking.leaky_sequence(DRIVE[:length], 0.9, time_axis=0)
        assert spikes.shape == (length, BATCH, UNITS)
    assert state.v.shape == (BATCH, UNITS)
    np.testing.assert_array_equal(spikes[0], DRIVE[0] > 1)
