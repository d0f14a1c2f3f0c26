"""Hedge back-propagation against a loop in NumPy, and its weights' bounds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn import train
from jaxnn.train import online

CLASSES, RATE, DISCOUNT, FLOOR = 3, 0.1, 0.7, 0.3
cross_entropy = optax.softmax_cross_entropy_with_integer_labels
RANDOM = np.random.default_rng(0)
XS = jnp.asarray(RANDOM.normal(size=(6, 2, 4)), jnp.float32)
YS = jnp.asarray(RANDOM.integers(0, CLASSES, (6, 2)))


def right(logits, y):
    return (logits.argmax(-1) == y).astype(jnp.float32)


@functools.cache
def setting():
    layers = [nn.Sequential([nn.Dense(n), nn.tanh]) for n in (5, 4, 3)]
    network = online.HedgedNetwork(layers, CLASSES)
    state = train.create_state(network, optax.sgd(RATE), XS[0], key=jax.random.key(0))
    step = online.make_hedge_step(
        cross_entropy, metrics={"right": right}, discount=DISCOUNT, floor=FLOOR, donate=False
    )
    return network, state, step


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def array(leaf):
    return np.asarray(leaf, np.float64)


def by_hand(params, xs, ys):
    """The paper's algorithm, each layer's gradient a sum over the classifiers above it."""
    w = [array(params[f"layers_{i}"]["layers_0"]["kernel"]) for i in range(3)]
    theta = [array(params[f"classifiers_{i}"]["kernel"]) for i in range(3)]
    b, c = [np.zeros(k.shape[1]) for k in w], [np.zeros(CLASSES) for _ in w]
    alpha, losses, hits, depths = np.full(3, 1 / 3), [], [], []
    for x, y in zip(np.asarray(xs, float), np.asarray(ys), strict=True):
        h = [x]
        for k, bias in zip(w, b, strict=True):
            h.append(np.tanh(h[-1] @ k + bias))
        f = [softmax(h[i + 1] @ theta[i] + c[i]) for i in range(3)]
        mix = sum(a * p for a, p in zip(alpha, f, strict=True))
        rows = np.arange(len(y))
        losses.append(-np.log(mix[rows, y]).mean())
        hits.append((mix.argmax(-1) == y).mean())
        depths.append(alpha @ [1, 2, 3])
        errors = [(p - np.eye(CLASSES)[y]) / len(y) for p in f]
        dw, db = [np.zeros_like(k) for k in w], [np.zeros_like(k) for k in b]
        for j in range(3):
            back = alpha[j] * errors[j] @ theta[j].T
            for i in range(j, -1, -1):
                slope = back * (1 - h[i + 1] ** 2)
                dw[i] += h[i].T @ slope
                db[i] += slope.sum(0)
                back = slope @ w[i].T
        for i in range(3):
            theta[i] -= RATE * alpha[i] * h[i + 1].T @ errors[i]
            c[i] -= RATE * alpha[i] * errors[i].sum(0)
            w[i] -= RATE * dw[i]
            b[i] -= RATE * db[i]
        each = np.array([-np.log(p[rows, y]).mean() for p in f])
        alpha = np.maximum(alpha * DISCOUNT**each, FLOOR / 3)
        alpha = alpha / alpha.sum()
    return w, theta, alpha, losses, hits, depths


def test_a_stream_in_numpy():
    network, state, step = setting()
    end, metrics = jax.jit(lambda s: jax.lax.scan(step, s, (XS, YS)))(state)
    w, theta, alpha, losses, hits, depths = by_hand(state.params, XS, YS)
    for i in range(3):
        layer, classifier = end.params[f"layers_{i}"], end.params[f"classifiers_{i}"]
        np.testing.assert_allclose(layer["layers_0"]["kernel"], w[i], atol=1e-5)
        np.testing.assert_allclose(classifier["kernel"], theta[i], atol=1e-5)
    np.testing.assert_allclose(end.collections["hedge"]["weights"], alpha, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], losses, rtol=1e-5)
    np.testing.assert_allclose(metrics["right"], hits)
    np.testing.assert_allclose(metrics["depth"], depths, rtol=1e-5)
    assert abs(alpha[0] - alpha[2]) > 1e-3
    # The network itself gives the mixture, and with parameters alone a uniform one.
    values = cross_entropy(network.apply(state.variables, XS[0]), YS[0])
    np.testing.assert_allclose(values.mean(), losses[0], rtol=1e-5)
    alone = network.apply({"params": end.params}, XS[0])
    scores = network.apply({"params": end.params}, XS[0], method="scores")
    np.testing.assert_allclose(jnp.exp(alone), jax.nn.softmax(scores).mean(0), rtol=1e-5)


def test_one_classifier_without_discount_is_plain_descent():
    _, state, _ = setting()
    weights = jnp.array([0.0, 1.0, 0.0])
    state = state.replace(collections={"hedge": {"weights": weights}})
    step = online.make_hedge_step(cross_entropy, discount=1.0, floor=0.0, donate=False)
    end, _ = step(state, (XS[0], YS[0]))
    np.testing.assert_array_equal(end.collections["hedge"]["weights"], weights)
    for name in ("layers_2", "classifiers_0", "classifiers_2"):
        jax.tree.map(np.testing.assert_array_equal, end.params[name], state.params[name])
    assert not np.array_equal(
        end.params["layers_0"]["layers_0"]["kernel"],
        state.params["layers_0"]["layers_0"]["kernel"],
    )


def test_weights_have_a_floor_and_recover():
    weights, least = jnp.full(4, 0.25), 0.2 / 4 / 1.2
    losses = jnp.array([0.0, 5.0, 5.0, 1e4])
    for _ in range(60):
        weights = online.hedge_weights(weights, losses, discount=0.5)
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
        assert float(weights.min()) >= least * (1 - 1e-6)
    assert float(weights[0]) > 0.8
    for _ in range(20):
        weights = online.hedge_weights(weights, losses[::-1], discount=0.5)
    assert int(weights.argmax()) == 3
    gone = online.hedge_weights(jnp.full(2, 0.5), jnp.full(2, 1e9), discount=0.5, floor=0.0)
    np.testing.assert_allclose(gone, [0.5, 0.5])


def test_bfloat16_weights_stay():
    weights = online.hedge_weights(jnp.full(4, 0.25, jnp.bfloat16), jnp.ones(4, jnp.bfloat16))
    assert weights.dtype == jnp.bfloat16


def test_errors_name_the_argument():
    _, state, step = setting()
    with pytest.raises(ValueError, match=r"hedge_weights: `losses`.*\(3,\).*needs shape \(2,\)"):
        online.hedge_weights(jnp.ones(2), jnp.ones(3))
    with pytest.raises(ValueError, match="`discount` is 0"):
        online.hedge_weights(jnp.ones(2), jnp.ones(2), discount=0)
    with pytest.raises(ValueError, match="make_hedge_step: `floor` is 2"):
        online.make_hedge_step(cross_entropy, floor=2)
    with pytest.raises(ValueError, match=r"make_hedge_step: `metrics`.*other than"):
        online.make_hedge_step(cross_entropy, metrics={"depth": right})
    with pytest.raises(ValueError, match="make_hedge_step: `state`"):
        step(state.replace(collections={}), (XS[0], YS[0]))
