"""Evolution strategies against the tutorial in NumPy, and on functions with known answers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import evolution

CURVATURES = jnp.array([1.0, 10.0, 100.0, 1000.0])
PARAMS = {"a": jnp.array([1.0, -1.0]), "b": jnp.array([[0.5, 2.0]])}


def ellipsoid(params):
    x = jnp.concatenate([params["a"], params["b"].ravel()])
    return jnp.sum(CURVATURES * (x - 0.5) ** 2)


@partial(jax.jit, static_argnums=(0, 1, 2))
def run(strategy, loss, generations, key):
    return evolution.minimize(strategy, loss, PARAMS, key=key, generations=generations)


def tutorial(state, x, losses):
    """Learn from one generation, as figure 6 of the tutorial says; matrices by NumPy."""
    n, count = len(state.mean), len(losses)
    mu = count // 2
    w = np.log((count + 1) / 2) - np.log(np.arange(1, mu + 1))
    w = w / w.sum()
    mueff = 1 / (w**2).sum()
    cs = (mueff + 2) / (n + mueff + 5)
    ds = 1 + 2 * max(0, np.sqrt((mueff - 1) / (n + 1)) - 1) + cs
    cc = (4 + mueff / n) / (n + 4 + 2 * mueff / n)
    c1 = 2 / ((n + 1.3) ** 2 + mueff)
    cmu = min(1 - c1, 2 * (mueff - 2 + 1 / mueff) / ((n + 2) ** 2 + mueff))
    chi = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
    mean, sigma, cov = (np.asarray(v, float) for v in (state.mean, state.sigma, state.covariance))
    y = (x - mean) / sigma
    y = y[np.argsort(losses)][:mu]
    yw = sum(wi * yi for wi, yi in zip(w, y, strict=True))
    d, b = np.linalg.eigh(cov)
    ps = (1 - cs) * np.asarray(state.sigma_path) + np.sqrt(cs * (2 - cs) * mueff) * (
        b @ np.diag(d**-0.5) @ b.T @ yw
    )
    g = int(state.generation) + 1
    h = np.linalg.norm(ps) / np.sqrt(1 - (1 - cs) ** (2 * g)) < (1.4 + 2 / (n + 1)) * chi
    pc = (1 - cc) * np.asarray(state.path) + h * np.sqrt(cc * (2 - cc) * mueff) * yw
    cov = (
        (1 - c1 - cmu) * cov
        + c1 * (np.outer(pc, pc) + (1 - h) * cc * (2 - cc) * cov)
        + cmu * sum(wi * np.outer(yi, yi) for wi, yi in zip(w, y, strict=True))
    )
    sigma = sigma * np.exp(cs / ds * (np.linalg.norm(ps) / chi - 1))
    return mean + np.asarray(state.sigma) * yw, sigma, cov, pc, ps


def test_cma_learns_as_the_tutorial_says():
    strategy = evolution.cma_es(10, sigma=0.5)
    state = strategy.init(PARAMS)
    ask, tell, loss = jax.jit(strategy.ask), jax.jit(strategy.tell), jax.jit(jax.vmap(ellipsoid))
    for generation in range(6):
        population = ask(state, jax.random.key(generation))
        x = np.concatenate([population["a"], population["b"].reshape(10, 2)], axis=1)
        losses = loss(population)
        expected = tutorial(state, x, np.asarray(losses))
        state = tell(state, population, losses)
        found = (state.mean, state.sigma, state.covariance, state.path, state.sigma_path)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_covariance_becomes_the_inverse_of_the_curvature():
    state, history = run(evolution.cma_es(16), ellipsoid, 150, jax.random.key(0))
    for leaf in jax.tree.leaves(state.best):
        np.testing.assert_allclose(leaf, 0.5, atol=1e-3)
    shape = np.asarray(state.covariance * CURVATURES[None])
    np.testing.assert_allclose(np.diag(shape) / np.diag(shape).mean(), 1, atol=0.9)
    assert history["loss"].shape == (150,)
    assert float(state.best_loss) <= float(history["loss"].min())


def test_only_the_order_of_the_losses_matters():
    key = jax.random.key(1)
    for strategy in (evolution.sep_cma_es(12), evolution.gaussian_es(12, parents=3)):
        plain, _ = run(strategy, ellipsoid, 20, key)
        bent, _ = run(strategy, lambda params: jnp.sqrt(ellipsoid(params)) - 3, 20, key)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), bent.best, plain.best
        )
        assert float(plain.best_loss) < 0.2 * float(ellipsoid(PARAMS))


def test_the_diagonal_form_is_the_full_one_on_one_parameter():
    states = []
    for strategy in (evolution.cma_es(6), evolution.sep_cma_es(6)):
        step = evolution.minimize(
            strategy, lambda x: jnp.sum(x**2), jnp.ones(1), key=jax.random.key(0), generations=8
        )
        states.append(step[0])
    full, diagonal = states
    np.testing.assert_allclose(full.mean, diagonal.mean, rtol=1e-4)
    np.testing.assert_allclose(full.covariance[0], diagonal.covariance, rtol=1e-4)


def test_the_best_so_far_is_never_lost_and_undefined_losses_are_the_worst():
    strategy = evolution.gaussian_es(4, parents=2, sigma=0.1)
    state = strategy.init({"w": jnp.zeros(1)})
    population = {"w": jnp.array([[1.0], [2.0], [3.0], [4.0]])}
    state = strategy.tell(state, population, jnp.array([jnp.nan, 0.5, 0.7, 0.1]))
    assert state.best["w"] == 4
    assert state.losses.tolist() == pytest.approx([0.1, 0.5])
    state = strategy.tell(state, population, jnp.full(4, 9.0))
    assert state.best["w"] == 4
    children = strategy.ask(state, jax.random.key(0))["w"]
    assert children.shape == (4, 1)
    assert jnp.abs(children[0] - 4) < 1
    assert jnp.abs(children[1] - 2) < 1


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: evolution.cma_es(1), "cma_es: `population` is 1; it needs two members"),
        (lambda: evolution.gaussian_es(sigma=0.0), r"gaussian_es: `sigma` is 0\.0"),
        (lambda: evolution.cma_es().init({}), "cma_es: `params` is {}; it needs a pytree"),
        (
            lambda: evolution.sep_cma_es(4).tell(
                evolution.sep_cma_es(4).init(PARAMS),
                jax.tree.map(lambda leaf: leaf[None], PARAMS),
                jnp.zeros(3),
            ),
            r"sep_cma_es: `losses` .* needs shape \(4,\)",
        ),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()
