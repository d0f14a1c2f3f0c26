"""How many entries attributions spread over.

Source: "Evaluating and Aggregating Feature-based Model Explanations" (2020), complexity.
``sparsity.gini`` of the attributions is sparseness, "Concise Explanations of Neural Networks
using Adversarial Training" (2020); ``jnp.sum(jnp.abs(attributions) > threshold)`` is quantus'
effective complexity.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require_array
from jaxnn._numeric import accumulation_dtype


def complexity(attributions: Float[Array, "*shape"]) -> Float[Array, ""]:
    r"""Give the entropy of the entries' shares of all magnitude, in nats.

    .. math:: -\sum_i p_i \log p_i, \qquad p_i = |a_i| / \sum_j |a_j|

    Args:
      attributions: a, of one example.

    Returns:
      From 0, one entry has all, to the logarithm of the number of entries, in float32 or wider;
      zero if all are zero.

    Raises:
      TypeError: ``attributions`` is not an array of floats.

    Example:
      >>> complexity(jnp.array([0.0, -3.0])).item()
      0.0
      >>> jnp.exp(complexity(jnp.ones(4))).round(4).item()
      4.0
    """
    require_array("complexity", attributions=attributions)
    a = jnp.abs(attributions.astype(accumulation_dtype(attributions.dtype)))
    total = a.sum()
    p = a / jnp.where(total > 0, total, 1)
    some = p > 0
    return jnp.sum(jnp.where(some, p * -jnp.log(jnp.where(some, p, 1)), 0))
