import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jaxnn.analysis import attribution

X = jnp.array([0.4, 0.5, -0.3])


def test_equals_the_gradient_with_scales_held():
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)

    def network(x, hold):
        h = jax.jit(lambda x: hold(jnp.tanh(x.sum())) * jax.nn.relu(x @ weights))(x)
        return (hold(jax.nn.softmax(h)) * h).max()

    f = lambda x: network(x, lambda s: checkpoint_name(s, "dynamic"))  # noqa: E731
    held = lambda x: network(x, jax.lax.stop_gradient)  # noqa: E731
    got = jax.jit(lambda x: attribution.dynamic_weights(f, x))(X)
    np.testing.assert_allclose(got, jax.grad(held)(X), atol=1e-6)
    np.testing.assert_allclose((got * X).sum(), f(X), rtol=1e-5)
    assert np.abs(got - jax.grad(f)(X)).max() > 1e-2


def test_is_the_gradient_without_marks_and_under_other_names():
    f = lambda x: (checkpoint_name(jnp.tanh(x), "other") * x).sum()  # noqa: E731
    np.testing.assert_allclose(attribution.dynamic_weights(f, X), jax.grad(f)(X), rtol=1e-6)


def test_refuses_a_mark_in_a_loop():
    def f(x):
        step = lambda c, _: (checkpoint_name(c, "dynamic") * c, None)  # noqa: E731
        return jax.lax.scan(step, x, None, length=2)[0].sum()

    with pytest.raises(ValueError, match="dynamic_weights: `f` is 'scan'; it needs its marks"):
        attribution.dynamic_weights(f, X)
