"""Elastic weight consolidation against closed forms of softmax and linear-Gaussian models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import continual

RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.normal(size=(11, 3)), jnp.float32)
PARAMS = {
    "kernel": jnp.asarray(RANDOM.normal(size=(3, 4)), jnp.float32),
    "bias": jnp.asarray(RANDOM.normal(size=4), jnp.float32),
}


def log_probabilities(params, x):
    return jax.nn.log_softmax(x @ params["kernel"] + params["bias"])


def softmax_fisher():
    """d log p_y / d K_ic = x_i ([y=c] - p_c), whose variance is x_i² p_c (1 - p_c)."""
    p = np.exp(np.asarray(jax.vmap(lambda x: log_probabilities(PARAMS, x))(X), np.float64))
    spread = p * (1 - p)
    squares = np.asarray(X, np.float64) ** 2
    return {"kernel": squares.T @ spread / len(X), "bias": spread.mean(0)}


@pytest.mark.parametrize("chunk", [4, 11, 64])
def test_softmax_regression_has_its_analytic_fisher(chunk):
    """Also when the chunks do not divide the examples, or hold them all."""
    got = continual.fisher_diagonal(log_probabilities, PARAMS, X, chunk=chunk)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), got, softmax_fisher())


def test_given_outcomes_make_the_empirical_fisher():
    labels = jnp.arange(11, dtype=jnp.int32) % 4

    def log_likelihood(params, example):
        x, label = example
        return log_probabilities(params, x)[label]

    want = np.zeros((3, 4))
    for x, label in zip(np.asarray(X), np.asarray(labels), strict=True):
        p = np.exp(np.asarray(x @ PARAMS["kernel"] + PARAMS["bias"]))
        want += np.outer(x, np.eye(4)[label] - p / p.sum()) ** 2 / len(X)
    got = jax.jit(lambda p: continual.fisher_diagonal(log_likelihood, p, (X, labels), chunk=4))
    np.testing.assert_allclose(got(PARAMS)["kernel"], want, rtol=1e-4)


def test_linear_gaussian_tasks_in_turn_are_learned_as_if_together():
    """Where the Fisher matrix is diagonal, anchor and new loss are the joint loss, exactly."""
    random = np.random.default_rng(1)
    tasks = []
    for _ in range(3):
        q = np.linalg.qr(random.normal(size=(8, 2)))[0]
        tasks.append((q * random.uniform(0.5, 2, size=2), random.normal(size=8)))
    solve = [np.linalg.lstsq(a, b)[0] for a, b in tasks]

    def log_likelihood(theta, example):
        row, noise = example
        # An outcome one standard deviation off: its squared score is the expected one.
        target = jax.lax.stop_gradient(row @ theta) + noise
        return -0.5 * (row @ theta - target) ** 2

    def array(values):
        return jnp.asarray(values, jnp.float32)

    anchors = []
    for (a, _), theta in zip(tasks[:2], solve, strict=False):
        outcomes = array(a), jnp.ones(8)
        fisher = continual.fisher_diagonal(log_likelihood, array(theta), outcomes)
        np.testing.assert_allclose(fisher, np.sum(a**2, 0) / 8, rtol=1e-5)
        anchors.append(continual.Anchor(array(theta), fisher))

    def loss(theta):
        a, b = tasks[2]
        new = 0.5 * jnp.mean((array(a) @ theta - array(b)) ** 2)
        return new + continual.consolidation_penalty(theta, anchors)

    everything = [np.concatenate(parts) for parts in zip(*tasks, strict=True)]
    joint = np.linalg.lstsq(*everything)[0]
    np.testing.assert_allclose(jax.grad(loss)(array(joint)), 0, atol=1e-5)
    assert float(jnp.abs(jax.grad(loss)(array(solve[2]))).max()) > 1e-2


def test_the_penalty_is_a_sum_over_tasks_and_arrays():
    fisher = jax.tree.map(jnp.ones_like, PARAMS)
    anchors = [
        continual.Anchor(jax.tree.map(lambda p, d=d: p - d, PARAMS), fisher) for d in (1.0, 2.0)
    ]
    got = continual.consolidation_penalty(PARAMS, anchors, strength=3.0)
    assert float(got) == pytest.approx(3.0 / 2 * 16 * (1 + 4), rel=1e-5)
    assert float(continual.consolidation_penalty(PARAMS, [])) == 0


def test_bfloat16_accumulates_in_float32():
    low = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    got = continual.fisher_diagonal(log_probabilities, low, X.astype(jnp.bfloat16))
    assert got["kernel"].dtype == jnp.float32
    np.testing.assert_allclose(got["kernel"], softmax_fisher()["kernel"], rtol=0.1, atol=0.02)
    penalty = continual.consolidation_penalty(low, [continual.Anchor(PARAMS, got)])
    assert penalty.dtype == jnp.float32


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: continual.fisher_diagonal(log_probabilities, PARAMS, X, chunk=0),
            ValueError,
            "fisher_diagonal: `chunk` is 0",
        ),
        (
            lambda: continual.fisher_diagonal(log_probabilities, PARAMS, (X, X[:2])),
            ValueError,
            r"`examples` is \[2, 11\]; it needs arrays of one length",
        ),
        (
            lambda: continual.fisher_diagonal(lambda p, x: p["kernel"], PARAMS, X),
            ValueError,
            r"`log_likelihood` is \(3, 4\)",
        ),
        (
            lambda: continual.fisher_diagonal(log_probabilities, {"kernel": 1.0}, X),
            TypeError,
            "`params` is 1.0",
        ),
        (
            lambda: continual.consolidation_penalty(PARAMS, [continual.Anchor(PARAMS, X)]),
            ValueError,
            r"consolidation_penalty: `anchors\[0\].fisher`",
        ),
        (
            lambda: continual.consolidation_penalty(X, [continual.Anchor(X, X[:1])]),
            ValueError,
            r"`anchors\[0\].fisher` is an array of shape \(1, 3\)",
        ),
    ],
)
def test_wrong_arguments_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()
