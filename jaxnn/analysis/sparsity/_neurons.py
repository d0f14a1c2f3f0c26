r"""What feed-forward units do, told from nothing but whether they are active.

Source: "Neurons in Large Language Models: Dead, N-gram, Positional" (2023). Units that are never
active are found by :func:`~jaxnn.analysis.sparsity.dead_units`.

=====  =================================================
a      ``active``, e.g. ``hidden > 0`` behind a ReLU
n      tokens in a row, the last of them at the unit's own position
k      ``most``, the n-grams counted
=====  =================================================
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map
from jaxnn.analysis.information import discrete_states


class NGramDetectors(NamedTuple):
    """Units by the n-grams they fire on.

    Attributes:
      detectors: which units are detectors.
      coverage: the share of each unit's activations that its k most frequent n-grams make up.
      ngrams: these n-grams, the most frequent first; -1 where there are fewer.
    """

    detectors: Bool[Array, " units"]
    coverage: Float[Array, " units"]
    ngrams: Int[Array, "units most n"]


def ngram_detectors(
    active: Bool[Array, "batch time units"],
    tokens: Int[Array, "batch time"],
    *,
    n: int = 1,
    most: int = 5,
    coverage: float = 0.95,
    least: int = 20,
    batch_size: int = 64,
) -> NGramDetectors:
    r"""Find the units that fire on a few n-grams, and hardly on anything else.

    .. math:: \sum_{g \in \text{top } k} \mathrm{count}_u(g) \ge c \, \sum_g \mathrm{count}_u(g)

    Args:
      active: a.
      tokens: what the model read.
      n: 1 for tokens, 2 for bigrams, 3 for trigrams; positions before the n-th are left out.
      most: k.
      coverage: c.
      least: activations a detector has; fewer are covered by k n-grams by chance, and k or fewer
        always are.
      batch_size: units that are counted at once.

    Returns:
      Flags, shares and n-grams of each unit. A unit of few n-grams has few tokens too: those of
      two tokens only are flagged for n = 2 and not for n = 1.

    Raises:
      TypeError: ``active`` is not an array of booleans, or ``tokens`` of integers.
      ValueError: shapes disagree, fewer than n tokens in a row, or a number is out of range.

    Example:
      >>> tokens = jnp.tile(jnp.arange(8), 30).reshape(10, 24)
      >>> found = ngram_detectors(jnp.stack([tokens == 3, tokens > 0], -1), tokens, most=2)
      >>> found.detectors.tolist(), found.ngrams[0].tolist()
      ([True, False], [[3], [-1]])
    """
    where = "ngram_detectors"
    _require_active(where, active)
    require_array(where, floating=False, tokens=tokens)
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise TypeError(f"{where}: `tokens` has dtype {tokens.dtype}; it needs integers.")
    needs = f"shape {active.shape[:2]}, the first two axes of `active`"
    require(tokens.shape == active.shape[:2], where, "tokens", tokens, needs)
    require_count(where, n=n, most=most, least=least)
    require(0 < coverage <= 1, where, "coverage", coverage, "a share above 0, at most 1")
    batch, time = tokens.shape
    require(time >= n, where, "tokens", tokens, f"at least {n} tokens in a row")
    samples = batch * (time - n + 1)
    require(most <= samples, where, "most", most, f"at most {samples}, the n-grams there are")
    arrays = jnp.asarray(active), jnp.asarray(tokens)
    return _count(*arrays, coverage, least, n, most, batch_size)


@partial(jax.jit, static_argnums=(4, 5, 6), inline=True)
def _count(
    active: jax.Array,
    tokens: jax.Array,
    coverage: float | jax.Array,
    least: int | jax.Array,
    n: int,
    most: int,
    batch_size: int,
) -> NGramDetectors:
    positions, units = tokens.shape[1] - n + 1, active.shape[-1]
    samples = len(tokens) * positions
    grams = jnp.stack([tokens[:, i : i + positions] for i in range(n)], -1).reshape(samples, n)
    states = discrete_states(grams)
    # Any place of each n-gram, to read it off.
    places = jnp.zeros(samples, jnp.int32).at[states].set(jnp.arange(samples, dtype=jnp.int32))

    def count(column: jax.Array) -> jax.Array:
        counts = jax.ops.segment_sum(column.astype(jnp.int32), states, samples)
        return jnp.stack(jax.lax.top_k(counts, most))

    columns = active[:, n - 1 :].reshape(samples, units).T
    counts, which = jnp.moveaxis(chunked_map("ngram_detectors", count, columns, batch_size), 1, 0)
    total = jnp.sum(columns, 1, dtype=jnp.int32)
    share = jnp.sum(counts, 1) / jnp.maximum(total, 1)
    found = jnp.where(counts[..., None] > 0, grams[places[which]], -1)
    # Shares are rounded; a unit covered exactly counts.
    enough = (total >= least) & (share >= coverage - 1e-6)
    return NGramDetectors(enough, share, found)


def positional_information(active: Bool[Array, "batch time units"]) -> Float[Array, " units"]:
    r"""Measure the mutual information of a unit's activity and the position, in nats.

    .. math:: H\!\left( \mathrm{mean}_t \, p_t \right) - \mathrm{mean}_t \, H(p_t)

    with p_t the share of rows in which the unit is active at position t, and H the entropy of a
    coin.

    Args:
      active: a, rows of equal length without padding. ``active.mean(0)`` is p, which shows where
        units with much information are active.

    Returns:
      At least 0 and at most ln 2, float32 (float64 where that is enabled); above 0.05 the paper
      calls a unit positional. Few rows look as if they had some: it is 1 / (2 rows) too high in
      the mean if there is none.

    Raises:
      TypeError: ``active`` is not an array of booleans.
      ValueError: it has other than three axes, or is empty.

    Example:
      >>> early = jnp.arange(6) < 3
      >>> active = jnp.stack([early, jnp.ones(6, bool)], -1)[None].repeat(4, 0)
      >>> print(positional_information(active).round(4))  # ln 2 and 0
      [0.6931 0.    ]
    """
    _require_active("positional_information", active)
    return _position(jnp.asarray(active))


@partial(jax.jit, inline=True)
def _position(active: jax.Array) -> jax.Array:
    share = jnp.mean(active, 0, dtype=jnp.result_type(float))
    return jnp.maximum(_coin(jnp.mean(share, 0)) - jnp.mean(_coin(share), 0), 0)


def suppressed_tokens(
    down: Float[Array, "units features"],
    unembedding: Float[Array, "features vocabulary"],
    *,
    count: int = 10,
    batch_size: int = 64,
) -> Int[Array, "units count"]:
    r"""Find the tokens that a unit, when active, speaks most against.

    .. math:: \operatorname{arg\,sort} \; W_u U

    A detector that has its own triggers among them removes the current token from the stream.

    Args:
      down: W, what each unit adds to the residual stream: the kernel of the feed-forward
        network's second map.
      unembedding: U, from the stream to the logits. Scale a pre-norm model's by its final
        normalisation's scale, ``scale[:, None] * U``.
      count: how many tokens.
      batch_size: units whose logits are held at once.

    Returns:
      Tokens, the lowest logit first; of ``-down`` the tokens most spoken for.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or ``count`` is not between 1 and the number of tokens.

    Example:
      >>> suppressed_tokens(-jnp.eye(4)[:2], jnp.eye(4), count=1).tolist()
      [[0], [1]]
    """
    where = "suppressed_tokens"
    require_array(where, down=down, unembedding=unembedding)
    require(down.ndim == 2, where, "down", down, "shape (units, features)")
    good = unembedding.ndim == 2 and len(unembedding) == down.shape[1]
    needs = f"shape ({down.shape[1]}, vocabulary), a row for each column of `down`"
    require(good, where, "unembedding", unembedding, needs)
    require_count(where, count=count)
    size = unembedding.shape[1]
    require(count <= size, where, "count", count, f"at most {size}, the tokens there are")
    wide = accumulation_dtype(jnp.promote_types(down.dtype, unembedding.dtype))
    unembedding = jnp.asarray(unembedding).astype(wide)

    def lowest(row: jax.Array) -> jax.Array:
        return jax.lax.top_k(-(row @ unembedding), count)[1]

    return chunked_map(where, lowest, jnp.asarray(down).astype(wide), batch_size)


def _coin(p: jax.Array) -> jax.Array:
    """Give the entropy of a coin in nats; of none for certainty."""
    return jax.scipy.special.entr(p) + jax.scipy.special.entr(1 - p)


def _require_active(where: str, active: jax.Array) -> None:
    require_array(where, floating=False, active=active)
    if active.dtype != jnp.bool_:
        raise TypeError(
            f"{where}: `active` has dtype {active.dtype}; it needs booleans; take `h > 0`."
        )
    good = active.ndim == 3 and active.size > 0
    require(good, where, "active", active, "shape (batch, time, units), not empty")
