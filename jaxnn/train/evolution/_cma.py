r"""Covariance matrix adaptation, with a full and with a diagonal covariance.

.. math::
    x_k = m + \sigma y_k, \quad y_k \sim N(0, C), \qquad
    m' = m + \sigma \langle y \rangle_w, \quad
    \langle y \rangle_w = \sum_{i=1}^{\mu} w_i y_{i:\lambda}

.. math::
    p_\sigma' &= (1 - c_\sigma) p_\sigma
        + \sqrt{c_\sigma (2 - c_\sigma) \mu_w}\, C^{-1/2} \langle y \rangle_w, \quad
    \sigma' = \sigma \exp\Big(\frac{c_\sigma}{d_\sigma}
        \Big(\frac{\|p_\sigma'\|}{E\|N(0, I)\|} - 1\Big)\Big) \\
    p_c' &= (1 - c_c) p_c + h \sqrt{c_c (2 - c_c) \mu_w}\, \langle y \rangle_w \\
    C' &= (1 - c_1 - c_\mu) C + c_1 \big(p_c' p_c'^T + (1 - h) c_c (2 - c_c) C\big)
        + c_\mu \sum_{i=1}^{\mu} w_i y_{i:\lambda} y_{i:\lambda}^T

with :math:`y_{i:\lambda}` the i-th best, weights falling as log ranks, and h = 0 where
:math:`p_\sigma'` is so long that :math:`p_c` would grow on its own.

Source: "The CMA Evolution Strategy: A Tutorial" (2016), figure 6 with weights above zero only;
the diagonal form "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity"
(2008).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxnn._check import require, require_count, require_positive
from jaxnn.train.evolution._strategy import (
    Strategy,
    require_losses,
    require_params,
    to_tree,
    to_vector,
    to_vectors,
)


class CMAState(NamedTuple):
    """State of :func:`cma_es` and :func:`sep_cma_es`.

    Attributes:
      best: the parameters with the least loss so far, a pytree.
      best_loss: their loss.
      mean: m, ``(n,)``.
      sigma: σ.
      covariance: C, ``(n, n)``; its diagonal, ``(n,)``, where only that is learned.
      path: p_c, ``(n,)``.
      sigma_path: p_σ, ``(n,)``.
      generation: how many have been told.
    """

    best: PyTree
    best_loss: jax.Array
    mean: jax.Array
    sigma: jax.Array
    covariance: jax.Array
    path: jax.Array
    sigma_path: jax.Array
    generation: jax.Array


class _Rates(NamedTuple):
    weights: np.ndarray
    effective: float  # μ_w
    sigma: float  # c_σ
    damping: float  # d_σ
    path: float  # c_c
    one: float  # c_1
    rank: float  # c_μ
    length: float  # E |N(0, I)|


def cma_es(population: int | None = None, *, sigma: float = 0.3) -> Strategy:
    """Adapt mean, step size and the whole covariance of the mutations.

    For up to some hundred parameters: memory grows as n², time a generation as n³.

    Args:
      population: λ; 4 + 3 log n, rounded down, if ``None``.
      sigma: standard deviation of the first mutations, about a third of the distance to where
        the optimum may be.

    Returns:
      The strategy; its state is a :class:`CMAState`.

    Raises:
      ValueError: ``population`` is below 2, or ``sigma`` not above zero.
    """
    return _strategy("cma_es", population, sigma, diagonal=False)


def sep_cma_es(population: int | None = None, *, sigma: float = 0.3) -> Strategy:
    """Adapt mean, step size and a diagonal covariance; for many parameters, in linear time.

    It learns the diagonal (n + 2) / 3 times as fast as :func:`cma_es` does the whole.

    Args:
      population: λ; 4 + 3 log n, rounded down, if ``None``.
      sigma: standard deviation of the first mutations.

    Returns:
      The strategy; its state is a :class:`CMAState`.

    Raises:
      ValueError: ``population`` is below 2, or ``sigma`` not above zero.
    """
    return _strategy("sep_cma_es", population, sigma, diagonal=True)


def _strategy(where: str, population: int | None, sigma: float, *, diagonal: bool) -> Strategy:
    require_positive(where, sigma=sigma)
    if population is not None:
        require_count(where, population=population)
        require(population > 1, where, "population", population, "two members at least")

    def size(n: int) -> int:
        return population or 4 + int(3 * math.log(n))

    def init(params: PyTree) -> CMAState:
        require_params(where, params)
        mean = to_vector(params)
        n = mean.size
        return CMAState(
            best=params,
            best_loss=jnp.asarray(jnp.inf),
            mean=mean,
            sigma=jnp.asarray(sigma),
            covariance=jnp.ones(n) if diagonal else jnp.eye(n),
            path=jnp.zeros(n),
            sigma_path=jnp.zeros(n),
            generation=jnp.zeros((), jnp.int32),
        )

    def ask(state: CMAState, key: jax.Array) -> PyTree:
        n = state.mean.size
        z = jax.random.normal(key, (size(n), n))
        y = z * jnp.sqrt(state.covariance)[None] if diagonal else z @ _power(state.covariance, 0.5)
        return to_tree(state.mean[None] + state.sigma * y, state.best)

    def tell(state: CMAState, candidates: PyTree, losses: jax.Array) -> Any:
        n = state.mean.size
        count = size(n)
        require_losses(where, losses, count)
        rates = _rates(n, count, diagonal=diagonal)
        losses = jnp.where(jnp.isnan(losses), jnp.inf, losses)
        order = jnp.argsort(losses)
        x = to_vectors(candidates)
        y = (x - state.mean[None]) / state.sigma
        heard = y[order[: len(rates.weights)]]
        weights = jnp.asarray(rates.weights, y.dtype)
        step = weights @ heard
        if diagonal:
            white = step / jnp.sqrt(state.covariance)
            learned = weights @ heard**2
        else:
            white = _power(state.covariance, -0.5) @ step
            learned = (heard * weights[:, None]).T @ heard
        keep = math.sqrt(rates.sigma * (2 - rates.sigma) * rates.effective)
        sigma_path = (1 - rates.sigma) * state.sigma_path + keep * white
        length = jnp.linalg.norm(sigma_path)
        generation = state.generation + 1
        # How long the path would be by chance: it starts at zero.
        started = jnp.sqrt(1 - (1 - rates.sigma) ** (2 * generation))
        steady = (length / started < (1.4 + 2 / (n + 1)) * rates.length).astype(y.dtype)
        keep = math.sqrt(rates.path * (2 - rates.path) * rates.effective)
        path = (1 - rates.path) * state.path + steady * keep * step
        drawn = path**2 if diagonal else jnp.outer(path, path)
        lost = (1 - steady) * rates.path * (2 - rates.path)
        covariance = (
            (1 - rates.one - rates.rank + rates.one * lost) * state.covariance
            + rates.one * drawn
            + rates.rank * learned
        )
        change = rates.sigma / rates.damping * (length / rates.length - 1)
        better = losses[order[0]] < state.best_loss
        first = to_tree(x[order[0]], state.best)
        return CMAState(
            best=jax.tree.map(lambda new, old: jnp.where(better, new, old), first, state.best),
            best_loss=jnp.minimum(losses[order[0]], state.best_loss),
            mean=state.mean + state.sigma * step,
            # At most a factor e a generation, should all losses be alike.
            sigma=state.sigma * jnp.exp(jnp.minimum(change, 1.0)),
            covariance=covariance,
            path=path,
            sigma_path=sigma_path,
            generation=generation,
        )

    return Strategy(init, ask, tell)


def _rates(n: int, count: int, *, diagonal: bool) -> _Rates:
    """Give the weights and learning rates of the tutorial's table 1."""
    half = count // 2
    weights = math.log((count + 1) / 2) - np.log(np.arange(1, half + 1))
    weights /= weights.sum()
    effective = 1 / float((weights**2).sum())
    sigma = (effective + 2) / (n + effective + 5)
    damping = 1 + 2 * max(0.0, math.sqrt((effective - 1) / (n + 1)) - 1) + sigma
    path = (4 + effective / n) / (n + 4 + 2 * effective / n)
    one = 2 / ((n + 1.3) ** 2 + effective)
    rank = min(1 - one, 2 * (effective - 2 + 1 / effective) / ((n + 2) ** 2 + effective))
    if diagonal:
        faster = (n + 2) / 3
        one = min(1.0, one * faster)
        rank = min(1 - one, rank * faster)
    length = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
    return _Rates(weights, effective, sigma, damping, path, one, rank, length)


def _power(covariance: jax.Array, exponent: float) -> jax.Array:
    values, vectors = jnp.linalg.eigh((covariance + covariance.T) / 2)
    # Rounding must not make a variance negative.
    values = jnp.maximum(values, 1e-12 * jnp.max(values))
    return (vectors * values[None] ** exponent) @ vectors.T
