import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.analysis import attribution
from tests.analysis.attribution import convolutional as cnn

UP, DOWN = lambda w: np.maximum(w, 0), lambda w: np.minimum(w, 0)


def divide(terms, r, bias=0.0, epsilon=1e-9):
    """The one formula: contributions (x, w), over their sum with the bias."""
    z = sum(x @ w for x, w in terms) + bias
    ratio = r / (z + np.where(z < 0, -epsilon, epsilon))
    return sum(x * (ratio @ w.T) for x, w in terms)


# Each rule written out on rows (..., inputs), a matrix (inputs, outputs) and a bias.
RULES = {
    "epsilon": (
        attribution.EpsilonRule(0.05),
        lambda x, w, b, r: divide([(x, w)], r, b, 0.05),
    ),
    "gamma": (
        attribution.GammaRule(0.3),
        lambda x, w, b, r: divide([(x, w + 0.3 * UP(w))], r, b),
    ),
    "z plus": (
        attribution.ZPlusRule(),
        lambda x, w, b, r: divide([(UP(x), UP(w)), (DOWN(x), DOWN(w))], r, UP(b)),
    ),
    "alpha beta": (
        attribution.AlphaBetaRule(2.0, 1.0),
        lambda x, w, b, r: (
            2 * divide([(UP(x), UP(w)), (DOWN(x), DOWN(w))], r, UP(b))
            - divide([(UP(x), DOWN(w)), (DOWN(x), UP(w))], r, DOWN(b))
        ),
    ),
    "z box": (
        attribution.ZBoxRule(-0.5, 1.5),
        lambda x, w, b, r: divide(
            [(x, w), (0 * x - 0.5, -UP(w)), (0 * x + 1.5, -DOWN(w))],
            r,
        ),
    ),
    "w square": (attribution.WSquareRule(), lambda x, w, b, r: divide([(0 * x + 1, w**2)], r)),
    "flat": (attribution.FlatRule(), lambda x, w, b, r: divide([(0 * x + 1, 0 * w + 1)], r)),
}


def loop(params, x, name, first=None):
    """Relevance on the convolutional network by one rule, or another for the first layer."""

    def layer(layer_name, rows, matrix, z, r):
        rule = RULES[first if first and layer_name == "Conv_0" else name][1]
        bias = np.float64(params[layer_name].get("bias", 0.0))
        return rule(rows, matrix, bias, r)

    value = cnn.forward(params, np.float64(x))[1]["Dense_1"] * np.eye(3)[1]
    return cnn.backward(params, x, lambda z, r: r, layer, value)


@pytest.mark.parametrize("name", RULES)
def test_rules_equal_a_numpy_loop_over_layers(name):
    params, x = cnn.weights(), cnn.image() - 0.4
    table = [("", RULES[name][0])]
    f = cnn.score(params)
    got = jax.jit(lambda x: attribution.layerwise_relevance(f, x, table))(jnp.asarray(x))
    want = loop(params, x, name)
    np.testing.assert_allclose(got, want, atol=2e-5 * max(1, np.abs(want).max()))


def test_the_first_rule_that_fits_decides():
    params, x = cnn.weights(), cnn.image()
    table = [("Conv_0$", RULES["z box"][0]), ("", RULES["gamma"][0]), ("", RULES["flat"][0])]
    got = attribution.layerwise_relevance(cnn.score(params), jnp.asarray(x), table)
    np.testing.assert_allclose(got, loop(params, x, "gamma", "z box"), atol=1e-5)


def test_conservation_without_biases():
    params, x = cnn.weights(use_bias=False), jnp.asarray(cnn.image())
    f = cnn.score(params)
    assert abs(f(x)) > 0.02
    for first in ("z plus", "z box", "w square", "flat", "alpha beta"):
        table = [("Conv_0", RULES[first][0]), *attribution.EPSILON_PLUS]
        run = jax.jit(lambda x, table=table: attribution.layerwise_relevance(f, x, table))
        np.testing.assert_allclose(run(x).sum(), f(x), rtol=1e-4)


def test_is_input_times_gradient_with_relus_and_no_biases():
    params, x = cnn.weights(use_bias=False), jnp.asarray(cnn.image())
    f = cnn.score(params)
    got = attribution.layerwise_relevance(f, x, epsilon=1e-9)
    want = attribution.input_x_gradient(f, x)
    np.testing.assert_allclose(got, want, atol=1e-5 * float(jnp.abs(want).max()))


def test_no_module_is_needed():
    """Sums in proportion, elementwise functions whole, products halved, by hand."""
    x = jnp.array([1.0, 2.0, -4.0])
    at = lambda f: attribution.layerwise_relevance(f, x, epsilon=1e-9).tolist()  # noqa: E731
    gelu = float(jax.nn.gelu(jnp.asarray(3.0)))
    np.testing.assert_allclose(at(lambda x: jax.nn.gelu(x[0] + x[1])), [gelu / 3, gelu * 2 / 3, 0])
    np.testing.assert_allclose(at(lambda x: x[0] * x[1] + x[2]), [1.0, 1.0, -4.0])
    np.testing.assert_allclose(at(lambda x: x[1] / x[0]), [0.0, 2.0, 0.0])
    np.testing.assert_allclose(
        at(lambda x: jax.nn.softplus(x).max()), [0, float(np.logaddexp(0, 2)), 0], rtol=1e-6
    )
    np.testing.assert_allclose(at(lambda x: jnp.mean(x)), x / 3, rtol=1e-6)


def test_attention_and_normalisation_keep_relevance():
    """Equal to input times gradient with softmax and deviations detached, and conserved."""
    rng = np.random.default_rng(0)
    w = [jnp.asarray(rng.normal(size=(4, 4)), jnp.float32) for _ in range(3)]
    x = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)

    norm = nn.LayerNorm(use_bias=False, epsilon=1e-6)

    def block(x, detach=None):
        if detach is None:
            detach = lambda x: x  # noqa: E731
            h = jnp.asarray(norm.apply({"params": {"scale": jnp.ones(4)}}, x))
        else:
            deviation = detach(jnp.sqrt(jnp.var(x, -1, keepdims=True) + 1e-6))
            h = (x - x.mean(-1, keepdims=True)) / deviation
        weights = detach(jax.nn.softmax(h @ w[0] @ (h @ w[1]).T))
        return jnp.sum(jnp.sin(jnp.arange(12.0)).reshape(3, 4) * (x + weights @ (h @ w[2])))

    got = attribution.layerwise_relevance(block, x, epsilon=1e-9)
    want = x * jax.grad(lambda x: block(x, jax.lax.stop_gradient))(x)
    np.testing.assert_allclose(got, want, atol=2e-4)
    np.testing.assert_allclose(got.sum(), block(x), atol=2e-4)


def test_sensitivity_and_simple_taylor():
    x, root = jnp.array([3.0, 1.0]), jnp.array([1.0, 1.0])
    f = lambda x: x[0] ** 2 * x[1]  # noqa: E731
    np.testing.assert_allclose(attribution.sensitivity(f, x), [36.0, 81.0])
    np.testing.assert_allclose(attribution.simple_taylor(f, x, root), [4.0, 0.0])
    np.testing.assert_allclose(attribution.simple_taylor(f, x, 2.0), [8.0, -4.0])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["EpsilonRule", "GammaRule", "Alpha1_Beta0_Rule", "IdentityRule"])
def test_parity_with_captum(name):
    captum = pytest.importorskip("captum.attr")
    import torch
    from captum.attr._utils import lrp_rules

    x = cnn.image()
    if name == "IdentityRule":  # of a square layer
        w = np.random.default_rng(0).normal(size=(2, 5, 5)).astype(np.float32)
        layers = [torch.nn.Linear(5, 5, bias=False) for _ in w]
        for layer, kernel in zip(layers, w, strict=True):
            layer.weight.data = torch.tensor(kernel.T.copy())
        layers[0].__dict__["rule"] = lrp_rules.IdentityRule()
        layers[1].__dict__["rule"] = lrp_rules.EpsilonRule()
        model = nn.Sequential([nn.Dense(5, use_bias=False), nn.relu, nn.Dense(5, use_bias=False)])
        variables = {"params": {f"layers_{2 * i}": {"kernel": k} for i, k in enumerate(w)}}
        f = lambda x: jnp.asarray(model.apply(variables, x))[1]  # noqa: E731
        network, inputs = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1]), x[0, :5, 0]
        table = [("layers_0", attribution.IdentityRule()), ("", attribution.EpsilonRule(1e-9))]
        given = torch.tensor(inputs)[None]
    else:
        mine = {
            "EpsilonRule": attribution.EpsilonRule(1e-2),
            "GammaRule": attribution.GammaRule(0.25),
            "Alpha1_Beta0_Rule": attribution.ZPlusRule(),
        }[name]
        # captum clips weights, not the bias: with none both say the same.
        params = cnn.weights(use_bias=name != "Alpha1_Beta0_Rule")
        f, network, inputs = cnn.score(params), cnn.torch_network(params), x
        options = (1e-2,) if name == "EpsilonRule" else ()
        for layer in network:
            if hasattr(layer, "weight"):
                layer.__dict__["rule"] = getattr(lrp_rules, name)(*options)
            if isinstance(layer, torch.nn.Flatten):
                layer.__dict__["rule"] = lrp_rules.EpsilonRule()
        table, given = [("", mine)], cnn.to_torch(x)
    got = attribution.layerwise_relevance(f, jnp.asarray(inputs), table)
    want = captum.LRP(network).attribute(given, target=1).detach().numpy()
    np.testing.assert_allclose(np.ravel(got), np.ravel(want), atol=1e-5)
