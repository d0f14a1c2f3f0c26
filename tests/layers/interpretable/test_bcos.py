import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.analysis import attribution
from jaxnn.layers import interpretable
from jaxnn.models import MLP

RNG = np.random.default_rng(0)


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def unit(x, w, power, normalize=True):
    """One unit, from the paper: length, cosine, sign."""
    cosine = x @ w / (np.linalg.norm(x) * np.linalg.norm(w))
    size = np.linalg.norm(x) * (1 if normalize else np.linalg.norm(w))
    return size * np.abs(cosine) ** power * np.sign(cosine)


@pytest.mark.parametrize(("power", "normalize"), [(1.0, True), (1.5, True), (2.0, False)])
def test_equals_length_times_a_power_of_the_cosine(power, normalize):
    x, kernel, bias = draw(4, 3), draw(3, 6), draw(6)
    want = [[unit(row, w, power, normalize) for w in kernel.T] for row in x]
    options = {"power": power, "normalize": normalize}
    got = interpretable.bcos(x, kernel, **options)
    np.testing.assert_allclose(got, want, atol=1e-5)
    pieces = interpretable.bcos(x, kernel, bias, pieces=2, **options)
    best = np.reshape(want + np.asarray(bias), (4, 3, 2)).max(-1)
    np.testing.assert_allclose(pieces, best, atol=1e-5)


def test_a_convolution_is_the_unit_on_every_patch():
    x, kernel = draw(2, 5, 4, 3), draw(3, 2, 3, 4)
    conv = interpretable.BcosConv(2, (3, 2), strides=(2, 1), padding="VALID", pieces=2)
    got = jax.jit(conv.apply)({"params": {"kernel": kernel}}, x)
    flat = kernel.reshape(-1, 4)
    for n, i, j in np.ndindex(2, 2, 3):
        patch = x[n, 2 * i : 2 * i + 3, j : j + 2].ravel()
        values = np.reshape([unit(patch, w, 2) for w in flat.T], (2, 2)).max(-1)
        np.testing.assert_allclose(got[n, i, j], values, atol=1e-5)


def test_power_one_is_a_dense_layer_of_unit_weights():
    x, kernel = draw(4, 3), draw(3, 2)
    dense = nn.Dense(2, use_bias=False)
    lengths = jnp.linalg.norm(kernel, axis=0, keepdims=True)
    want = dense.apply({"params": {"kernel": kernel / lengths}}, x)
    np.testing.assert_allclose(interpretable.bcos(x, kernel, power=1.0), want, rtol=1e-5)


def test_slopes_are_finite_at_zero_input_weights_and_cosine():
    x, kernel = jnp.array([[0.0, 0.0], [1.0, 0.0]]), jnp.array([[0.0, 0.0], [1.0, 0.0]])
    f = lambda x, w: interpretable.bcos(x, w, power=1.5).sum()  # noqa: E731
    slopes = jax.jit(jax.grad(f, (0, 1)))(x, kernel)
    assert all(np.isfinite(slope).all() for slope in slopes)


class Network(nn.Module):
    """A small network of either kind: a convolution, a ReLU, a pool and a dense layer."""

    conv: object
    dense: object

    @nn.compact
    def __call__(self, x):
        x = nn.relu(self.conv(3, (2, 2), name="conv")(x))
        return self.dense(2, name="dense")(x.mean((1, 2)))


def test_the_twin_without_power_is_the_network():
    """All weights and what the encoding takes up are in their places."""
    x, options = (
        jnp.asarray(RNG.uniform(size=(2, 4, 4, 3)), jnp.float32),
        {"normalize": False, "use_bias": True},
    )

    def conv(kind, **options):  # beyond the edges the encoding is 0, not 1 - 0: stay inside
        return lambda *args, **names: kind(*args, padding="VALID", **options, **names)

    def dense(*args, **names):
        return interpretable.BcosDense(*args, power=1.0, **options, **names)

    network = Network(conv(nn.Conv), nn.Dense)
    params = jax.jit(network.init)(jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda leaf: leaf + draw(*leaf.shape), params)
    twin = Network(conv(interpretable.BcosConv, power=1.0, **options), dense)
    new = interpretable.bcosify(params, "conv", keep_bias=True)
    got = twin.apply({"params": new}, interpretable.complement_encoding(x))
    np.testing.assert_allclose(got, network.apply({"params": params}, x), atol=1e-5)
    assert "bias" not in interpretable.bcosify(params, "conv")["dense"]


def test_channels_of_a_flattened_image_keep_together():
    x = jnp.asarray(RNG.uniform(size=(2, 2, 3, 2)), jnp.float32)
    params = {"dense_0": {"kernel": draw(12, 4), "bias": draw(4)}}
    new = interpretable.bcosify(params, "dense_0", channels=2, keep_bias=True)["dense_0"]
    encoded = interpretable.complement_encoding(x)
    values = []
    for rows, layer in ((x, params["dense_0"]), (encoded, new)):
        rows = np.asarray(rows).reshape(2, -1)
        values.append(rows @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]))
    np.testing.assert_allclose(*values, atol=1e-5)


def test_contributions_are_complete_and_are_products_of_scaled_weights():
    def dense(*args, **names):
        return interpretable.BcosDense(*args, pieces=2, **names)

    model = MLP(features=(5, 3), activation=jax.nn.relu, dense=dense)
    x = draw(2, 4)
    params = jax.jit(model.init)(jax.random.key(0), x)["params"]
    f = jax.jit(lambda x: model.apply({"params": params}, x[None])[0, 1])
    weights = jax.jit(jax.vmap(lambda x: attribution.dynamic_weights(f, x)))(x)
    np.testing.assert_allclose((weights * x).sum(1), jax.vmap(f)(x), rtol=1e-5)
    for row, got in zip(np.asarray(x), weights, strict=True):
        matrix, h = np.eye(4), row
        for name in ("dense_0", "dense_1"):
            kernel = np.asarray(params[name]["kernel"])
            kernel = kernel / np.linalg.norm(kernel, axis=0)
            scaled = kernel * np.abs(h @ kernel / np.linalg.norm(h))
            best = (h @ scaled).reshape(-1, 2).argmax(1) + 2 * np.arange(scaled.shape[1] // 2)
            step = scaled[:, best]
            if name == "dense_0":
                step = step * (h @ step > 0)
            matrix, h = matrix @ step, h @ step
        np.testing.assert_allclose(got, matrix[:, 1], atol=1e-5)
    slope = jax.vmap(jax.grad(f))(x)
    assert np.abs(slope - weights).max() > 0.05  # the scales do change
