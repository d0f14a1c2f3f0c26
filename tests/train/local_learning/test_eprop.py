"""E-prop against back-propagation through time with the forbidden paths cut."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking
from jaxnn.train import local_learning
from jaxnn.train.local_learning import RecurrentParams

KAPPA = 0.8
TIME, BATCH, INPUTS, UNITS, OUTPUTS = 12, 2, 3, 4, 2
LEAKY = partial(spiking.leaky_step, decay=0.9, surrogate=spiking.arctan)
ADAPTIVE = partial(spiking.adaptive_step, decay=0.9, adaptation_decay=0.95, adaptation_strength=0.3)


def square(y, target):
    return jnp.sum((y - target) ** 2, axis=-1)


def setting():
    draw = np.random.default_rng(0).normal
    shapes = ((INPUTS, UNITS), (UNITS, UNITS), (UNITS,), (UNITS, OUTPUTS), (OUTPUTS,))
    params = RecurrentParams(*(jnp.asarray(0.7 * draw(size=s), jnp.float32) for s in shapes))
    params = params._replace(bias=jnp.abs(params.bias))
    x = jnp.asarray(draw(size=(TIME, BATCH, INPUTS)), jnp.float32)
    return params, x, jnp.asarray(draw(size=(TIME, BATCH, OUTPUTS)), jnp.float32)


def through_time(step, state, params, x, target, *, cut):
    """Give the loss as back-propagation sees it; spikes fed back pass no gradient if ``cut``."""

    def advance(carry, now):
        state, z, y = carry
        x, target = now
        fed = jax.lax.stop_gradient(z) if cut else z
        drive = x @ params.input + fed @ params.recurrent + params.bias[None]
        state, z = step(state, drive)
        y = KAPPA * y + z @ params.readout + params.readout_bias[None]
        return (state, z, y), jnp.sum(square(y, target))

    start = state, jnp.zeros((BATCH, UNITS)), jnp.zeros((BATCH, OUTPUTS))
    return jnp.sum(jax.lax.scan(advance, start, (x, target))[1])


@pytest.mark.parametrize(
    ("step", "state"),
    [
        (LEAKY, spiking.leaky_init((BATCH, UNITS))),
        (ADAPTIVE, spiking.adaptive_init((BATCH, UNITS))),
    ],
    ids=["leaky", "adaptive"],
)
def test_equals_back_propagation_with_spikes_cut(step, state):
    params, x, target = setting()

    @jax.jit
    def both(params, x, target):
        online = local_learning.eprop(step, square, params, state, x, target, readout_decay=KAPPA)
        cut = jax.value_and_grad(lambda p: through_time(step, state, p, x, target, cut=True))(
            params
        )
        whole = jax.grad(lambda p: through_time(step, state, p, x, target, cut=False))(params)
        return online, cut, whole

    (run, gradients), (loss, expected), whole = both(params, x, target)
    assert 0.05 < float(run.spikes.mean()) < 0.95
    np.testing.assert_allclose(run.loss, loss, rtol=1e-5)
    for found, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    # The paths cut matter here: the whole gradient is another one, but for the readout's.
    assert float(jnp.abs(gradients.input - whole.input).max()) > 0.1
    np.testing.assert_allclose(gradients.readout, whole.readout, rtol=1e-4, atol=1e-4)


def test_is_exact_without_recurrent_weights_and_follows_its_feedback():
    params, x, target = setting()
    params = params._replace(recurrent=jnp.zeros((UNITS, UNITS)))
    state = spiking.leaky_init((BATCH, UNITS))
    feedback = jnp.ones((OUTPUTS, UNITS))

    @jax.jit
    def both(params):
        run = partial(local_learning.eprop, LEAKY, square, params, state, x, target)
        whole = jax.grad(lambda p: through_time(LEAKY, state, p, x, target, cut=False))(params)
        fed = run(readout_decay=KAPPA, feedback=feedback)[1]
        return (
            run(readout_decay=KAPPA)[1],
            fed,
            run(readout_decay=KAPPA, feedback=2 * feedback)[1],
            whole,
        )

    exact, fed, twice, whole = both(params)
    for name in ("input", "bias", "readout", "readout_bias"):
        np.testing.assert_allclose(getattr(exact, name), getattr(whole, name), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(twice.input, 2 * fed.input, rtol=1e-5)
    np.testing.assert_array_equal(fed.readout, exact.readout)
    assert float(jnp.abs(fed.input - exact.input).max()) > 0.1


def test_errors_name_the_argument():
    params, x, target = setting()
    state = spiking.leaky_init((BATCH, UNITS))
    run = partial(local_learning.eprop, LEAKY, square)
    with pytest.raises(ValueError, match=r"eprop: `params.recurrent` .* needs shape \(4, 4\)"):
        run(params._replace(recurrent=jnp.ones((3, 4))), state, x, target)
    with pytest.raises(ValueError, match=r"eprop: `readout_decay` is 1\.0; it needs"):
        run(params, state, x, target, readout_decay=1.0)
    with pytest.raises(ValueError, match=r"eprop: `feedback` .* needs shape \(2, 4\)"):
        run(params, state, x, target, feedback=jnp.ones((4, 2)))
