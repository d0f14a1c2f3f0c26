r"""Whether attributions lie where a mask says that the object is.

Sources: "Top-down Neural Attention by Excitation Backprop" (2016), pointing game; "CLEVR-XAI: A
benchmark dataset for the ground truth evaluation of neural network explanations" (2022),
relevance mass and rank accuracy.

=======  ====================================================
a        ``attributions`` of one example, any shape
m        ``mask``, True where the object is
=======  ====================================================

Take magnitudes, or what is above zero, first if that is what is meant. An empty mask scores
zero (False) here, NaN in quantus.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype, mean_ranks
from jaxnn.analysis.faithfulness._entries import places


def pointing_game(
    attributions: Float[Array, "*shape"], mask: Bool[Array, "*shape"]
) -> Bool[Array, ""]:
    """Tell whether the largest attribution, or one of the largest, lies on the object.

    Args:
      attributions: of one example.
      mask: True where the object is.

    Raises:
      TypeError: ``attributions`` is not an array of floats, or ``mask`` not one of truth values.
      ValueError: shapes disagree.

    Example:
      >>> pointing_game(jnp.array([0.2, 0.9]), jnp.array([False, True])).item()
      True
    """
    _check("pointing_game", attributions, mask)
    return jnp.any(mask & (attributions == attributions.max()))


def relevance_mass_accuracy(
    attributions: Float[Array, "*shape"], mask: Bool[Array, "*shape"]
) -> Float[Array, ""]:
    r"""Give the share of all attribution that lies on the object.

    .. math:: \sum_{i \in m} a_i \Big/ \sum_i a_i

    Of ``jnp.maximum(attributions, 0)`` it is attribution localisation; of those on a mosaic of
    images, with the mask True on the images of the class explained, it is focus.

    Args:
      attributions: of one example, all of one sign.
      mask: True where the object is.

    Returns:
      A number in float32 or wider; zero if the attributions add up to zero.

    Raises:
      TypeError: ``attributions`` is not an array of floats, or ``mask`` not one of truth values.
      ValueError: shapes disagree.

    Example:
      >>> relevance_mass_accuracy(jnp.array([1.0, 3.0]), jnp.array([False, True])).item()
      0.75
    """
    _check("relevance_mass_accuracy", attributions, mask)
    a = attributions.astype(accumulation_dtype(attributions.dtype))
    total = a.sum()
    return jnp.where(mask, a, 0).sum() / jnp.where(total == 0, 1, total)


def relevance_rank_accuracy(
    attributions: Float[Array, "*shape"], mask: Bool[Array, "*shape"], *, k: int | None = None
) -> Float[Array, ""]:
    """Give the share of the largest attributions that lie on the object.

    Args:
      attributions: of one example.
      mask: True where the object is.
      k: how many of the largest to look at: top-k intersection; as many as the mask has entries
        if ``None``.

    Returns:
      A number from 0 to 1, in float32 or wider.

    Raises:
      TypeError: ``attributions`` is not an array of floats, or ``mask`` not one of truth values.
      ValueError: shapes disagree, or ``k`` exceeds the entries.

    Gradient: none through ranks.

    Example:
      >>> a, mask = jnp.array([1.0, 3.0, 2.0]), jnp.array([True, True, False])
      >>> relevance_rank_accuracy(a, mask).item()
      0.5
      >>> relevance_rank_accuracy(a, mask, k=1).item()
      1.0
    """
    where = "relevance_rank_accuracy"
    _check(where, attributions, mask)
    if k is not None:
        require_count(where, k=k)
        require(k <= mask.size, where, "k", k, f"at most the {mask.size} entries")
    count = mask.sum(dtype=jnp.int32) if k is None else jnp.asarray(k, jnp.int32)
    hits = jnp.sum(mask & (places(attributions) < count))
    wide = accumulation_dtype(attributions.dtype)
    return hits.astype(wide) / jnp.maximum(count, 1).astype(wide)


def localization_auc(
    attributions: Float[Array, "*shape"], mask: Bool[Array, "*shape"]
) -> Float[Array, ""]:
    r"""Give the area under the receiver operating characteristic, with the mask as labels.

    .. math:: P(a_i > a_j) + P(a_i = a_j) / 2 \qquad (i \in m, \; j \notin m)

    Args:
      attributions: of one example.
      mask: True where the object is.

    Returns:
      A number from 0 to 1, a half by chance, in float32 or wider; zero if the mask is empty or
      full.

    Raises:
      TypeError: ``attributions`` is not an array of floats, or ``mask`` not one of truth values.
      ValueError: shapes disagree.

    Gradient: none through ranks.

    Example:
      >>> a, mask = jnp.array([1.0, 3.0, 2.0]), jnp.array([True, True, False])
      >>> localization_auc(a, mask).item()
      0.5
    """
    _check("localization_auc", attributions, mask)
    inside = mask.reshape(-1)
    ranks = mean_ranks(attributions)
    positive = inside.sum().astype(ranks.dtype)
    negative = mask.size - positive
    # Mann and Whitney's count of pairs in the right order.
    pairs = jnp.where(inside, ranks, 0).sum() - positive * (positive + 1) / 2
    return pairs / jnp.maximum(positive * negative, 1)


def _check(where: str, attributions: jax.Array, mask: jax.Array) -> None:
    """Require a mask of truth values, of the shape of the attributions."""
    require_array(where, attributions=attributions)
    require_array(where, floating=False, mask=mask)
    if mask.dtype != bool:
        raise TypeError(f"{where}: `mask` has dtype {mask.dtype}; it needs truth values.")
    needs = f"the shape {attributions.shape} of `attributions`"
    require(mask.shape == attributions.shape, where, "mask", mask, needs)
