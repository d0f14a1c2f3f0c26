import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import normalization


def numpy_layer_norm(x, scale, bias, epsilon):
    rows = [(row - row.mean()) / np.sqrt(((row - row.mean()) ** 2).mean() + epsilon) for row in x]
    return np.stack(rows) * scale + bias


def test_equals_a_numpy_loop():
    rng = np.random.default_rng(0)
    x, scale, bias = 5 + 3 * rng.normal(size=(4, 7)), rng.normal(size=7), rng.normal(size=7)
    arrays = [jnp.asarray(v, jnp.float32) for v in (x, scale, bias)]
    # A large epsilon, so that leaving it out or adding it after the root would show.
    got = normalization.layer_norm(*arrays, epsilon=0.5)
    np.testing.assert_allclose(got, numpy_layer_norm(x, scale, bias, 0.5), atol=1e-5)
    plain = normalization.layer_norm(arrays[0])
    np.testing.assert_allclose(plain, numpy_layer_norm(x, 1, 0, 1e-6), atol=1e-5)


def test_equals_flax_in_values_and_gradients(key):
    x = jax.random.normal(key, (2, 3, 8)) * 2 + 1
    theirs, ours = nn.LayerNorm(use_fast_variance=False), normalization.LayerNorm()
    variables = jax.tree.map(lambda v: v + 0.3, theirs.init(key, x))

    def total(module):
        return lambda v, x: jnp.sum(jnp.sin(module.apply(v, x)))

    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-6)
    got = jax.jit(jax.grad(total(ours), (0, 1)))(variables, x)
    want = jax.jit(jax.grad(total(theirs), (0, 1)))(variables, x)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, atol=1e-5)  # 1e-6 of sums of up to eight terms


def test_forward_mode_and_second_derivatives_equal_flax(key):
    x = jax.random.normal(key, (2, 5))
    scale, bias = jnp.arange(1.0, 6.0), jnp.ones(5)
    module = nn.LayerNorm(use_fast_variance=False)
    variables = {"params": {"scale": scale, "bias": bias}}

    def ours(x):
        return jnp.sum(jnp.sin(normalization.layer_norm(x, scale, bias)))

    def theirs(x):
        return jnp.sum(jnp.sin(module.apply(variables, x)))

    want = jax.jit(jax.hessian(theirs))(x)
    scaled = 1e-5 * np.abs(want).max()
    np.testing.assert_allclose(jax.jit(jax.hessian(ours))(x), want, atol=scaled)
    tangent = jnp.ones_like(x).at[0, 1].set(-2)
    got = jax.jit(lambda x, t: jax.jvp(ours, (x,), (t,))[1])(x, tangent)
    np.testing.assert_allclose(got, jnp.vdot(jax.jit(jax.grad(theirs))(x), tangent), atol=1e-4)


def test_far_from_the_origin_the_variance_does_not_cancel():
    """At 1e4 with spread 1, E[x²] - E[x]² in float32 would lose every digit."""
    row = jnp.array([-1.0, 1.0, -1.0, 1.0])
    np.testing.assert_allclose(normalization.layer_norm(row + 1e4), row, atol=1e-3)


def test_bfloat16_statistics_are_kept_in_float32():
    """4,096 features around 1: a running bfloat16 sum would stop growing at 256."""
    x = jnp.where(jnp.arange(4096) % 2 == 0, 0.5, 1.5).astype(jnp.bfloat16)
    want = jnp.where(jnp.arange(4096) % 2 == 0, -1, 1)
    np.testing.assert_array_equal(normalization.layer_norm(x).astype(int), want)


def test_empty_batches_and_missing_parameters(key):
    assert normalization.layer_norm(jnp.ones((0, 3))).shape == (0, 3)
    bare = normalization.LayerNorm(use_scale=False, use_bias=False)
    assert not bare.init(key, jnp.ones((2, 3)))
