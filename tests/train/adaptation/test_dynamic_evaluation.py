"""Dynamic evaluation against a loop in NumPy, and at the ends of its options."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.train import adaptation

RANDOM = np.random.default_rng(0)
SEGMENTS, LENGTH, WIDTH = 5, 3, 4
X = jnp.asarray(RANDOM.normal(size=(SEGMENTS, LENGTH, WIDTH)), jnp.float32)
Y = jnp.asarray(RANDOM.normal(size=(SEGMENTS, LENGTH)), jnp.float32)
PARAMS = {"w": jnp.asarray(RANDOM.normal(size=WIDTH), jnp.float32), "b": jnp.array([0.3])}
SQUARES = {"w": jnp.array([4.0, 1.0, 0.01, 0.0]), "b": jnp.array([9.0])}


def loss(params, carry, segment):
    """A line through each segment's points; the carry counts segments and shifts the targets."""
    x, y = segment
    return jnp.mean((x @ params["w"] + params["b"] - y - carry) ** 2), carry + 0.5


def evaluate(tx):
    run = jax.jit(
        lambda params: adaptation.evaluate_dynamically(
            loss, tx, params, (X, Y), carry=jnp.zeros(())
        )
    )
    return run(PARAMS)


def gradient(theta, i, carry):
    x = np.c_[np.asarray(X[i], float), np.ones(LENGTH)]
    error = x @ theta - np.asarray(Y[i], float) - carry
    return np.mean(error**2), 2 * x.T @ error / LENGTH


def by_hand(rate, decay, roots, epsilon):
    trained = np.array([*np.asarray(PARAMS["w"], float), 0.3])
    theta, carry, values = trained, 0.0, []
    for i in range(SEGMENTS):
        value, g = gradient(theta, i, carry)
        values.append(value)
        carry += 0.5
        back = np.minimum(decay * roots / roots.mean(), 1)
        theta = theta - rate * g / (roots + epsilon) + back * (trained - theta)
    return values, theta, carry


# The largest R is 3 / 1.24, so that λ = 0.5 takes one weight the whole way back.
@pytest.mark.parametrize("decay", [0.05, 0.5])
def test_the_rule_in_numpy(decay):
    tx = adaptation.dynamic_evaluation(SQUARES, learning_rate=0.1, decay=decay, epsilon=0.2)
    values, params, carry = evaluate(tx)
    roots = np.sqrt([4.0, 1.0, 0.01, 0.0, 9.0])
    want, theta, last = by_hand(0.1, decay, roots, 0.2)
    np.testing.assert_allclose(values, want, rtol=1e-5)
    np.testing.assert_allclose(np.r_[params["w"], params["b"]], theta, rtol=1e-5, atol=1e-6)
    assert float(carry) == last


def test_plain_descent_with_one_decay():
    tx = adaptation.dynamic_evaluation(learning_rate=0.1, decay=0.2)
    values, _, _ = evaluate(tx)
    want, _, _ = by_hand(0.1, 0.2, np.ones(5), 0.0)
    np.testing.assert_allclose(values, want, rtol=1e-5)


def test_any_optimiser_is_a_rule():
    values, params, _ = evaluate(optax.sgd(0.1))
    plain, same, _ = evaluate(adaptation.dynamic_evaluation(learning_rate=0.1))
    np.testing.assert_allclose(values, plain, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), params, same)


def test_no_rate_is_static_evaluation():
    tx = adaptation.dynamic_evaluation(SQUARES, learning_rate=0.0, decay=0.3)
    values, params, _ = evaluate(tx)
    static = [gradient(np.array([*PARAMS["w"], 0.3], float), i, 0.5 * i)[0] for i in range(5)]
    np.testing.assert_allclose(values, static, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, params, PARAMS)


def test_a_full_decay_restores_the_trained_weights():
    tx = adaptation.dynamic_evaluation(
        jax.tree.map(jnp.ones_like, PARAMS), learning_rate=0.0, decay=1e9
    )
    state = tx.init(PARAMS)
    moved = jax.tree.map(lambda p: p + 3.0, PARAMS)
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, PARAMS), state, moved)
    restored = optax.apply_updates(moved, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), restored, PARAMS)


def test_mean_squares_are_of_segments_one_by_one():
    got = jax.jit(
        lambda p: adaptation.mean_squared_gradients(loss, p, (X, Y), carry=jnp.zeros(()))
    )(PARAMS)
    theta = np.array([*PARAMS["w"], 0.3], float)
    want = np.mean([gradient(theta, i, 0.5 * i)[1] ** 2 for i in range(SEGMENTS)], axis=0)
    np.testing.assert_allclose(np.r_[got["w"], got["b"]], want, rtol=1e-5)


def test_bfloat16_stays_and_squares_are_wide():
    low = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    tx = adaptation.dynamic_evaluation(SQUARES, learning_rate=0.1, decay=0.1)
    updates, _ = tx.update(low, tx.init(low), low)
    assert updates["w"].dtype == jnp.bfloat16

    def linear(params, carry, segment):
        return jnp.sum(params["w"] * segment), carry

    squares = adaptation.mean_squared_gradients(linear, low, X[:, 0].astype(jnp.bfloat16))
    assert squares["w"].dtype == jnp.float32


def test_no_gradients_in_training_leave_no_decay():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    tx = adaptation.dynamic_evaluation(zeros, learning_rate=0.0, decay=1.0)
    moved = jax.tree.map(lambda p: p + 3.0, PARAMS)
    updates, _ = tx.update(zeros, tx.init(PARAMS), moved)
    jax.tree.map(lambda u: np.testing.assert_array_equal(u, jnp.zeros_like(u)), updates)


def test_errors_name_the_argument():
    tx = adaptation.dynamic_evaluation({"w": SQUARES["w"]}, learning_rate=0.1)
    with pytest.raises(ValueError, match=r"dynamic_evaluation: `mean_squares`.*the structure"):
        tx.init(PARAMS)
    tx = adaptation.dynamic_evaluation({"w": jnp.ones(3), "b": jnp.ones(1)}, learning_rate=0.1)
    with pytest.raises(ValueError, match=r"`mean_squares`.*\(3,\).*needs shape \(4,\)"):
        tx.init(PARAMS)
    tx = adaptation.dynamic_evaluation(learning_rate=0.1)
    with pytest.raises(TypeError, match="`params`"):
        tx.init({"w": 1.0})
    with pytest.raises(ValueError, match="`params` is None"):
        tx.update(PARAMS, tx.init(PARAMS))
    with pytest.raises(ValueError, match="evaluate_dynamically: `segments`"):
        adaptation.evaluate_dynamically(loss, tx, PARAMS, (X, Y[:2]))
    with pytest.raises(ValueError, match="mean_squared_gradients: `segments`"):
        adaptation.mean_squared_gradients(loss, PARAMS, X[:0])
