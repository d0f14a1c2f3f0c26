r"""Entropy and information of discrete states, by counting: the plug-in estimates, in nats.

Activations become states by binning: into bins of fixed width, or into bins that hold equally
many of the values seen. Rows of many units become one state by hashing.

Sources: "Opening the Black Box of Deep Neural Networks via Information" (2017) for fixed bins;
"Adaptive Estimators Show Information Compression in Deep Neural Networks" (2019) for adaptive
ones (entropy-based adaptive binning, EBAB).

=======  ==================================================================
t        activations, ``(samples, units)``
y        labels
p        the share of the samples in a state
=======  ==================================================================
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype


def bin_uniform(
    t: Float[Array, "..."],
    *,
    bins: int = 30,
    low: float | Float[Array, ""] = -1.0,
    high: float | Float[Array, ""] = 1.0,
) -> Int[Array, "..."]:
    r"""Put values into bins of equal width.

    .. math:: \lfloor b \, (t - l) / (h - l) \rfloor

    Args:
      t: values.
      bins: b.
      low: l; what lies below goes into the first bin.
      high: h, which belongs to the last bin, as does what lies above. For values without bounds,
        ``jnp.min(t)`` and ``jnp.max(t)``.

    Returns:
      Bins from 0 to ``bins - 1``, int32; all 0 unless ``high`` is above ``low``.

    Raises:
      TypeError: ``t`` is not an array of floating-point numbers.
      ValueError: ``bins`` is not a whole number above zero, or ``high`` not above ``low``.

    Example:
      >>> bin_uniform(jnp.array([-1.0, -0.1, 0.1, 1.0, 9.0]), bins=4).tolist()
      [0, 1, 2, 3, 3]
    """
    where = "bin_uniform"
    require_array(where, t=t)
    require_count(where, bins=bins)
    if isinstance(low, float | int) and isinstance(high, float | int):
        require(high > low, where, "high", high, f"a number above `low`, {low}")
    wide = jnp.asarray(t).astype(accumulation_dtype(t.dtype))
    bottom, top = (jnp.asarray(edge).astype(wide.dtype) for edge in (low, high))
    width = jnp.where(top > bottom, top - bottom, 1)
    share = (wide - jnp.broadcast_to(bottom, wide.shape)) / jnp.broadcast_to(width, wide.shape)
    return jnp.clip(jnp.floor(share * bins), 0, bins - 1).astype(jnp.int32)


def bin_quantile(t: Float[Array, "..."], *, bins: int = 30) -> Int[Array, "..."]:
    r"""Put values into bins that hold equally many of the different values seen.

    The edges are the quantiles, at 1 / b, ..., (b - 1) / b, of the values with repetitions taken
    out, all units together; so no value that is frequent, such as the zero of a rectifier, takes
    bins from the others, and scaling changes nothing.

    Args:
      t: values, e.g. all activations of one layer at one time.
      bins: b.

    Returns:
      Bins from 0 to ``bins - 1``, int32.

    Raises:
      TypeError: ``t`` is not an array of floating-point numbers.
      ValueError: ``bins`` is not a whole number above zero, or ``t`` is empty.

    Example:
      >>> bin_quantile(jnp.array([0.0, 0.0, 0.0, 1.0, 8.0, 9.0]), bins=2).tolist()
      [0, 0, 0, 0, 1, 1]
    """
    where = "bin_quantile"
    require_array(where, t=t)
    require_count(where, bins=bins)
    require(t.size > 0, where, "t", t, "at least one value")
    return _bin_quantile(jnp.asarray(t), bins)


@partial(jax.jit, static_argnums=1, inline=True)
def _bin_quantile(t: jax.Array, bins: int) -> jax.Array:
    values = jnp.sort(t.reshape(-1))
    first = jnp.concatenate([jnp.ones(1, bool), values[1:] > values[:-1]])
    # Repetitions go to the end, so that the different values are the first ones.
    rank = jnp.cumsum(first, dtype=jnp.int32) - 1
    count = rank[-1] + 1
    different = jnp.zeros_like(values).at[rank].set(values)
    edges = jnp.arange(1, bins, dtype=jnp.float32) / bins
    # The value below an edge stays below it: value k goes to bin floor(k b / count).
    places = jnp.ceil(edges * count.astype(jnp.float32) - 1e-3).astype(jnp.int32)
    upper = different[jnp.clip(places, 0, count - 1)]
    # More bins than values leave some without: their edges are past the last value.
    past = places >= count
    compare = jnp.where(past, jnp.inf, upper.astype(jnp.float32)).astype(t.dtype)
    return jnp.searchsorted(compare, t, side="right").astype(jnp.int32)


def discrete_states(rows: Shaped[Array, "samples *units"]) -> Int[Array, " samples"]:
    r"""Number the different rows of an array.

    Each row is hashed to 64 bits; two different ones of 4096 fall together once in 10¹² times.

    Args:
      rows: integers, booleans or floats; 0 and -0 are the same.

    Returns:
      The same number for equal rows, different ones for others: 0, 1, ... in the order of the
      hashes, which means nothing. int32.

    Raises:
      TypeError: ``rows`` is not an array of real numbers of 32 bits or fewer.
      ValueError: it has no axis, or is empty.

    Example:
      >>> states = discrete_states(jnp.array([[0, 1], [1, 0], [0, 1]]))
      >>> states[0] == states[2], states[0] == states[1], states.max().item()
      (Array(True, dtype=bool), Array(False, dtype=bool), 1)
    """
    where = "discrete_states"
    require_array(where, floating=False, rows=rows)
    require(rows.ndim > 0 and rows.size > 0, where, "rows", rows, "at least one row, not empty")
    return _states(_words(where, jnp.asarray(rows)))


def _words(where: str, rows: jax.Array) -> jax.Array:
    """Give every entry as 32-bit words, alike if and only if the entries are."""
    rows = rows.reshape(len(rows), -1)
    if jnp.issubdtype(rows.dtype, jnp.floating):
        # Adding 0 turns -0 into 0.
        rows = rows + jnp.zeros((), rows.dtype)
        if rows.dtype.itemsize == 8:
            words = jax.lax.bitcast_convert_type(rows, jnp.uint32)
            return words.reshape(len(rows), -1)
        return jax.lax.bitcast_convert_type(rows.astype(jnp.float32), jnp.uint32)
    if rows.dtype == jnp.bool_ or jnp.issubdtype(rows.dtype, jnp.integer):
        if rows.dtype.itemsize == 8:
            words = jax.lax.bitcast_convert_type(rows, jnp.uint32)
            return words.reshape(len(rows), -1)
        return rows.astype(jnp.uint32)
    raise TypeError(f"{where}: `rows` has dtype {rows.dtype}; it needs real numbers.")


@partial(jax.jit, inline=True)
def _states(words: jax.Array) -> jax.Array:
    samples, units = words.shape
    # Constants like any others; the same in every program.
    salt = np.random.default_rng(20170302).integers(0, 2**32, (2, units), np.uint32)
    hashes = []
    for constants in salt:
        mixed = _mix(words ^ jnp.asarray(constants)[None])
        # Of the sum's 32 bits none is left untouched by any column.
        hashes.append(_mix(jnp.sum(mixed * jnp.asarray(constants | 1)[None], 1, dtype=jnp.uint32)))
    order = jnp.lexsort(hashes)
    ordered = [h[order] for h in hashes]
    new = (ordered[0][1:] != ordered[0][:-1]) | (ordered[1][1:] != ordered[1][:-1])
    number = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(new, dtype=jnp.int32)])
    return jnp.zeros(samples, jnp.int32).at[order].set(number)


def _mix(x: jax.Array) -> jax.Array:
    """Spread every bit over all 32: the last steps of the hash MurmurHash3."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> jnp.uint32(shift))) * jnp.uint32(factor)
    return x ^ (x >> jnp.uint32(16))


def discrete_entropy(rows: Shaped[Array, "samples *units"]) -> Float[Array, ""]:
    r"""Estimate the entropy of discrete states from their frequencies, in nats.

    .. math:: - \sum_s p_s \ln p_s

    Divide by ln 2 for bits. From n samples it cannot come out above ln n.

    Args:
      rows: states, one number or one row of numbers for each sample.

    Returns:
      The entropy, float32 (float64 where that is enabled).

    Raises:
      TypeError: ``rows`` is not an array of real numbers.
      ValueError: it has no axis, or is empty.

    Example:
      >>> print((discrete_entropy(jnp.array([3, 3, 5, 5])) / jnp.log(2.0)).round(4))
      1.0
    """
    where = "discrete_entropy"
    require_array(where, floating=False, rows=rows)
    require(rows.ndim > 0 and rows.size > 0, where, "rows", rows, "at least one row, not empty")
    return _entropy(_states(_words(where, jnp.asarray(rows))))


@partial(jax.jit, inline=True)
def _entropy(states: jax.Array) -> jax.Array:
    samples = len(states)
    dtype = jnp.result_type(float)
    counts = jax.ops.segment_sum(jnp.ones(samples, dtype), states, samples)
    # Σ n ln n is exact at 0 for states seen once.
    spread = jnp.sum(counts * jnp.log(jnp.maximum(counts, 1))) / samples
    return jnp.maximum(jnp.log(jnp.asarray(samples, dtype)) - spread, 0)


def discrete_mutual_information(
    a: Shaped[Array, "samples *units"], b: Shaped[Array, "samples *others"]
) -> Float[Array, ""]:
    r"""Estimate the mutual information of two discrete variables from frequencies, in nats.

    .. math:: H(A) + H(B) - H(A, B)

    Args:
      a: states of one, one number or one row of numbers for each sample.
      b: states of the other, for the same samples.

    Returns:
      The mutual information, at least 0; as scikit-learn's ``mutual_info_score``. float32
      (float64 where that is enabled).

    Raises:
      TypeError: an argument is not an array of real numbers.
      ValueError: the numbers of samples disagree, or there are none.

    Example:
      >>> a = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1]])
      >>> print(discrete_mutual_information(a, a[:, 0]).round(4))  # ln 2
      0.6931
    """
    where = "discrete_mutual_information"
    require_array(where, floating=False, a=a, b=b)
    require(a.ndim > 0 and a.size > 0, where, "a", a, "at least one row, not empty")
    needs = f"{len(a)} samples, as many as `a`, not empty"
    require(b.ndim > 0 and b.size > 0 and len(a) == len(b), where, "b", b, needs)
    first, second = (_states(_words(where, jnp.asarray(x))) for x in (a, b))
    return _information(first, second)


@partial(jax.jit, inline=True)
def _information(a: jax.Array, b: jax.Array) -> jax.Array:
    both = _states(jnp.stack([a, b], 1).astype(jnp.uint32))
    return jnp.maximum(_entropy(a) + _entropy(b) - _entropy(both), 0)
