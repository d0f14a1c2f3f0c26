import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.analysis import attribution
from tests.analysis.attribution import convolutional as cnn

METHODS = {
    "deconvolution": lambda z, r: np.maximum(r, 0),
    "guided_backpropagation": lambda z, r: np.maximum(r, 0) * (z > 0),
}


@pytest.mark.parametrize("name", METHODS)
def test_equals_a_numpy_loop_over_layers(name):
    params, x = cnn.weights(), cnn.image()
    got = jax.jit(lambda x: getattr(attribution, name)(cnn.score(params), x))(jnp.asarray(x))
    transposed = lambda name, rows, matrix, z, r: r @ matrix.T  # noqa: E731
    want = cnn.backward(params, x, METHODS[name], transposed, np.eye(3)[1])
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert np.abs(want - jax.grad(cnn.score(params))(x)).max() > 1e-2


@pytest.mark.parametrize("name", METHODS)
def test_is_the_gradient_where_there_is_no_relu(name):
    """Normalisations, loops and derivatives of one's own are not touched."""

    @jax.custom_vjp
    def scaled(x):
        return jnp.sin(x)

    scaled.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (3 * x * g,))
    model = nn.Sequential([nn.Dense(4), nn.LayerNorm(), nn.gelu, nn.remat(nn.Dense)(3)])
    x = jnp.array([0.4, -1.0, 2.0])
    variables = model.init(jax.random.key(0), x)

    def f(x):
        y = jax.checkpoint(scaled)(jax.jit(model.apply)(variables, x))
        step = lambda c, _: (jnp.tanh(c * y), None)  # noqa: E731
        return jnp.sum(jax.lax.scan(step, y, None, length=2)[0] * jax.lax.stop_gradient(x))

    got = jax.jit(lambda x: getattr(attribution, name)(f, x))(x)
    np.testing.assert_allclose(got, jax.jit(jax.grad(f))(x), rtol=1e-5)


def test_a_relu_is_found_however_it_is_written():
    @jax.custom_jvp
    def own(x):
        return jnp.maximum(x, 0)

    own.defjvp(lambda primals, tangents: (own(*primals), 100 * tangents[0]))
    relus = (
        jax.nn.relu,
        lambda x: jnp.maximum(x, 0),
        lambda x: jnp.maximum(x, jnp.zeros_like(x)),
        lambda x: jax.checkpoint(jax.jit(jax.nn.relu))(x),
        own,
    )
    last = jnp.array([2.0, -3.0])
    for relu in relus:
        got = attribution.deconvolution(lambda x, relu=relu: relu(x) @ last, -jnp.ones(2))
        np.testing.assert_array_equal(got, [2.0, 0.0])


@pytest.mark.usefixtures("unchecked")
def test_a_relu_within_a_loop_is_refused():
    f = lambda x: jax.lax.scan(lambda c, _: (jax.nn.relu(c), None), x, None, length=2)[0]  # noqa: E731
    with pytest.raises(
        ValueError, match="deconvolution: `f` is 'scan'; it needs its ReLUs outside"
    ):
        attribution.deconvolution(f, jnp.asarray(1.0))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("deconvolution", "Deconvolution"), ("guided_backpropagation", "GuidedBackprop")],
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_parity_with_captum(name, theirs):
    captum = pytest.importorskip("captum.attr")
    params, x = cnn.weights(), cnn.image()
    got = getattr(attribution, name)(cnn.score(params), jnp.asarray(x))
    method = getattr(captum, theirs)(cnn.torch_network(params))
    want = method.attribute(cnn.to_torch(x).requires_grad_(), target=1)
    np.testing.assert_allclose(got[..., 0], want.detach().numpy()[0, 0], atol=1e-6)
