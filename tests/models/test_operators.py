import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.layers import operator


def filled(module, *args):
    """Make parameters of a module's shapes, without compiling its initialisers."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *args)["params"]
    random = np.random.default_rng(1)
    return jax.tree.map(lambda s: jnp.asarray(random.normal(0, 0.3, s.shape), s.dtype), shapes)


def dense(params, x):
    return np.asarray(x) @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def test_mgno_is_its_layers_in_a_chain(key):
    model = models.MgNO(3, depth=2, levels=2, axes=1, activation=jnp.tanh)
    x = jax.random.normal(key, (2, 7, 1))
    params = filled(model, x)
    layer = operator.MgConv(3, levels=2, axes=1, use_local=True, activation=jnp.tanh)
    apply = jax.jit(layer.apply)
    y = apply({"params": params["layers_0"]}, x)
    y = apply({"params": params["layers_1"]}, y)
    want = np.asarray(y) @ np.asarray(params["readout"]["kernel"])
    got = jax.jit(model.apply)({"params": params}, x)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_fno_is_its_formula(key):
    model = models.FNO(3, (2,), depth=2, projection=4, padding=0.5, activation=jnp.tanh)
    x = jax.random.normal(key, (2, 6, 1))
    params = filled(model, x)
    places = np.broadcast_to(np.arange(6)[None, :, None] / 6, (2, 6, 1))
    v = dense(params["lift"], np.concatenate([x, places], -1))
    v = np.concatenate([v, np.zeros((2, 3, 3))], 1).astype(np.float32)
    convolve = jax.jit(operator.spectral_convolution)
    for layer in (0, 1):
        spectral = np.asarray(convolve(v, **params[f"spectral_{layer}"]))
        v = spectral + dense(params[f"local_{layer}"], v)
        v = v if layer else np.tanh(v)
    want = dense(params["readout"], np.tanh(dense(params["project"], v[:, :6])))
    got = jax.jit(model.apply)({"params": params}, x)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_fno_does_not_depend_on_the_resolution(key):
    """Without a non-linearity between, of a band-limited function on a periodic domain."""
    model = models.FNO(3, (3, 3), depth=1, projection=4, use_places=False)

    def sample(n):
        t = 2 * np.pi * np.arange(n) / n
        f = np.cos(t)[:, None] + np.sin(2 * t)[None] * np.cos(t)[:, None]
        return jnp.asarray(f, jnp.float32)[None, :, :, None]

    params = filled(model, sample(6))
    coarse, fine = (jax.jit(model.apply)({"params": params}, sample(n)) for n in (6, 12))
    np.testing.assert_allclose(fine[:, ::2, ::2], coarse, atol=1e-5)


def test_deep_onet_is_its_formula(key):
    model = models.DeepONet((4,), (3, 5), basis=2, outputs=2, activation=jnp.tanh)
    x = jax.random.normal(key, (3, 4, 2))
    places = jnp.linspace(0, 1, 10).reshape(5, 2)
    params = filled(model, x, places)
    b = dense(params["branch_1"], np.tanh(dense(params["branch_0"], x.reshape(3, 8))))
    t = places
    for layer in range(3):
        t = np.tanh(dense(params[f"trunk_{layer}"], t))
    want = np.einsum("nop,qop->nqo", b.reshape(3, 2, 2), t.reshape(5, 2, 2))
    want = want + np.asarray(params["bias"])
    got = jax.jit(model.apply)({"params": params}, x, places)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_wrong_inputs_are_named(key, unchecked):
    with pytest.raises(ValueError, match=r"FNO: `x` .* needs shape \(\*batch, 2 axes of space"):
        models.FNO(2, (2, 2)).init(key, jnp.ones((4, 1)))
    with pytest.raises(ValueError, match=r"DeepONet: `places` .* needs shape \(points, axes\)"):
        models.DeepONet().init(key, jnp.ones((4, 1)), jnp.ones(3))
