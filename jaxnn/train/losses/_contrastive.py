"""Losses of pairs: alike together and unlike apart, each pair alone or against its batch.

Source: "Dimensionality Reduction by Learning an Invariant Mapping" (2006); "Improved Deep Metric
Learning with Multi-class N-pair Loss Objective" (2016); "Representation Learning with Contrastive
Predictive Coding" (2018).
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxnn._check import describe, require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype, unit_vectors
from jaxnn.train.losses._triplet import _check_alike, _distance


def contrastive_loss(
    firsts: Float[Array, "*batch features"],
    seconds: Float[Array, "*batch features"],
    alike: Bool[Array, "*batch"],
    *,
    margin: float = 1.0,
) -> Float[Array, "*batch"]:
    r"""Give a Siamese network's loss: pairs alike are pulled together, others pushed to a margin.

    .. math:: \ell = \begin{cases} d^2 / 2 & \text{alike} \\
        \max(0, m - d)^2 / 2 & \text{else} \end{cases}, \quad d = \lVert x - y \rVert_2

    with x ``firsts``, y ``seconds``, m ``margin``.

    Args:
      firsts: one embedding of each pair.
      seconds: the other.
      alike: whether both are of one class.
      margin: distance from which unlike ones are left alone.

    Returns:
      One value per pair, in float32 or wider. Unlike ones that coincide get no gradient.

    Raises:
      TypeError: the embeddings are not floating-point or ``alike`` is not boolean.
      ValueError: the shapes disagree, or ``margin`` is not positive.

    Example:
      >>> x, y = jnp.zeros((2, 1)), jnp.full((2, 1), 0.5)
      >>> contrastive_loss(x, y, jnp.array([True, False]), margin=2.0).tolist()
      [0.125, 1.125]
    """
    where = "contrastive_loss"
    require_positive(where, margin=margin)
    _check_alike(where, firsts=firsts, seconds=seconds)
    require_array(where, floating=False, alike=alike)
    if alike.dtype != jnp.bool_:
        raise TypeError(f"{where}: `alike` is {describe(alike)}; it needs booleans.")
    shape = firsts.shape[:-1]
    require(alike.shape == shape, where, "alike", alike, f"shape {shape}, one for each pair")
    distance = _distance(firsts, seconds)
    return jnp.where(alike, distance**2, jax.nn.relu(margin - distance) ** 2) / 2


def info_nce(
    anchors: Float[Array, "*batch pairs features"],
    positives: Float[Array, "*batch pairs features"],
    *,
    temperature: float = 1.0,
    cosine: bool = False,
) -> Float[Array, "*batch pairs"]:
    r"""Give how unlikely each anchor's own positive is among all positives of the batch, in nats.

    .. math:: \ell_i = -\log \frac{\exp(s_{ii} / \tau)}{\sum_j \exp(s_{ij} / \tau)}, \quad
        s_{ij} = x_i \cdot y_j

    with x ``anchors``, y ``positives``, τ ``temperature``. At temperature 1 it is the N-pair loss;
    with cosines the loss of contrastive predictive coding's descendants. Pairs of one class count
    as negatives of each other, so a batch should hold each class once. For two views of each
    example where all others of both views are negatives take ``optax.losses.ntxent``.

    Args:
      anchors: embeddings x.
      positives: embeddings y; row i belongs to row i of ``anchors``.
      temperature: τ; with cosines often 0.05 to 0.5.
      cosine: whether to divide both by their lengths.

    Returns:
      One value per anchor, in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes differ, or ``temperature`` is not positive.

    Example:
      >>> info_nce(jnp.zeros((4, 2)), jnp.ones((4, 2))).round(3).tolist()
      [1.386, 1.386, 1.386, 1.386]
    """
    where = "info_nce"
    require_positive(where, temperature=temperature)
    _check_alike(where, anchors=anchors, positives=positives)
    require_rank(where, "anchors", anchors, 2, "(*batch, pairs, features)")
    wide = accumulation_dtype(anchors.dtype)
    x, y = anchors.astype(wide), positives.astype(wide)
    if cosine:
        x, y = unit_vectors(x), unit_vectors(y)
    logits = jnp.einsum("...if,...jf->...ij", x, y, precision="highest") / temperature
    own = jnp.broadcast_to(jnp.arange(x.shape[-2]), logits.shape[:-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, own)
