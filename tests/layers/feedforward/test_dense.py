import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import feedforward


def test_equals_numpy_on_any_leading_axes(key):
    x, kernel = jax.random.normal(key, (2, 5, 3)), jax.random.normal(key, (3, 4))
    bias = jnp.arange(4.0)
    want = np.einsum("btf,fg->btg", np.asarray(x), np.asarray(kernel)) + np.asarray(bias)
    np.testing.assert_allclose(feedforward.dense(x, kernel, bias), want, atol=1e-5)
    np.testing.assert_allclose(feedforward.dense(x[0, 0], kernel, bias), want[0, 0], atol=1e-5)
    assert feedforward.dense(x[:0], kernel).shape == (0, 5, 4)


def test_loads_the_parameters_of_flax_dense(key):
    x = jax.random.normal(key, (2, 5, 3))
    theirs, ours = nn.Dense(4), feedforward.Dense(4)
    variables = theirs.init(key, x)
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-6)
    same = jax.tree.map(lambda a, b: a.shape == b.shape, variables, ours.init(key, x))
    assert all(jax.tree.leaves(same))


def test_kernel_gradient_is_a_plain_product(key):
    """No operand of the gradient's products has more than two axes."""
    x, kernel = jax.random.normal(key, (8, 16, 3)), jax.random.normal(key, (3, 4))
    gradient = jax.grad(lambda k: jnp.sum(jnp.sin(feedforward.dense(x, k))))
    products = [e for e in jax.make_jaxpr(gradient)(kernel).eqns if "dot" in e.primitive.name]
    assert products
    assert all(operand.aval.ndim == 2 for e in products for operand in e.invars)


def test_bfloat16_sums_are_kept_in_float32():
    """4,096 ones: a running bfloat16 sum would stop growing at 256."""
    ones = jnp.ones((1, 4096), jnp.bfloat16)
    assert feedforward.dense(ones, ones.T).item() == 4096
