r"""Shapley values by a weighted linear regression on the values of coalitions.

Source: "A Unified Approach to Interpreting Model Predictions" (2017), theorem 2; "Improving
KernelSHAP: Practical Shapley Value Estimation Using Linear Regression" (2021), section 4, for
coalitions drawn along with their complements.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
v(S)     f where the features of S are those of x, all others of x'
s        +1 for the features of a coalition S, -1 for all others
n        features
=======  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from jaxnn._check import require, require_count, require_key
from jaxnn.analysis._function import chunked_total
from jaxnn.analysis.attribution._game import game, share


def kernel_shap(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    samples: int = 500,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    feature_mask: Int[Array | np.ndarray, "..."] | None = None,
    num_features: int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by Kernel SHAP: the additive game nearest to the one that f plays.

    .. math:: \min_φ \sum_S \left( v(S) - v(\bar S) - s^T φ \right)^2
       \quad \text{with} \quad \sum_g φ_g = f(x) - f(x')

    over coalitions S drawn with a chance of :math:`(n - 1) / (\binom{n}{|S|} |S| (n - |S|))`,
    the paper's kernel, each with its complement. A coalition and its complement have one
    weight, so that the half sum of their values only shifts the regression, which is written
    for the difference alone. Over all coalitions the solution is :func:`shapley_values`; where
    features act alone or in pairs it is so from any coalitions that determine it.

    Args:
      f: one example to one number; it is evaluated ``2 * samples + 2`` times.
      x: the example.
      key: random key.
      samples: pairs of coalitions, at least ``n - 1``; some times ``n`` is advised. Where the
        pairs drawn do not determine the solution, it is not a number.
      baseline: what replaces a feature: an array like ``x`` or a number; zeros if ``None``.
      feature_mask: integers, equal for the entries that make one feature; of the shape of
        ``x`` or of its leading axes. Every entry is a feature of its own if ``None``.
      num_features: how many there are, where ``feature_mask`` is traced by jit or vmap; it
        then counts from 0 to ``num_features - 1``.
      batch_size: changed copies held at once; ``None`` takes 5. It also holds n numbers for
        each, and n x n in all.

    Returns:
      An array like ``x``; the entries of a feature all have its value. Over the features the
      values add up to ``f(x) - f(baseline)``, whatever the number of samples.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats, ``key``
        no random key, or ``feature_mask`` not an array of integers.
      ValueError: ``f`` returns more than one number, shapes disagree, ``num_features`` is
        missing, or ``samples`` cannot determine the solution.

    Differs: captum draws no complements and counts single coalitions in ``n_samples``.

    Example:
      >>> f = lambda x: x[0] * x[1] + x[2]
      >>> a = kernel_shap(f, jnp.array([2.0, 3.0, 1.0]), key=jax.random.key(0))
      >>> a.round(4).tolist()
      [3.0, 3.0, 1.0]
    """
    where = "kernel_shap"
    require_key(where, key)
    require_count(where, samples=samples)
    play = game(where, f, x, baseline, feature_mask, num_features)
    n, wide = play.features, play.full.dtype
    needs = f"at least {n - 1}, one less than the features"
    require(samples >= n - 1, where, "samples", samples, needs, "Group them by `feature_mask`.")

    def add(keys: jax.Array, real: jax.Array) -> tuple[jax.Array, jax.Array]:
        members = jax.vmap(lambda key: coalition(key, n))(keys)

        def difference(members: jax.Array) -> jax.Array:
            kept = play.spread(members)
            return play.value(kept) - play.value(~kept)

        signs = jnp.where(members, 1, -1).astype(wide)
        weighted = jnp.where(real[:, None], signs, 0)
        return weighted.T @ signs, weighted.T @ jax.vmap(difference)(members)

    keys = jax.random.split(key, samples)
    products, targets = chunked_total(where, add, keys, share(batch_size, 2))
    # Adding the constraint as one more row moves no solution that satisfies it, and makes the
    # matrix regular where the coalitions alone do not (two features: s is (1, -1) or (-1, 1)).
    ones, change = jnp.ones(n, wide), play.full - play.empty
    factor = jax.scipy.linalg.cho_factor(products / samples + 1.0)
    free = jax.scipy.linalg.cho_solve(factor, targets / samples + ones * change)
    unit = jax.scipy.linalg.cho_solve(factor, ones)
    return play.spread(free + unit * (change - free.sum()) / unit.sum()).astype(x.dtype)


def coalition(key: jax.Array, features: int) -> jax.Array:
    """Draw a coalition, True for its members, with the chance that the kernel gives it."""
    size_key, member_key = jax.random.split(key)
    sizes = np.arange(1, max(features, 2))  # the only feature is a coalition of its own
    weights = np.cumsum(1 / (sizes * np.maximum(features - sizes, 1)))
    ladder = jnp.asarray(weights[:-1] / weights[-1], jnp.float32)
    size = 1 + jnp.sum(jax.random.uniform(size_key, dtype=ladder.dtype) >= ladder)
    return jnp.argsort(jax.random.uniform(member_key, (features,))) < size
