"""The Fourier head: a density in closed form, and smooth predictions over ordered bins.

Of the paper's three toy problems, the Gaussian enters the mean only: there the linear head is
as good within the spread of seeds, for the logits it needs are a parabola.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train
from jaxnn.layers import feedforward

FREQUENCIES = 12
BINS = 50
SAMPLES = 1000
STEPS = 2000
BATCH = 32
SEEDS = 2
DEVIATION = 0.1
EDGES = np.linspace(-1, 1, BINS + 1)


def identities(key: jax.Array) -> list[Check]:
    """What holds of the density of any amplitudes."""
    a = jax.random.normal(key, (1000, 2 * (FREQUENCIES + 1)))
    # More points than frequencies integrate the series exactly, each with weight 2/64.
    density = feedforward.fourier_density(a, jnp.linspace(-1, 1, 64, endpoint=False))
    centres = jnp.asarray((EDGES[1:] + EDGES[:-1]) / 2, jnp.float32)
    logits = feedforward.fourier_head(a, BINS, floor=0.0)
    want = 2 / BINS * feedforward.fourier_density(a, centres)
    return [
        Check("least density of 1000", density.min(), ">=", 0.0),
        Check("the same; small enough to tell", density.min(), "<=", 1e-3),
        Check(
            "worst distance of an integral from 1", abs(2 * density.mean(1) - 1).max(), "<=", 1e-5
        ),
        Check(
            "worst distance of a probability from the density at its bin's centre",
            abs(jax.nn.softmax(logits) - want).max(),
            "<=",
            1e-5,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The paper's series and penalty, from NumPy's correlation and SciPy's quadrature."""
    from scipy import integrate

    a = jax.random.normal(key, (4, 2 * (FREQUENCIES + 1)))
    z = np.linspace(-1, 1, 41)
    got = np.asarray(feedforward.fourier_density(a, jnp.asarray(z, jnp.float32)))
    penalty = np.asarray(feedforward.fourier_penalty(a))
    k = np.arange(1, FREQUENCIES + 1)
    worst = {"density": 0.0, "penalty": 0.0}
    for row in range(4):
        real, imaginary = np.split(np.asarray(a[row], np.float64), 2)
        numbers = real + 1j * imaginary
        # NumPy conjugates the second: lags run from -N to N.
        c = np.correlate(numbers, numbers, "full")[: FREQUENCIES + 1][::-1]
        want = 0.5 + np.real(np.exp(1j * np.pi * np.outer(z, k)) @ (c[1:] / c[0].real))
        worst["density"] = max(worst["density"], np.abs(got[row] - want).max())

        def slope(z, c=c):
            return (2 * np.real(1j * np.pi * k * np.exp(1j * np.pi * k * z) @ c[1:])) ** 2

        integral = integrate.quad(slope, -1, 1, limit=200)[0]
        worst["penalty"] = max(worst["penalty"], abs(penalty[row] / integral - 1))
    return [
        Check("distance from the series, of densities up to 6", worst["density"], "<=", 2e-5),
        Check("penalty over SciPy's integral, distance from 1", worst["penalty"], "<=", 1e-4),
    ]


class Problem(NamedTuple):
    """Conditional densities on the line: what they are, and how to sample them.

    Attributes:
      sample: from a generator and a count, inputs ``(count, 2)`` and targets ``(count,)``.
      cumulative: from points and inputs, how much lies below each point.
    """

    sample: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    cumulative: Callable[[np.ndarray, np.ndarray], np.ndarray]


def _problems() -> dict[str, Problem]:
    """Make the paper's three toy problems: a Gaussian, a mixture of two, a mirrored beta."""
    from scipy import stats

    def walk(rng, count):
        first = rng.uniform(-0.8, 0.8, count)
        return np.stack([first, rng.normal(first, DEVIATION)], axis=1)

    def gaussian(rng, count):
        x = walk(rng, count)
        return x, rng.normal(x[:, 1], DEVIATION)

    def mixture(rng, count):
        x = rng.uniform(-0.8, 0.8, (count, 2))
        return x, rng.normal(x[np.arange(count), rng.integers(0, 2, count)], DEVIATION)

    def shapes(x):
        return np.maximum(np.abs(100 * x), 1e-3).T[..., None]  # zero is no shape

    def mirrored(rng, count):
        x = walk(rng, count)
        return x, rng.choice([-1, 1], count) * rng.beta(*shapes(x)[..., 0])

    def below_mirrored(z, x):
        size = stats.beta.cdf(np.abs(z)[None], *shapes(x))
        return 0.5 + 0.5 * np.sign(z)[None] * size

    return {
        "Gaussian": Problem(gaussian, lambda z, x: stats.norm.cdf(z, x[:, 1:], DEVIATION)),
        "mixture": Problem(
            mixture,
            lambda z, x: stats.norm.cdf(z, x[..., None], DEVIATION).mean(axis=1),
        ),
        "beta": Problem(mirrored, below_mirrored),
    }


class _Network(nn.Module):
    """The paper's perceptron; ``head`` makes the module of its last layer."""

    head: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in (64, 32):
            x = nn.relu(feedforward.Dense(width)(x))
        return self.head(name="head")(x)


HEADS: dict[str, Callable[..., nn.Module]] = {
    "linear": functools.partial(feedforward.Dense, BINS),
    **{
        f"Fourier {n}": functools.partial(feedforward.FourierHead, BINS, n)
        for n in (2, FREQUENCIES, BINS - 2)
    },
}


def effects(key: jax.Array) -> list[Check]:
    """Divergence from the true densities on the paper's toy problems, with 1000 samples each."""
    seeds = [np.asarray(jax.random.key_data(k)) for k in jax.random.split(key, SEEDS)]
    problems = _problems()
    scores: dict[tuple[str, str], np.ndarray] = {}
    for head, factory in HEADS.items():
        fit = jax.jit(functools.partial(_fit, _Network(factory)))
        for name, problem in problems.items():
            if head in ("linear", f"Fourier {FREQUENCIES}") or name == "mixture":
                runs = [_score(fit, problem, seed) for seed in seeds]
                scores[head, name] = np.mean(runs, axis=0)
    ours = f"Fourier {FREQUENCIES}"
    checks = [
        Check(
            f"{name}: divergence of the Fourier head over the linear head's",
            scores[ours, name][0] / scores["linear", name][0],
            "<",
            1.0,
        )
        for name in ("mixture", "beta")
    ]
    mean = {h: np.mean([scores[h, n] for n in problems], axis=0) for h in ("linear", ours)}
    few, many = (scores[f"Fourier {n}", "mixture"][0] for n in (2, BINS - 2))
    middle = scores[ours, "mixture"][0]
    return [
        *checks,
        Check(
            "mean divergence over the linear head's", mean[ours][0] / mean["linear"][0], "<=", 0.8
        ),
        Check(
            "squared second differences over the linear head's",
            mean[ours][1] / mean["linear"][1],
            "<",
            1.0,
        ),
        Check(f"mixture: divergence with 2 frequencies over {FREQUENCIES}", few / middle, ">", 1.0),
        Check(
            f"mixture: divergence with {BINS - 2} frequencies over {FREQUENCIES}",
            many / middle,
            ">",
            1.0,
        ),
    ]


def _score(fit: Any, problem: Problem, seed: np.ndarray) -> tuple[float, float]:
    """Fit one network; give its divergence from the truth and the roughness of its answers."""
    rng = np.random.default_rng(seed)
    x, y = problem.sample(rng, SAMPLES)
    test, _ = problem.sample(rng, SAMPLES)
    classes = np.clip(np.digitize(y, EDGES) - 1, 0, BINS - 1)
    rows = rng.integers(0, SAMPLES, (STEPS, BATCH))
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, test)]
    key = jax.random.key(int(rng.integers(2**31)))
    guess = np.asarray(fit(key, *arrays, jnp.asarray(classes), jnp.asarray(rows)), np.float64)
    truth = np.diff(problem.cumulative(EDGES, test), axis=1)
    truth = truth / truth.sum(axis=1, keepdims=True)
    logarithm = np.log(np.where(truth > 0, truth, 1)) - guess
    divergence = np.sum(truth * logarithm, axis=1).mean()
    return divergence, np.sum(np.diff(np.exp(guess), 2, axis=1) ** 2, axis=1).mean()


def _fit(model, key, x, test, classes, rows):
    """Train by cross-entropy; give log-probabilities for ``test``."""

    def loss(params, rows):
        logits = model.apply({"params": params}, x[rows])
        return optax.softmax_cross_entropy_with_integer_labels(logits, classes[rows]).mean()

    params, _ = train(loss, optax.adam(1e-3), model.init(key, x[:1])["params"], rows)
    return jax.nn.log_softmax(model.apply({"params": params}, test))


CLAIM = Claim(
    name="fourier-head",
    title="Fourier Head: Helping Large Language Models Learn Complex Probability Distributions",
    year=2024,
    says="a Fourier series as last layer learns densities over bins better than a linear layer",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
