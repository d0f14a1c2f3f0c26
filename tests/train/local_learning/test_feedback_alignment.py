"""Direct feedback alignment against gradients by hand, and against back-propagation."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn import models, train
from jaxnn.layers.feedforward import Dense
from jaxnn.train import local_learning
from jaxnn.train.local_learning import DirectFeedback

SIZES = (5, 6, 4, 3)


def draw(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def network(weights, x, feedback, activation):
    h, relay = x, jnp.zeros((len(x), SIZES[-1]))
    for w, b in zip(weights[:-1], feedback, strict=True):
        h, relay = local_learning.direct_feedback(activation(h @ w), relay, b)
    return h @ weights[-1] + relay


def setting():
    weights = [draw((a, b), i) / a**0.5 for i, (a, b) in enumerate(itertools.pairwise(SIZES))]
    feedback = [draw((SIZES[-1], n), 10 + n) for n in SIZES[1:-1]]
    return weights, feedback, draw((7, SIZES[0]), 20), draw((7, SIZES[-1]), 21)


def test_gradients_are_those_of_the_paper():
    weights, feedback, x, y = setting()

    @jax.jit
    def gradient(weights, feedback):
        def loss(weights):
            return jnp.sum((network(weights, x, feedback, jnp.tanh) - y) ** 2) / 2

        return jax.grad(loss)(weights)

    found = gradient(weights, feedback)
    w1, w2, w3 = (np.asarray(w, float) for w in weights)
    b1, b2 = (np.asarray(b, float) for b in feedback)
    h1 = np.tanh(x @ w1)
    h2 = np.tanh(h1 @ w2)
    e = h2 @ w3 - y
    expected = x.T @ (e @ b1 * (1 - h1**2)), h1.T @ (e @ b2 * (1 - h2**2)), h2.T @ e
    for gradient, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-4)


def test_transposed_weights_of_a_linear_network_give_back_propagation():
    weights, _, x, y = setting()
    feedback = [(weights[1] @ weights[2]).T, weights[2].T]

    def loss(weights, feedback):
        if feedback is None:
            out = functools.reduce(jnp.matmul, weights, x)
        else:
            out = network(weights, x, feedback, lambda h: h)
        return jnp.mean((out - y) ** 2)

    direct, exact = (jax.jit(jax.grad(loss))(weights, b) for b in (feedback, None))
    for found, wanted in zip(direct, exact, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def mlp():
    return models.MLP(features=SIZES[1:], activation=jnp.tanh)


def hidden(module):
    return isinstance(module, Dense) and module.name != "dense_2"


def test_module_teaches_the_blocks_of_a_model():
    _, _, x, y = setting()
    model = DirectFeedback(mlp(), blocks=hidden)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    matrix = variables["feedback"]["matrix"]
    assert matrix.shape == (3, 6)

    @jax.jit
    def gradients(params):
        def loss(params, apply):
            return jnp.mean((apply(params) - y) ** 2)

        def by_hand(params):
            h, relay = x, jnp.zeros((len(x), 3))
            for i in range(2):
                layer = params["model"][f"dense_{i}"]
                h = h @ layer["kernel"] + layer["bias"][None]
                b = matrix[:, : h.shape[-1]] / h.shape[-1] ** 0.5
                h, relay = local_learning.direct_feedback(h, relay, b)
                h = jnp.tanh(h)
            layer = params["model"]["dense_2"]
            return h @ layer["kernel"] + layer["bias"][None] + relay

        def taught(params):
            return model.apply({**variables, "params": params}, x)

        def plain(params):
            return model.apply({"params": params}, x)

        outputs = taught(params), plain(params)
        return outputs, [jax.grad(loss)(params, f)["model"] for f in (taught, by_hand, plain)]

    outputs, (found, expected, exact) = gradients(variables["params"])
    np.testing.assert_array_equal(*outputs)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected
    )
    cosines = local_learning.alignment(found, exact)
    # The readout's gradient is the true one, the hidden layers' are not.
    np.testing.assert_allclose(cosines["dense_2"]["kernel"], 1, rtol=1e-5)
    assert all(abs(float(cosines[f"dense_{i}"]["kernel"])) < 0.95 for i in range(2))


def test_an_ordinary_step_trains_it():
    x = draw((64, SIZES[0]))
    y = jnp.argmax(x[:, :3] + x[:, 2:], axis=-1)
    model = DirectFeedback(mlp(), blocks=hidden)
    state = train.create_state(model, optax.adam(0.02), x, key=jax.random.key(0))
    matrix = np.asarray(state.collections["feedback"]["matrix"])
    step = train.make_step(optax.softmax_cross_entropy_with_integer_labels)
    state, history = train.fit(state, step, (x, y), steps=100, batch_size=32, record_every=25)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    np.testing.assert_array_equal(state.collections["feedback"]["matrix"], matrix)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + nn.tanh(nn.Dense(4, name="map")(x))


class Sequence(nn.Module):
    """A stream of vectors with two residual blocks, which may be rematerialised."""

    remat: bool = False

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(6, 4, name="tokens")(tokens)
        for i in range(2):
            run = nn.remat(Block.__call__) if self.remat else Block.__call__
            x = run(Block(name=f"blocks_{i}"), x)
        return nn.Dense(6, name="head")(x)


def test_residual_blocks_are_taught_position_by_position():
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 6, (2, 3)))
    plain = Sequence()
    model = DirectFeedback(plain, blocks=Block)
    variables = jax.jit(model.init)(jax.random.key(0), tokens)
    matrix = variables["feedback"]["matrix"]
    assert matrix.shape == (6, 4)

    def value(outputs):
        return -jnp.mean(jax.nn.log_softmax(outputs)[..., 3])

    def hidden_values(params):
        seen = plain.apply(
            {"params": params}, tokens, capture_intermediates=lambda m, _: isinstance(m, Block)
        )[1]["intermediates"]
        return [seen[f"blocks_{i}"]["__call__"][0] for i in range(2)]

    @jax.jit
    def both(params):
        found = jax.grad(lambda p: value(model.apply({**variables, "params": p}, tokens)))(params)
        params = params["model"]
        error = jax.grad(value)(plain.apply({"params": params}, tokens))
        _, back = jax.vjp(hidden_values, params)
        signal, none = error @ matrix / 2, jnp.zeros((2, 3, 4))
        return found["model"], back([signal, none])[0], back([none, signal])[0]

    found, first, second = both(variables["params"])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    # The embedding belongs to the first block; the second teaches itself alone.
    for part, wanted in {"tokens": first, "blocks_0": first, "blocks_1": second}.items():
        jax.tree.map(close, found[part], wanted[part])


def test_blocks_out_of_reach_are_refused():
    model = DirectFeedback(Sequence(remat=True), blocks=Block)
    with pytest.raises(ValueError, match=r"DirectFeedback: `blocks` .* not run by nn.scan"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 3), int))


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument():
    x = draw((2, SIZES[0]))
    with pytest.raises(ValueError, match=r"direct_feedback: `hidden` .* first axes \(3,\)"):
        local_learning.direct_feedback(x, jnp.zeros((3, 4)), jnp.zeros((4, 5)))
    with pytest.raises(ValueError, match=r"direct_feedback: `feedback` .* shape \(4, 5\)"):
        local_learning.direct_feedback(x, jnp.zeros((2, 4)), jnp.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"DirectFeedback: `blocks` .* name some module"):
        DirectFeedback(mlp(), blocks=nn.Conv).init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"alignment: `reference` .* needs shape \(2, 5\)"):
        local_learning.alignment({"w": x}, {"w": x.T})
