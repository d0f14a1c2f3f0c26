r"""Whether attributions notice that the model was destroyed.

Source: "Sanity Checks for Saliency Maps" (2018), the model parameter randomisation test; with
the complexity of the attributions in place of their similarity it is the efficient one of
"Sanity Checks Revisited: An Exploration to Repair the Model Parameter Randomisation Test"
(2023), with ``attribution.smooth`` its smooth one.

    ruined = randomize_parameters(params, model.init(key, x)["params"], paths)
    explain = lambda params: attribution.gradient(lambda x: model.apply({"params": params}, ...), x)
    jax.vmap(lambda p: spearman(explain(params), explain(p)))(ruined)

The random logit test is the same similarity between the attributions of two classes; Pearson's
correlation is ``jnp.corrcoef``.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype, mean_ranks
from jaxnn.analysis.faithfulness._entries import correlation


def randomize_parameters(
    params: Any, fresh: Any, paths: Sequence[str], *, cascading: bool = True
) -> Any:
    """Replace the parameters of one layer after another by untrained ones.

    Args:
      params: of the trained model, a tree of arrays.
      fresh: of the same model, freshly initialised with another key.
      paths: layers in the order to destroy them, the output's first: ``"Dense_1"`` or
        ``"block_0/attention"``, each the first parts of parameters' paths.
      cascading: keep the layers before destroyed; else destroy one at a time.

    Returns:
      A tree like ``params`` with one more leading axis, over ``paths``.

    Raises:
      ValueError: the trees differ, ``paths`` is empty, or one of them names no parameter.

    Gradient: flows to the parameters kept and to those put in.

    Example:
      >>> params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
      >>> fresh = {"a": jnp.ones(1), "b": jnp.ones(1)}
      >>> ruined = randomize_parameters(params, fresh, ["b", "a"])
      >>> ruined["a"].tolist(), ruined["b"].tolist()
      ([[0.0], [1.0]], [[1.0], [1.0]])
    """
    where = "randomize_parameters"
    require(len(paths) > 0, where, "paths", paths, "one path at least")
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    others, other = jax.tree.flatten(fresh)
    shapes = [jnp.shape(leaf) for _, leaf in leaves]
    alike = structure == other and shapes == [jnp.shape(leaf) for leaf in others]
    hint = "Make it by `model.init(other_key, x)`."
    require(alike, where, "fresh", other, "the structure and shapes of `params`", hint)
    for path in paths:
        known = any(_inside(name, path) for name in names)
        require(known, where, "paths", path, f"the start of one of {', '.join(names)}")
    stages = np.arange(len(paths))

    def stack(name: str, leaf: jax.Array, new: jax.Array) -> jax.Array:
        hits = np.array([_inside(name, path) for path in paths])
        new_at = np.maximum.accumulate(hits) if cascading else hits
        return jnp.stack([new if new_at[stage] else leaf for stage in stages])

    stacked = [
        stack(name, leaf, new) for name, (_, leaf), new in zip(names, leaves, others, strict=True)
    ]
    return jax.tree.unflatten(structure, stacked)


def _inside(name: str, path: str) -> bool:
    """Tell whether a parameter lies at a path or below it."""
    return name == path or name.startswith(f"{path}/")


def spearman(first: Float[Array, "*shape"], second: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Correlate the ranks of two attributions of one example; equals share their mean rank.

    Args:
      first: attributions, any shape.
      second: others, of the same shape.

    Returns:
      From -1 to 1, in float32 or wider; zero if one is constant.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: shapes disagree.

    Gradient: none through ranks.

    Example:
      >>> a = jnp.array([1.0, 5.0, 3.0])
      >>> spearman(a, a**3).round(4).item()
      1.0
    """
    _check("spearman", first, second)
    return correlation(mean_ranks(first), mean_ranks(second))


def ssim(
    first: Float[Array, "height width"],
    second: Float[Array, "height width"],
    *,
    window: int = 7,
    data_range: float | None = None,
) -> Float[Array, ""]:
    r"""Compare two maps by the structural similarity of their windows.

    .. math:: \mathbb{E}\,\frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}
       {(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}, \qquad
       c_1 = (0.01 L)^2, \; c_2 = (0.03 L)^2

    over all windows that lie within the maps, with sample variances, as scikit-image has it;
    "Image quality assessment: from error visibility to structural similarity" (2004).

    Args:
      first: a map.
      second: another of the same shape.
      window: side of a window, above 1.
      data_range: L; the largest value of both maps less the smallest if ``None``.

    Returns:
      From -1 to 1, in float32 or wider; one if all values are equal.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: shapes disagree or are smaller than the window.

    Example:
      >>> a = jnp.arange(64.0).reshape(8, 8)
      >>> ssim(a, a).round(4).item(), bool(ssim(a, 63 - a) < 0)
      (1.0, True)
    """
    where = "ssim"
    _check(where, first, second)
    require_count(where, window=window)
    fits = first.ndim == 2 and 1 < window <= min(first.shape)
    needs = f"shape (height, width), each at least window = {window}, which is above 1"
    require(fits, where, "first", first, needs)
    wide = accumulation_dtype(jnp.promote_types(first.dtype, second.dtype))
    a, b = first.astype(wide), second.astype(wide)
    if data_range is None:
        span = jnp.maximum(a.max(), b.max()) - jnp.minimum(a.min(), b.min())
    else:
        span = jnp.asarray(data_range, wide)
    # Seen relative to L, squares neither overflow nor vanish.
    span = jnp.where(span > 0, span, 1)
    a, b = a / span, b / span
    middle = (a.mean() + b.mean()) / 2

    def mean(values: jax.Array) -> jax.Array:
        side = (window, window)
        total = jax.lax.reduce_window(values, 0.0, jax.lax.add, side, (1, 1), "VALID")
        return total / window**2

    # Variances of what is left of the mean of both: less is lost in the difference.
    near, far = a - middle, b - middle
    sample = window**2 / (window**2 - 1)
    mean_near, mean_far = mean(near), mean(far)
    variances = sum(sample * (mean(v**2) - m**2) for v, m in ((near, mean_near), (far, mean_far)))
    covariance = sample * (mean(near * far) - mean_near * mean_far)
    mean_a, mean_b = mean_near + middle, mean_far + middle
    one, two = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + one) * (2 * covariance + two)
    return jnp.mean(top / ((mean_a**2 + mean_b**2 + one) * (variances + two)))


def _check(where: str, first: jax.Array, second: jax.Array) -> None:
    """Require two arrays of one shape."""
    require_array(where, first=first, second=second)
    require(second.shape == first.shape, where, "second", second, f"the shape {first.shape}")
