r"""Whether attributions go with the fall in output when entries are replaced.

Sources: "Evaluating and Aggregating Feature-based Model Explanations" (2020), faithfulness
correlation; "Towards better understanding of gradient-based attribution methods for Deep Neural
Networks" (2018), sensitivity-n; "Towards Robust Interpretability with Self-Explaining Neural
Networks" (2018), faithfulness estimate; "On quantitative aspects of model interpretability"
(2020) and "One Explanation Does Not Fit All: A Toolkit and Taxonomy of AI Explainability
Techniques" (2019), monotonicity.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
a        ``attributions``, of the shape of x or of its leading axes
S        a set of entries of a; f(x, S) is f(x with those replaced)
=======  ====================================================
"""

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from jaxnn._check import require, require_array, require_count, require_key
from jaxnn._numeric import accumulation_dtype, mean_ranks
from jaxnn.analysis._function import chunked_map, fill, scalar
from jaxnn.analysis.faithfulness._curves import insertion_curve
from jaxnn.analysis.faithfulness._entries import (
    beside,
    check_attributions,
    check_neighbors,
    correlation,
    places,
)

MOST_SUBSETS = 100_000


def faithfulness_correlation(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    *,
    subset_size: int,
    key: PRNGKeyArray | UInt32[Array, "2"] | None = None,
    samples: int = 100,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Correlate sums of attributions with falls in output over random sets of entries.

    .. math:: \mathrm{corr}_{|S| = \text{subset\_size}}
       \Bigl(\sum_{i \in S} a_i,\; f(x) - f(x, S)\Bigr)

    As a curve over ``subset_size`` this is sensitivity-n.

    Args:
      f: one example to one number.
      x: the example.
      attributions: like ``x``, or like its leading axes, whose entries then go with all that
        lies behind them (the pixels of a ``(height, width, channels)`` image).
      subset_size: entries replaced at once.
      key: draws the sets; all sets of the size are taken, in order, if ``None``.
      samples: sets drawn.
      baseline: what replaces an entry: an array like ``x`` or a number; zeros if ``None``.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      Pearson's correlation, float32 or wider; zero if either side is constant.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats, or ``key`` no key.
      ValueError: ``f`` returns more than one number, shapes disagree, ``subset_size`` exceeds
        the entries, or there are more than 100,000 sets and no ``key``.

    Differs: quantus' ``SensitivityN`` correlates over the examples of a batch, along the order
    of the attributions, in place of over sets within one example as in the paper.

    Example:
      >>> w, x = jnp.array([1.0, -2.0, 4.0]), jnp.ones(3)
      >>> score = faithfulness_correlation(lambda x: x @ w, x, x * w, subset_size=2)
      >>> score.round(4).item()
      1.0
    """
    where = "faithfulness_correlation"
    require_array(where, x=x)
    removed = fill(where, x, baseline)
    size = check_attributions(where, x.shape, attributions)
    require_count(where, subset_size=subset_size, samples=samples)
    needs = f"at most the {size} entries of `attributions`"
    require(subset_size <= size, where, "subset_size", subset_size, needs)
    subsets = _subsets(where, size, subset_size, key, samples)
    f = scalar(where, f)

    def change(subset: jax.Array) -> jax.Array:
        gone = beside(subset.reshape(attributions.shape), x.ndim)
        return f(x) - f(jnp.where(gone, removed, x))

    falls = chunked_map(where, change, subsets, batch_size)
    flat = attributions.astype(accumulation_dtype(attributions.dtype)).reshape(size)
    return correlation(jnp.where(subsets, flat[None], 0).sum(1), falls)


def _subsets(
    where: str, size: int, subset_size: int, key: jax.Array | None, samples: int
) -> jax.Array:
    """Draw sets of entries, or list all of them, as ``(sets, size)``, True where in the set."""
    if key is not None:
        require_key(where, key)
        noise = jax.random.uniform(key, (samples, size))
        return jax.vmap(places)(noise) < subset_size
    count = math.comb(size, subset_size)
    hint = f"There are {count} sets of {subset_size} of {size} entries, too many to take all."
    require(count <= MOST_SUBSETS, where, "key", key, "a random key", hint)
    members = np.array(list(itertools.combinations(range(size), subset_size)))
    subsets = np.zeros((count, size), bool)
    np.put_along_axis(subsets, members, True, axis=1)
    return jnp.asarray(subsets)


def faithfulness_estimate(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    *,
    group_size: int = 1,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Correlate attributions with the fall in output when each entry alone is replaced.

    .. math:: \mathrm{corr}_i \bigl(a_i,\; f(x) - f(x, \{i\})\bigr)

    Args:
      f: one example to one number.
      x: the example.
      attributions: like ``x``, or like its leading axes.
      group_size: entries replaced together, next to one another in the order of the
        attributions; their attributions are added.
      baseline: what replaces an entry: an array like ``x`` or a number; zeros if ``None``.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      Pearson's correlation, float32 or wider; zero if either side is constant.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Example:
      >>> w, x = jnp.array([1.0, -2.0, 4.0]), jnp.ones(3)
      >>> faithfulness_estimate(lambda x: x @ w, x, -x * w).round(4).item()
      -1.0
    """
    where = "faithfulness_estimate"
    require_array(where, x=x)
    removed = fill(where, x, baseline)
    groups, count = _groups(where, x, attributions, group_size)
    f = scalar(where, f)

    def change(group: jax.Array) -> jax.Array:
        return f(x) - f(jnp.where(beside(groups == group, x.ndim), removed, x))

    falls = chunked_map(where, change, jnp.arange(count, dtype=jnp.int32), batch_size)
    return correlation(_sums(attributions, groups, count), falls)


def _groups(
    where: str, x: jax.Array, attributions: jax.Array, group_size: int
) -> tuple[jax.Array, int]:
    """Give each entry the number of its group in the order of the attributions; count them."""
    size = check_attributions(where, x.shape, attributions)
    require_count(where, group_size=group_size)
    return places(attributions) // group_size, -(-size // group_size)


def _sums(attributions: jax.Array, groups: jax.Array, count: int) -> jax.Array:
    """Add up the attributions of each group."""
    flat = attributions.astype(accumulation_dtype(attributions.dtype)).reshape(-1)
    return jax.ops.segment_sum(flat, groups.reshape(-1), count)


def monotonicity(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    *,
    steps: int | None = None,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    batch_size: int | None = None,
) -> Bool[Array, ""]:
    """Tell whether the output never falls as entries are put in, least attributed first.

    Args:
      f: one example to one number.
      x: the example.
      attributions: like ``x``, or like its leading axes.
      steps: in which the entries are put into the baseline; one for each if ``None``. The first
        step's output is compared with the second's, not with that of the baseline.
      baseline: where this starts: an array like ``x`` or a number; zeros if ``None``.
      batch_size: changed copies held at once; ``None`` takes 5.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Differs: quantus' ``Monotonicity`` replaces entries of the baseline by the baseline, so that
    its answer is always True.

    Example:
      >>> x = jnp.array([1.0, -2.0, 4.0])
      >>> monotonicity(jnp.sum, x, jnp.abs(x)).item(), monotonicity(jnp.sum, x, x).item()
      (False, True)
    """
    where = "monotonicity"
    size = check_attributions(where, x.shape, attributions)
    steps = size if steps is None else steps
    require_count(where, steps=steps)
    curve = insertion_curve(
        f, x, -attributions, baseline=baseline, steps=steps, batch_size=batch_size
    )
    return jnp.all(jnp.diff(curve[1:]) >= 0)


def monotonicity_correlation(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    replacements: Float[Array, "samples *shape"],
    *,
    group_size: int = 1,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Correlate the ranks of attributions with how uncertain the output is without an entry.

    .. math:: \mathrm{spearman}_i \bigl(|a_i|,\;
       \mathbb{E}_r [(f(x \text{ with } x_i = r_i) - f(x))^2]\bigr)

    Args:
      f: one example to one number.
      x: the example.
      attributions: like ``x``, or like its leading axes.
      replacements: what to put in place of an entry: samples of examples, or noise.
      group_size: entries replaced together, next to one another in the order of the magnitudes,
        which are added.
      batch_size: groups at once, each with all replacements; ``None`` takes 5.

    Returns:
      Spearman's correlation, float32 or wider; zero if either side is constant.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Gradient: none through ranks.

    Example:
      >>> w, x = jnp.array([1.0, -2.0, 4.0]), jnp.ones(3)
      >>> monotonicity_correlation(lambda x: x @ w, x, x * w, jnp.zeros((1, 3))).round(4).item()
      1.0
    """
    where = "monotonicity_correlation"
    check_neighbors(where, "replacements", x, replacements)
    check_attributions(where, x.shape, attributions)
    magnitudes = jnp.abs(attributions)
    groups, count = _groups(where, x, magnitudes, group_size)
    f = scalar(where, f)
    wide = accumulation_dtype(x.dtype)

    def uncertainty(group: jax.Array) -> jax.Array:
        gone = beside(groups == group, x.ndim)
        change = jax.vmap(lambda r: f(jnp.where(gone, r, x)) - f(x))(replacements)
        return jnp.mean(change.astype(wide) ** 2)

    squares = chunked_map(where, uncertainty, jnp.arange(count, dtype=jnp.int32), batch_size)
    return correlation(mean_ranks(_sums(magnitudes, groups, count)), mean_ranks(squares))
