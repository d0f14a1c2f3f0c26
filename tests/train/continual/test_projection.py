"""Projected updates against projected traces, example by example and step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.layers import spiking
from jaxnn.train import continual, local_learning
from jaxnn.train.local_learning import RecurrentParams

INPUTS, OUTPUTS = 6, 4


def orthonormal(seed, rows, inputs):
    random = np.random.default_rng(seed)
    return np.linalg.qr(random.normal(size=(inputs, rows)))[0].T


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def update(tx, updates, params=None):
    params = updates if params is None else params
    return tx.update(updates, tx.init(params), params)[0]


def test_equals_projecting_each_presynaptic_trace():
    h = orthonormal(0, 2, INPUTS)
    x, delta = np.asarray(normal(1, 9, INPUTS)), np.asarray(normal(2, 9, OUTPUTS))
    want = np.zeros((INPUTS, OUTPUTS))
    for trace, error in zip(x, delta, strict=True):
        want += np.outer(trace - h.T @ (h @ trace), error)
    tx = continual.orthogonal_projection(jnp.asarray(h, jnp.float32))
    np.testing.assert_allclose(update(tx, jnp.asarray(x.T @ delta)), want, atol=1e-5)


def test_after_adam_old_pre_activations_stay_and_new_ones_change():
    """A square kernel, so that the wrong side would fit; Adam and decay come before."""
    h = orthonormal(0, 3, INPUTS)
    old = jnp.asarray(np.random.default_rng(1).normal(size=(10, 3)) @ h, jnp.float32)
    new, target = normal(2, 10, INPUTS), normal(3, 10, INPUTS)
    params = {"first": {"kernel": normal(4, INPUTS, INPUTS), "bias": jnp.zeros(INPUTS)}}
    start = params["first"]["kernel"]
    subspaces = {"first": {"kernel": jnp.asarray(h, jnp.float32), "bias": None}}
    tx = optax.chain(optax.adamw(0.1, weight_decay=0.1), continual.orthogonal_projection(subspaces))

    @jax.jit
    def step(params, state):
        def loss(params):
            layer = params["first"]
            return jnp.mean((new @ layer["kernel"] + layer["bias"][None] - target) ** 2)

        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(20):
        params, state = step(params, state)
    kernel = params["first"]["kernel"]
    np.testing.assert_allclose(old @ kernel, old @ start, atol=2e-5)
    assert float(jnp.abs(new @ kernel - new @ start).max()) > 0.5
    assert float(jnp.abs(params["first"]["bias"]).max()) > 0.1


def test_serves_eprop_and_leaves_whole_branches_alone():
    """With e-prop's gradients: the drives of old input trains do not change."""
    h = orthonormal(0, 2, INPUTS)
    shapes = ((INPUTS, 4), (4, 4), (4,), (4, 2), (2,))
    params = RecurrentParams(*(normal(i, *shape) for i, shape in enumerate(shapes)))
    x = normal(9, 5, INPUTS)
    _, gradients = local_learning.eprop(
        lambda state, drive: spiking.leaky_step(state, drive, 0.9),
        lambda y, target: jnp.sum((y - target) ** 2),
        params,
        spiking.leaky_init((4,)),
        x,
        normal(10, 5, 2),
    )
    subspaces = RecurrentParams(jnp.asarray(h, jnp.float32), None, None, None, None)
    got = update(continual.orthogonal_projection(subspaces), gradients)
    assert float(jnp.abs(h @ gradients.input).max()) > 0.1
    np.testing.assert_allclose(h @ got.input, 0, atol=1e-4)
    np.testing.assert_array_equal(got.recurrent, gradients.recurrent)
    both = {"layer": gradients, "head": gradients.readout}
    tx = continual.orthogonal_projection({"layer": None, "head": jnp.zeros((1, 4))})
    jax.tree.map(np.testing.assert_array_equal, update(tx, both), both)


def test_convolutions_take_the_subspace_of_flattened_patches():
    h = orthonormal(0, 5, 3 * 3 * 2)
    kernel = normal(1, 3, 3, 2, OUTPUTS)
    got = update(continual.orthogonal_projection(jnp.asarray(h, jnp.float32)), kernel)
    patches = jnp.asarray(np.random.default_rng(2).normal(size=(7, 5)) @ h, jnp.float32)
    images = patches.reshape(7, 3, 3, 2)
    out = jax.lax.conv_general_dilated(
        images, got, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(out, 0, atol=1e-5)
    assert float(jnp.abs(got).max()) > 0.5


def test_a_donated_state_leaves_the_callers_subspaces():
    h = {"kernel": jnp.zeros((1, 2))}
    state = continual.orthogonal_projection(h).init({"kernel": jnp.zeros((2, 2))})
    jax.jit(lambda s: s, donate_argnums=0)(state)
    assert h["kernel"].sum() == 0


@pytest.mark.parametrize(
    ("subspaces", "error", "match"),
    [
        (
            {"kernel": jnp.zeros((2, 4)), "bias": None},
            ValueError,
            r"orthogonal_projection: `subspaces\['kernel'\]` .* a kernel of shape \(6, 4\)",
        ),
        ({"kernel": jnp.zeros(6), "bias": None}, ValueError, r"shape \(units, inputs\)"),
        ({"kernel": jnp.zeros((2, 6), int), "bias": None}, TypeError, "floating-point"),
        ({"kernel": jnp.zeros((2, 6))}, ValueError, "`subspaces` .* the structure of the param"),
    ],
)
def test_subspaces_that_do_not_fit_are_refused_at_once(subspaces, error, match):
    params = {"kernel": jnp.zeros((INPUTS, OUTPUTS)), "bias": jnp.zeros(OUTPUTS)}
    with pytest.raises(error, match=match):
        continual.orthogonal_projection(subspaces).init(params)
