import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.analysis import attribution
from tests.analysis.attribution import convolutional as cnn
from tests.analysis.attribution.networks import BASELINE, X, array, f


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "gelu", "elu", "softplus"])
def test_rescale_rule_of_one_hidden_layer(activation):
    """Multipliers written out; activations are one step, of however many operations."""
    rng = np.random.default_rng(0)
    first, last, x, baseline = (rng.normal(size=s) for s in ((4, 6), 6, 4, 4))
    h = lambda z: np.float64(getattr(jax.nn, activation)(z))  # noqa: E731
    change = h(x @ first) - h(baseline @ first)
    want = first @ (last * change / ((x - baseline) @ first)) * (x - baseline)

    def network(x):
        return getattr(jax.nn, activation)(x @ array(first)) @ array(last)

    got = attribution.deeplift(network, array(x), array(baseline))
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_is_complete_on_a_convolutional_network():
    score, x, baseline = cnn.score(cnn.weights()), 10 * cnn.image(1), cnn.image(2)
    got = jax.jit(lambda x, b: attribution.deeplift(score, x, b))(x, baseline)
    want = score(x) - score(baseline)
    assert abs(want) > 0.05
    np.testing.assert_allclose(got.sum(), want, rtol=1e-5)


def test_is_complete_on_attention():
    """Products, softmax, normalisation and GELU of values that all depend on the input."""

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.LayerNorm()(x)
            query, key, value = (nn.Dense(4)(h) for _ in range(3))
            x = x + nn.softmax(query @ key.T) @ value
            return x + nn.Dense(4)(nn.gelu(nn.Dense(8)(nn.RMSNorm()(x))))

    x, baseline = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
    model = Block()
    variables = jax.jit(model.init)(jax.random.key(0), x)
    value = lambda x: jnp.sum(jnp.sin(jnp.asarray(model.apply(variables, x))))  # noqa: E731
    got = jax.jit(lambda x: attribution.deeplift(value, x, baseline))(x)
    np.testing.assert_allclose(got.sum(), value(x) - value(baseline), atol=2e-5)


def test_products_quotients_and_maxima_by_hand():
    x, baseline = jnp.array([3.0, 5.0]), jnp.array([1.0, 2.0])
    at = lambda f, x=x, b=baseline: attribution.deeplift(f, x, b)  # noqa: E731
    # The change of x y from 2 to 15 is 2 * 3.5 for x and 3 * 2 for y.
    np.testing.assert_allclose(at(lambda x: x[0] * x[1]), [7.0, 6.0], rtol=1e-6)
    np.testing.assert_allclose(at(lambda x: x[:1] @ x[1:]), [7.0, 6.0], rtol=1e-6)
    # x / y from 1/2 to 3/5: 2 * (1/5 + 1/2) / 2, and 2 * (1/5 - 1/2).
    np.testing.assert_allclose(at(lambda x: x[0] / x[1]), [0.7, -0.6], rtol=1e-6)
    # A maximum that rises goes to the place where it is, one that falls to where it was.
    np.testing.assert_allclose(at(jnp.max), [0.0, 3.0], rtol=1e-6)
    fell = at(lambda x: jnp.maximum(x[0], x[1]), baseline, jnp.array([7.0, 3.0]))
    np.testing.assert_allclose(fell, [-5.0, 0.0], rtol=1e-6)


def test_equals_integrated_gradients_of_additive_functions():
    x, baseline = array(X), array(BASELINE)
    weights = jnp.array([1.0, -2.0, 0.5, 3.0])
    for additive in (lambda x: x @ weights + 7, lambda x: jnp.tanh(x) @ weights + x[0] ** 3):
        got = attribution.deeplift(additive, x, baseline)
        want = attribution.integrated_gradients(additive, x, baseline)
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_is_input_x_gradient_where_nothing_changes_but_little():
    x = array(X)
    got = attribution.deeplift(f, x, x - 1e-3, epsilon=1.0)
    np.testing.assert_allclose(got, 1e-3 * attribution.gradient(f, x), rtol=1e-3)


def test_shap_is_the_mean_over_baselines():
    x, baselines = array(X), jnp.stack([array(BASELINE), jnp.zeros(4), -array(BASELINE)])
    rows = [attribution.deeplift(f, x, row) for row in baselines]
    got = attribution.deeplift_shap(f, x, baselines, batch_size=2)
    np.testing.assert_allclose(got, np.mean(rows, 0), atol=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["scan", "sort"])
def test_an_operation_without_a_rule_is_named(name):
    functions = {
        "scan": lambda x: jax.lax.scan(lambda c, _: (c * x, None), x, None, length=2)[0].sum(),
        "sort": lambda x: jnp.sort(x)[0],
    }
    with pytest.raises(ValueError, match=f"deeplift: `f` is '{name}'; it needs operations that"):
        attribution.deeplift(functions[name], jnp.ones(2))


@pytest.mark.filterwarnings("ignore:Setting forward")
def test_parity_with_captum():
    captum = pytest.importorskip("captum.attr")
    params, x, baselines = cnn.weights(), cnn.image(1), np.stack([cnn.image(2), cnn.image(3)])
    # captum 0.9 is not complete where a ReLU and max pooling are neighbours; we are.
    score = cnn.score(params, relu_before_pooling=False)
    network = cnn.torch_network(params)
    del network[1]
    got = jax.jit(lambda x, b: attribution.deeplift(score, x, b))(x, baselines[0])
    want = captum.DeepLift(network).attribute(cnn.to_torch(x), cnn.to_torch(baselines[0]), target=1)
    np.testing.assert_allclose(got[..., 0], want.detach().numpy()[0, 0], atol=1e-5)
    got = jax.jit(lambda x, b: attribution.deeplift_shap(score, x, b))(x, baselines)
    want = captum.DeepLiftShap(network).attribute(
        cnn.to_torch(x), cnn.to_torch(baselines), target=1
    )
    np.testing.assert_allclose(got[..., 0], want.detach().numpy()[0, 0], atol=1e-5)
