r"""Attribution by Shapley values: what a feature adds, averaged over all orders of joining.

They are the only attributions that add up to the change in output, give equals to equal
features, nothing to a feature that changes nothing, and add when functions add.

Source: "A Value for n-person Games" (1953); "Polynomial calculation of the Shapley value based
on sampling" (2009), section 3, for the estimate from random orders.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
v(S)     f where the features of S are those of x, all others of x'
n        features
O        an order of the features drawn at random; O_g the features before g in it
=======  ====================================================
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from jaxnn._check import require, require_count, require_key
from jaxnn.analysis._function import chunked_map, chunked_total
from jaxnn.analysis.attribution._game import game, share

# A million coalitions; beyond, a sample of orders is the better buy.
MOST = 20


def shapley_values(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    feature_mask: Int[Array | np.ndarray, "..."] | None = None,
    num_features: int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by Shapley values, exactly, from the values of all coalitions.

    .. math:: φ_g = \sum_{S \not\ni g} \frac{|S|! \, (n - |S| - 1)!}{n!}
       \left( v(S \cup g) - v(S) \right)

    Args:
      f: one example to one number; it is evaluated :math:`2^n` times.
      x: the example.
      baseline: what replaces a feature: an array like ``x`` or a number; zeros if ``None``.
      feature_mask: integers, equal for the entries that make one feature; of the shape of
        ``x`` or of its leading axes. Every entry is a feature of its own if ``None``.
      num_features: how many there are, where ``feature_mask`` is traced by jit or vmap; it
        then counts from 0 to ``num_features - 1``.
      batch_size: coalitions held at once; ``None`` takes 5.

    Returns:
      An array like ``x``; the entries of a feature all have its value. Over the features the
      values add up to ``f(x) - f(baseline)``.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats, or
        ``feature_mask`` not one of integers.
      ValueError: ``f`` returns more than one number, shapes disagree, ``num_features`` is
        missing, or there are more than 20 features.

    Example:
      >>> shapley_values(lambda x: x[0] * x[1] + x[2], jnp.array([2.0, 3.0, 1.0])).tolist()
      [3.0, 3.0, 1.0]
    """
    where = "shapley_values"
    play = game(where, f, x, baseline, feature_mask, num_features)
    n = play.features
    needs = f"at most {MOST} features (it has {n}), grouped by `feature_mask`"
    require(n <= MOST, where, "x", x, needs, "Or use shapley_sampling.")
    wide = play.full.dtype
    # Position s: the weight of a coalition of s others. One that g has joined counts s + 1.
    weights = jnp.asarray([0.0] + [1 / (n * math.comb(n - 1, s)) for s in range(n)] + [0.0], wide)

    def add(codes: jax.Array, real: jax.Array) -> jax.Array:
        members = (codes[:, None] >> jnp.arange(n, dtype=codes.dtype)[None, :]) & 1 == 1
        # Seen from the empty coalition: the weights of each feature add up to zero, and a
        # large value common to all would only leave its rounding.
        gains = jax.vmap(lambda m: play.value(play.spread(m)))(members) - play.empty
        count = jnp.sum(members, 1, keepdims=True)
        terms = jnp.where(members, weights[count], -weights[count + 1])
        return jnp.where(real, gains, 0) @ terms

    codes = jnp.arange(2**n, dtype=jnp.int32)
    return play.spread(chunked_total(where, add, codes, batch_size)).astype(x.dtype)


def shapley_sampling(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    samples: int = 25,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    feature_mask: Int[Array | np.ndarray, "..."] | None = None,
    num_features: int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by Shapley values estimated from random orders of joining.

    .. math:: φ_g \approx \mathrm{mean}_O \; v(O_g \cup g) - v(O_g)

    Args:
      f: one example to one number; it is evaluated ``samples * (n - 1) + 2`` times.
      x: the example.
      key: random key.
      samples: orders drawn; the error falls with the root of their number.
      baseline: what replaces a feature: an array like ``x`` or a number; zeros if ``None``.
      feature_mask: integers, equal for the entries that make one feature; of the shape of
        ``x`` or of its leading axes. Every entry is a feature of its own if ``None``.
      num_features: how many there are, where ``feature_mask`` is traced by jit or vmap; it
        then counts from 0 to ``num_features - 1``.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      An array like ``x``; the entries of a feature all have its value. Over the features the
      values add up to ``f(x) - f(baseline)``, whatever the number of samples.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats, ``key``
        no random key, or ``feature_mask`` not an array of integers.
      ValueError: ``f`` returns more than one number, shapes disagree, or ``num_features`` is
        missing.

    Example:
      >>> w = jnp.array([1.0, -2.0, 0.0])
      >>> shapley_sampling(lambda x: x @ w, jnp.ones(3), key=jax.random.key(0)).tolist()
      [1.0, -2.0, 0.0]
    """
    where = "shapley_sampling"
    require_key(where, key)
    require_count(where, samples=samples)
    play = game(where, f, x, baseline, feature_mask, num_features)
    n, ends = play.features, (play.empty[None], play.full[None])

    def order(key: jax.Array) -> jax.Array:
        rank = jnp.argsort(jax.random.uniform(key, (n,)))
        places = play.spread(rank)

        def first(count: jax.Array) -> jax.Array:
            return play.value(places < count)

        between = (chunked_map(where, first, jnp.arange(1, n), batch_size),) if n > 1 else ()
        return jnp.diff(jnp.concatenate([ends[0], *between, ends[1]]))[rank]

    def add(keys: jax.Array, real: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(real[:, None], jax.vmap(order)(keys), 0), 0)

    total = chunked_total(where, add, jax.random.split(key, samples), share(batch_size, n))
    return play.spread(total / samples).astype(x.dtype)
