r"""Attribution by a linear model fitted to the outputs around the example.

Source: "'Why Should I Trust You?': Explaining the Predictions of Any Classifier" (2016),
equation 2, with ridge regression for the sparse linear model, as its authors' program does.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
z        1 for the features that a perturbed copy keeps, 0 for those of x'
h(z)     the copy
n        features
=======  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from jaxnn._check import require_count, require_key, require_positive
from jaxnn.analysis._function import chunked_total
from jaxnn.analysis.attribution._game import game


def lime(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    samples: int = 1000,
    kernel_width: float = 0.25,
    penalty: float = 1.0,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    feature_mask: Int[Array | np.ndarray, "..."] | None = None,
    num_features: int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by LIME: the slopes of a ridge regression on features kept at random.

    .. math:: \min_{w, c} \sum_z π(z) \left( f(h(z)) - c - w^T z \right)^2 + α |w|^2, \quad
       π(z) = e^{-D(z)^2 / 2 σ^2}, \quad D(z) = 1 - \sqrt{|z| / n}

    with every feature kept with a chance of one half, D the cosine distance between z and the
    features of the example, which are all ones.

    Args:
      f: one example to one number; it is evaluated ``samples`` times.
      x: the example.
      key: random key.
      samples: perturbed copies.
      kernel_width: σ; at 0.25, the authors' choice for images, a copy that keeps half of the
        features weighs one half of the example itself.
      penalty: α; the intercept c is free of it. The regression's scale is that of the sum
        over samples, so that its pull falls as they grow in number.
      baseline: what replaces a feature: an array like ``x`` or a number; zeros if ``None``.
      feature_mask: integers, equal for the entries that make one feature; of the shape of
        ``x`` or of its leading axes. Every entry is a feature of its own if ``None``.
      num_features: how many there are, where ``feature_mask`` is traced by jit or vmap; it
        then counts from 0 to ``num_features - 1``.
      batch_size: changed copies held at once; ``None`` takes 5. It also holds n numbers for
        each, and n x n in all.

    Returns:
      An array like ``x``; the entries of a feature all have its slope.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats, ``key``
        no random key, or ``feature_mask`` not an array of integers.
      ValueError: ``f`` returns more than one number, shapes disagree, ``num_features`` is
        missing, or a number is not positive.

    Differs: captum measures the distance between the inputs themselves and fits a Lasso.

    Example:
      >>> w = jnp.array([1.0, -2.0, 0.0])
      >>> a = lime(lambda x: x @ w, jnp.ones(3), key=jax.random.key(0), penalty=1e-3)
      >>> a.round(2).tolist()
      [1.0, -2.0, 0.0]
    """
    where = "lime"
    require_key(where, key)
    require_count(where, samples=samples)
    require_positive(where, kernel_width=kernel_width, penalty=penalty)
    play = game(where, f, x, baseline, feature_mask, num_features)
    n, wide = play.features, play.full.dtype

    def add(keys: jax.Array, real: jax.Array) -> tuple[jax.Array, ...]:
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (n,)))(keys)
        # Both sides about their middle: sums of squares then lose little to their means.
        outputs = jax.vmap(lambda z: play.value(play.spread(z)))(kept) - play.full
        z = kept.astype(wide) - 0.5
        distance = 1 - jnp.sqrt(jnp.mean(kept, 1, dtype=wide))
        weight = jnp.where(real, jnp.exp(-(distance**2) / (2 * kernel_width**2)), 0)
        weighted = weight[:, None] * z
        return (
            jnp.sum(weight),
            weighted.sum(0),
            weight @ outputs,
            weighted.T @ z,
            outputs @ weighted,
        )

    sums = chunked_total(where, add, jax.random.split(key, samples), batch_size)
    weight, z, outputs, products, targets = sums
    matrix = products - jnp.outer(z, z) / weight + penalty * jnp.eye(n, dtype=wide)
    factor = jax.scipy.linalg.cho_factor(matrix)
    slopes = jax.scipy.linalg.cho_solve(factor, targets - z * outputs / weight)
    return play.spread(slopes).astype(x.dtype)
