import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate

from jaxnn.analysis import attribution
from tests.analysis.attribution.networks import BASELINE, FIRST, X, array, f

SECOND = np.random.default_rng(3).normal(size=(6, 3))
READ = np.random.default_rng(4).normal(size=3)
PATH = X - BASELINE


def before(x):
    return jnp.tanh(x @ array(FIRST))


def after(h, x):
    return jnp.tanh(h @ array(SECOND)) @ array(READ)


def hidden(point):
    """The layer's value on the path, its derivative along it, and the output's slope in it."""
    h = np.tanh((BASELINE + point * PATH) @ FIRST)
    change = (1 - h**2) * (PATH @ FIRST)
    return h, change, SECOND @ (READ * (1 - np.tanh(h @ SECOND) ** 2))


def test_conductance_equals_the_integral_and_adds_up():
    got = attribution.conductance(before, after, array(X), array(BASELINE))
    want = integrate.quad_vec(lambda a: hidden(a)[1] * hidden(a)[2], 0, 1)[0]
    np.testing.assert_allclose(got, want, atol=5e-6)
    change = (np.tanh(hidden(1)[0] @ SECOND) - np.tanh(hidden(0)[0] @ SECOND)) @ READ
    np.testing.assert_allclose(got.sum(), change, atol=1e-5)


def test_internal_influence_equals_the_integral():
    got = attribution.internal_influence(before, after, array(X), array(BASELINE))
    want = integrate.quad_vec(lambda a: hidden(a)[2], 0, 1)[0]
    np.testing.assert_allclose(got, want, atol=5e-6)


def test_one_point_of_the_right_rule_is_the_example_itself():
    got = attribution.conductance(
        before, after, array(X), array(BASELINE), steps=1, method="riemann_right"
    )
    np.testing.assert_allclose(got, hidden(1)[1] * hidden(1)[2], atol=1e-5)


def test_gradient_through_units_is_the_network_s_split():
    """Values stay; the parts of all units add up to the gradient; one part by hand."""
    whole = lambda x: after(before(x), x)  # noqa: E731
    x = array(X)
    parts = [attribution.through(before, after, j) for j in range(6)]
    assert all(abs(part(x) - whole(x)) < 1e-6 for part in parts)
    slopes = np.stack([jax.grad(part)(x) for part in parts])
    h, _, outer = hidden(1)
    np.testing.assert_allclose(slopes, (FIRST * (1 - h**2) * outer).T, atol=5e-6)
    # By entries and units: each unit's part adds up to its conductance.
    single = jax.vmap(
        lambda j: attribution.integrated_gradients(
            attribution.through(before, after, j), x, array(BASELINE)
        )
    )(jnp.arange(6))
    total = attribution.conductance(before, after, x, array(BASELINE))
    np.testing.assert_allclose(single.sum(1), total, atol=1e-5)
    want = attribution.integrated_gradients(whole, x, array(BASELINE))
    np.testing.assert_allclose(single.sum(0), want, atol=1e-5)
    mask = np.array([True, False, True, False, False, True])
    some = jax.grad(attribution.through(before, after, mask))(x)
    np.testing.assert_allclose(some, slopes[mask].sum(0), atol=1e-5)


def test_what_leads_around_the_layer_is_held():
    """A skip connection is part of ``after``; conductance leaves its share out."""
    skip = lambda h, x: after(h, x) + f(x)  # noqa: E731
    x, b = array(X), array(BASELINE)
    got = attribution.conductance(before, skip, x, b)
    np.testing.assert_allclose(got, attribution.conductance(before, after, x, b), atol=1e-6)
    around = jax.grad(attribution.through(before, skip, slice(0, 0)))(x)
    assert (around == 0).all()
