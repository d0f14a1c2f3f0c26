import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import activations, attribution
from tests.analysis.attribution import convolutional as cnn


def test_equals_the_layer_written_out():
    """The layer is the last convolution before its ReLU; its gradient is NumPy's."""
    params, x = cnn.weights(), cnn.image()
    model, variables = cnn.Network(), {"params": jax.tree.map(jnp.asarray, params)}
    before, after = activations.cut(model, variables, "Conv_1")
    value = jnp.asarray(before(jnp.asarray(x)[None]))[0]
    f = lambda h: jnp.asarray(after(h[None], jnp.asarray(x)[None]))[0, 1]  # noqa: E731
    _, outputs = cnn.forward(params, x)
    hidden = outputs["Dense_0"] > 0
    inner = params["Dense_0"]["kernel"] * hidden[None]
    slope = (inner @ params["Dense_1"]["kernel"][:, 1]).reshape(2, 2, 4)
    slope *= outputs["Conv_1"] > 0
    want = (outputs["Conv_1"] * slope.mean((0, 1))).sum(-1)
    got = attribution.grad_cam(f, value, rectify=False)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert (want < -1e-3).any()
    np.testing.assert_allclose(attribution.grad_cam(f, value), np.maximum(want, 0), atol=1e-5)


def test_guided_map_is_scaled_by_the_enlarged_one():
    cam = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    guided = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 2)), jnp.float32)
    got = attribution.guided_grad_cam(cam, guided, method="nearest")
    large = np.repeat(np.repeat(cam, 2, 0), 3, 1)
    np.testing.assert_allclose(got, large[:, :, None] * guided, atol=1e-6)
    # Linear: constant beyond the outer middles, 0.5 is the first; 1.25 lies a quarter in.
    got = attribution.guided_grad_cam(jnp.array([0.0, 4.0]), jnp.ones(4))
    np.testing.assert_allclose(got, [0, 1, 3, 4], atol=1e-6)
    with pytest.raises(ValueError, match=r"guided_grad_cam: `guided` .* needs the 2 axes of `cam`"):
        attribution.guided_grad_cam(cam, jnp.ones(4))
