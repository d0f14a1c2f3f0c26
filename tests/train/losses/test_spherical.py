import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import zscore

from jaxnn.train import losses

RNG = np.random.default_rng(0)
OUT = jnp.asarray(RNG.normal(size=(7, 5)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, 5, 7))
ROWS = np.arange(7)
z_loss = jax.jit(losses.spherical_z_loss, static_argnames=("sharpness", "shift"))
slopes = jax.jit(jax.grad(lambda o: losses.spherical_z_loss(o, Y).sum()))


def test_z_loss_equals_scipys_scores():
    scores = np.asarray(zscore(np.asarray(OUT, np.float64), axis=-1))
    z = scores[ROWS, np.asarray(Y)]
    for a, b in ((1.0, 1.0), (3.0, -0.5)):
        got = z_loss(OUT, Y, sharpness=a, shift=b)
        np.testing.assert_allclose(got, np.log1p(np.exp(a * (b - z))) / a, rtol=1e-5)


def test_shift_and_scale_change_nothing():
    want, pull = z_loss(OUT, Y), slopes(OUT)
    for scale in (1e-30, 5.0, 1e30):
        np.testing.assert_allclose(z_loss(scale * OUT, Y), want, rtol=1e-5)
    np.testing.assert_allclose(z_loss(OUT + 10.0, Y), want, rtol=1e-4)
    # Invariance in small steps: no slope along shifts or along the outputs themselves.
    np.testing.assert_allclose(pull.sum(-1), 0, atol=1e-6)
    np.testing.assert_allclose((pull * OUT).sum(-1), 0, atol=1e-6)
    assert not np.allclose(z_loss(-OUT, Y), want, atol=0.1)


def test_equal_outputs_are_no_score():
    for value in (0.0, 0.1, 1e30):
        o = jnp.full((7, 5), value)
        np.testing.assert_allclose(z_loss(o, Y), np.log1p(np.e), rtol=1e-6)
        np.testing.assert_array_equal(slopes(o), 0)


def test_factored_form_is_the_same():
    kernel = jnp.asarray(RNG.normal(size=(6, 40)) + 3, jnp.float32)
    x, y = jnp.asarray(RNG.normal(size=(7, 6)), jnp.float32), jnp.asarray(RNG.integers(0, 40, 7))

    def direct(x, kernel):
        return losses.spherical_z_loss(x @ kernel, y, sharpness=0.5, shift=2.0).sum()

    def factored(x, kernel):
        factors = losses.spherical_factors(kernel)
        column = kernel.T[y]
        value = losses.factored_z_loss(x, column, factors, classes=40, sharpness=0.5, shift=2.0)
        return value.sum()

    want, got = (jax.jit(jax.value_and_grad(f, (0, 1)))(x, kernel) for f in (direct, factored))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    nothing = losses.factored_z_loss(
        x, kernel.T[y], losses.spherical_factors(jnp.ones((6, 40))), classes=40
    )
    np.testing.assert_allclose(nothing, np.log1p(np.e), rtol=1e-6)


@pytest.mark.parametrize("form", ["taylor", "spherical"])
def test_siblings(form):
    o = np.asarray(OUT, np.float64)
    if form == "taylor":
        function, s = losses.taylor_cross_entropy, 1 + o + o**2 / 2
    else:
        function, s = losses.spherical_cross_entropy, o**2 + 1e-3
    want = -np.log(s[ROWS, np.asarray(Y)] / s.sum(-1))
    np.testing.assert_allclose(function(OUT, Y), want, rtol=1e-5)
    for scale in (0.0, 1e15, -1e30):
        value, pull = jax.value_and_grad(lambda o: function(o, Y).sum())(scale * OUT)
        assert jnp.isfinite(value)
        assert jnp.isfinite(pull).all()
    # Far out both are the squares' shares.
    share = (o**2 / (o**2).sum(-1, keepdims=True))[ROWS, np.asarray(Y)]
    np.testing.assert_allclose(function(1e15 * OUT, Y), -np.log(share), rtol=1e-4)
