r"""What attention weights say: of heads, in a few numbers, and of tokens, through all layers.

Sources: "Quantifying Attention Flow in Transformers" (2020), section 3, for the rollout;
"A Multiscale Visualization of Attention in the Transformer Model" (2019), section 4, for what
tells heads apart.

=====  ==========================================================
w      ``weights``, ``(*heads, queries, keys)``
i, j   positions of a query and a key
α      ``residual``
=====  ==========================================================
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype


class HeadSummary(NamedTuple):
    """What tells heads apart; one number each, a mean over queries.

    Attributes:
      entropy: of a query's weights, in nats: 0 for one key alone, log(keys) for all alike.
      previous_token: weight of the key just before the query, over the queries that have one.
      distance: mean distance between query and key, in tokens.
    """

    entropy: Float[Array, "*heads"]
    previous_token: Float[Array, "*heads"]
    distance: Float[Array, "*heads"]


def head_summary(weights: Float[Array, "*heads time time"]) -> HeadSummary:
    r"""Summarise attention heads by entropy, previous-token score and distance.

    .. math:: -\frac{1}{n} \sum_{ij} w_{ij} \log w_{ij}, \quad
       \frac{1}{n - 1} \sum_{i \ge 1} w_{i, i-1}, \quad \frac{1}{n} \sum_{ij} w_{ij} |i - j|

    Args:
      weights: of attention from a sequence to itself, rows summing to one, such as those that
        :class:`~jaxnn.layers.attention.MultiHeadAttention` sows. A mean over examples of the
        result is a head's summary over them.

    Returns:
      The three, float32 or wider. For the share of one key see
      :func:`jaxnn.analysis.sparsity.attention_sink`.

    Raises:
      TypeError: ``weights`` is not an array of floating-point numbers.
      ValueError: it is not square over at least two positions.

    Example:
      >>> summary = head_summary(jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
      >>> [round(x.item(), 4) for x in summary]  # the first query has nobody before it
      [0.0, 1.0, 0.6667]
    """
    where = "head_summary"
    wide = _square(where, weights, 2, "(*heads, time, time)")
    n = wide.shape[-1]
    require(n > 1, where, "weights", weights, "at least two positions")
    some = wide > 0
    logs = jnp.where(some, jnp.log(jnp.where(some, wide, 1)), 0)
    places = jnp.arange(n, dtype=wide.dtype)
    apart = jnp.abs(places[:, None] - places[None, :])
    return HeadSummary(
        entropy=0 - jnp.sum(wide * logs, axis=(-2, -1)) / n,
        previous_token=jnp.trace(wide, -1, -2, -1) / (n - 1),
        distance=jnp.tensordot(wide, apart, axes=2) / n,
    )


def attention_rollout(
    weights: Float[Array, "layers heads time time"], *, residual: float = 0.5
) -> Float[Array, "time time"]:
    r"""Follow attention down through all layers to the tokens.

    .. math:: R = A_L \cdots A_2 A_1, \qquad
       A_l = (1 - α) \, \mathrm{mean}_h \, w_{lh} + α I

    A token of layer l is a mixture of those below it: the residual stream's share α of itself,
    the rest by attention, heads counting alike. What the values and the feed-forward networks
    do to the vectors is left out.

    Args:
      weights: of one example, first layer first, rows summing to one.
      residual: α, in [0, 1].

    Returns:
      Row i says what share of output token i comes from each input token; rows sum to one.
      Float32 or wider.

    Raises:
      TypeError: ``weights`` is not an array of floating-point numbers.
      ValueError: its shape is another, or ``residual`` is outside of [0, 1].

    Example:
      >>> one = jnp.array([[1.0, 0.0], [0.5, 0.5]])
      >>> attention_rollout(jnp.stack([one, one])[:, None], residual=0.0).tolist()
      [[1.0, 0.0], [0.75, 0.25]]
    """
    where = "attention_rollout"
    wide = _square(where, weights, 4, "(layers, heads, time, time)")
    ok = wide.ndim == 4 and wide.shape[0] > 0 and wide.shape[1] > 0
    require(ok, where, "weights", weights, "shape (layers, heads, time, time), of one example")
    require(0 <= residual <= 1, where, "residual", residual, "a number from 0 to 1")
    own = jnp.eye(wide.shape[-1], dtype=wide.dtype)
    mixed = (1 - residual) * jnp.mean(wide, axis=1) + residual * own[None]

    def step(below: jax.Array, layer: jax.Array) -> tuple[jax.Array, None]:
        return jnp.dot(layer, below, precision="highest"), None

    return jax.lax.scan(step, own, mixed)[0]


def _square(where: str, weights: jax.Array, least: int, shape: str) -> jax.Array:
    require_array(where, weights=weights)
    require_rank(where, "weights", weights, least, shape)
    ok = weights.shape[-1] == weights.shape[-2] > 0
    require(ok, where, "weights", weights, f"shape {shape}, from a sequence to itself")
    return weights.astype(accumulation_dtype(weights.dtype))
