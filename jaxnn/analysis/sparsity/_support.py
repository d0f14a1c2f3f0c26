r"""How many of the largest weights hold most of the mass.

Source: "Hopfield Networks is All You Need" (2020): the count tells whether an attention head
averages over all keys, over a few (a metastable state), or reads a single one.

=====  =================================================
w      non-negative weights along the last axis
m      ``mass``, the share of their sum to be held
=====  =================================================
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype


def softmax_support(
    weights: Float[Array, "*batch entries"], *, mass: float = 0.9
) -> Int[Array, "*batch"]:
    r"""Count the largest weights that are needed to hold a share of their sum.

    .. math:: k = \min \Bigl\{ k : \sum_{i \le k} w_{(i)} \ge m \sum_i w_i \Bigr\}

    with the weights sorted downwards.

    Args:
      weights: w, non-negative; they need not sum to one. Attention weights as they are sown.
      mass: m, above 0 and below 1.

    Returns:
      Counts as int32, 0 where all weights are zero. Sums within a millionth of m count as
      reached, so that rounding does not add an entry.

    Raises:
      TypeError: ``weights`` is not an array of floating-point numbers.
      ValueError: it has no entries, or ``mass`` is out of range.

    Example:
      >>> softmax_support(jnp.array([[0.1] * 10, [0.95, 0.05] + [0.0] * 8])).tolist()
      [9, 1]
    """
    where = "softmax_support"
    require_array(where, weights=weights)
    require_rank(where, "weights", weights, 1, "(*batch, entries)")
    require(weights.shape[-1] > 0, where, "weights", weights, "at least one entry")
    ok = isinstance(mass, float) and 0 < mass < 1
    require(ok, where, "mass", mass, "a share above 0 and below 1")
    w = jnp.sort(weights.astype(accumulation_dtype(weights.dtype)), axis=-1)[..., ::-1]
    sums = jnp.cumsum(w, axis=-1)
    # An entry is needed if those before it hold too little.
    needed = sums - w < (mass - 1e-6) * sums[..., -1:]
    return jnp.sum(needed, axis=-1, dtype=jnp.int32)
