import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import rational


def test_equals_a_loop(key):
    x, w, v, b = (
        jax.random.normal(k, shape)
        for k, shape in zip(
            jax.random.split(key, 4), [(2, 5, 3), (3, 3, 4), (2, 3, 4), (4,)], strict=True
        )
    )
    want = np.zeros((2, 5, 4))
    for j in range(4):
        for place in np.ndindex(2, 5):
            point = np.asarray(x[place], float)
            top = float(b[j]) + sum(w[k, i, j] * point[i] ** (k + 1) for k, i in np.ndindex(3, 3))
            below = sum(v[k, i, j] * point[i] ** (k + 1) for k, i in np.ndindex(2, 3))
            want[(*place, j)] = top / (1 + abs(below))
    np.testing.assert_allclose(rational.pade_layer(x, w, v, b), want, atol=2e-4)


def test_the_usual_neuron_is_a_case(key):
    """M = 1 and N = 0 with the same kernels: Flax's layers."""
    x = jax.random.normal(key, (2, 6, 5, 3))
    for ours, theirs in (
        (rational.PadeDense(4, (1, 0)), nn.Dense(4)),
        (rational.PadeConv(4, (3, 2), (2, 1), degree=(1, 0)), nn.Conv(4, (3, 2), (2, 1))),
    ):
        params = jax.jit(theirs.init)(key, x)["params"]
        kernel = params["kernel"]
        numerator = jnp.expand_dims(kernel, kernel.ndim - 2)
        got = ours.apply({"params": {"numerator": numerator, "bias": params["bias"]}}, x)
        np.testing.assert_allclose(got, theirs.apply({"params": params}, x), atol=1e-5)


def test_a_convolution_of_one_tap_is_the_layer_at_every_place(key):
    dense, conv = rational.PadeDense(4, (2, 3)), rational.PadeConv(4, (1,), degree=(2, 3))
    x = jax.random.normal(key, (2, 6, 3))
    variables = jax.jit(dense.init)(key, x)
    params = dict(variables["params"])
    taps = {name: params[name][None] for name in ("numerator", "denominator")}
    got = conv.apply({"params": {**params, **taps}}, x)
    np.testing.assert_allclose(got, dense.apply(variables, x), atol=1e-5)


def test_holds_the_pade_approximant_of_the_exponential():
    """[1/1] of exp is (1 + x/2) / (1 - x/2): with -x for the pole on the other side."""
    top, below = np.poly1d([-0.5, 1]), np.poly1d([0.5, 1])  # of exp(-x)
    x = jnp.linspace(0, 1, 20)[:, None]
    numerator = jnp.full((1, 1, 1), float(top.c[0] / below.c[1]))
    denominator = jnp.full((1, 1, 1), float(below.c[0] / below.c[1]))
    bias = jnp.array([float(top.c[1] / below.c[1])])
    got = rational.pade_layer(x, numerator, denominator, bias)
    np.testing.assert_allclose(got, top(np.asarray(x)) / below(np.asarray(x)), atol=1e-6)
    np.testing.assert_allclose(got, np.exp(-x), atol=0.04)


def test_denominators_are_never_below_one(key):
    """Outputs are no larger than their numerators, wherever the poles would be."""
    x = 10 * jax.random.normal(key, (200, 3))
    w, v = jax.random.normal(key, (2, 2, 3, 4))
    full, top = rational.pade_layer(x, w, v), rational.pade_layer(x, w)
    assert (jnp.abs(full) <= jnp.abs(top) * (1 + 1e-6)).all()
    assert (jnp.abs(full) < jnp.abs(top)).any()
