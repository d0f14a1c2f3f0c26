r"""Datasets with only what attributions rank high or low, for a model to be trained on anew.

Sources: "A Benchmark for Interpretability Methods in Deep Neural Networks" (2019), ROAR; "Do
Input Gradients Highlight Discriminative Features?" (2021), DiffROAR.

=======  ====================================================
x, a     an example and its ``attributions``
k        ``fraction`` of the entries
=======  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn.analysis._function import fill
from jaxnn.analysis.faithfulness._entries import beside, check_attributions, places


def keep_ranked(
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    *,
    fraction: float,
    largest: bool = True,
    baseline: Float[Array, "*shape"] | float | int | None = None,
) -> Float[Array, "*shape"]:
    """Keep the entries of one example with the largest, or smallest, attributions.

    vmapped over a dataset, ``largest=False, fraction=1 - t`` makes ROAR's, with the top t
    removed. The largest k and the smallest 1 - k never share an entry: among equals the earlier
    is the larger.

    Args:
      x: the example.
      attributions: like ``x``, or like its leading axes, whose entries then go with all that
        lies behind them.
      fraction: of the entries to keep, from 0 to 1, rounded to whole entries.
      largest: keep those with the largest attributions, else the smallest.
      baseline: what replaces the others: an array like ``x`` or a number, ROAR's mean of the
        data; zeros if ``None``.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: shapes disagree, or ``fraction`` is outside of 0 to 1.

    Gradient: flows to ``x`` and ``baseline``.

    Example:
      >>> x, a = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([0.0, 9.0, 8.0, 7.0])
      >>> keep_ranked(x, a, fraction=0.5).tolist()
      [0.0, 2.0, 3.0, 0.0]
      >>> keep_ranked(x, a, fraction=0.25, largest=False).tolist()
      [1.0, 0.0, 0.0, 0.0]
    """
    where = "keep_ranked"
    require_array(where, x=x)
    others = fill(where, x, baseline)
    size = check_attributions(where, x.shape, attributions)
    require(0 <= fraction <= 1, where, "fraction", fraction, "a number from 0 to 1")
    count = round(fraction * size)
    place = places(attributions)
    kept = place < count if largest else place >= size - count
    return jnp.where(beside(kept, x.ndim), x, others)


def diff_roar(
    predictive_power: Callable[[jax.Array], ArrayLike],
    x: Float[Array, "examples *shape"],
    attributions: Float[Array, "examples ..."],
    *,
    fraction: float,
    baseline: Float[Array, "*shape"] | float | int | None = None,
) -> jax.Array:
    r"""Compare what can be learned from the entries ranked high with those ranked low.

    .. math:: \mathrm{DiffROAR} = \mathrm{PredPower}(\text{top } k)
       - \mathrm{PredPower}(\text{bottom } k)

    Above zero the attributions highlight what tells the classes apart, below zero they mislead.

    Args:
      predictive_power: trains a model on a dataset like ``x`` and gives its accuracy. It knows
        labels, splits and seeds; it is called twice.
      x: the dataset.
      attributions: those of each example, like ``x`` or like its leading axes.
      fraction: of each example's entries to keep, from 0 to 1.
      baseline: what replaces the others: an array like one example or a number; zeros if
        ``None``.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: shapes disagree, or ``fraction`` is outside of 0 to 1.

    Example:
      >>> x = jnp.array([[1.0, 2.0], [4.0, 3.0]])
      >>> diff_roar(jnp.sum, x, x, fraction=0.5).item()
      2.0
    """
    where = "diff_roar"
    require_array(where, x=x, attributions=attributions)
    require_rank(where, "x", x, 1, "(examples, *shape)")
    needs = f"the examples of `x`, {len(x)}, as its first axis"
    matches = attributions.shape[:1] == x.shape[:1]
    require(matches, where, "attributions", attributions, needs)

    def power(largest: bool) -> ArrayLike:
        def keep(x: jax.Array, a: jax.Array) -> jax.Array:
            return keep_ranked(x, a, fraction=fraction, largest=largest, baseline=baseline)

        return predictive_power(jax.vmap(keep)(x, attributions))

    return jnp.subtract(power(True), power(False))
