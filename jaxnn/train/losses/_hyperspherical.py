r"""Cross-entropy of angles with a margin, and a penalty that spreads prototypes on the sphere.

======  ===============================================================
θ_c     angle between an embedding and the prototype w_c of class c
y       ``targets``, the label
s       ``scale``
m, μ    ``angular_margin`` and ``margin``
======  ===============================================================

The cosines are those of ``jaxnn.layers.feedforward.cosine_logits``.

Source: "Hyperspherical embedding for novel class classification" (2021); "CosFace: Large Margin
Cosine Loss for Deep Face Recognition" (2018) and "ArcFace: Additive Angular Margin Loss for Deep
Face Recognition" (2019) for the margins.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype, unit_vectors
from jaxnn.train.losses._classification import _check


def normalized_softmax_loss(
    outputs: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    scale: float = 16.0,
    margin: float = 0.0,
    angular_margin: float = 0.0,
) -> Float[Array, "*batch"]:
    r"""Give the negative log-likelihood of each label under the softmax of scaled cosines, in nats.

    .. math:: \ell = -\log \mathrm{softmax}(z)_y, \quad z_c = \begin{cases}
        s \, (\cos(\theta_y + m) - \mu) & c = y \\ s \cos \theta_c & c \ne y \end{cases}

    A margin asks for more than being right. From where the angle and its margin together pass π,
    the label's cosine goes on falling as that of θ does.

    Args:
      outputs: cosines, one per class, in [-1, 1].
      targets: integer labels in [0, classes); others give NaN.
      scale: s; larger for more classes.
      margin: μ, taken off the label's cosine (CosFace; 0.35 for faces).
      angular_margin: m in [0, π/2], added to the label's angle (ArcFace; 0.5 for faces).

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ, or an option is outside its range.

    Differs: ArcFace's code jumps where angle and margin pass π.

    Example:
      >>> cosines = jnp.array([[1.0, 0.0]])
      >>> normalized_softmax_loss(cosines, jnp.array([0]), scale=1.0, margin=1.0).round(3).tolist()
      [0.693]
    """
    where = "normalized_softmax_loss"
    outputs, targets = _check(where, outputs, targets)
    require_positive(where, scale=scale)
    require(margin >= 0, where, "margin", margin, "a number of at least zero")
    ok = 0 <= angular_margin <= math.pi / 2
    require(ok, where, "angular_margin", angular_margin, "an angle from zero to a right one")
    cosines = outputs.astype(accumulation_dtype(outputs.dtype))
    classes = outputs.shape[-1]
    of_label = jax.nn.one_hot(targets, classes, dtype=bool)
    own = _later(cosines, angular_margin) if angular_margin else cosines
    logits = scale * jnp.where(of_label, own - margin, cosines)
    value = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return jnp.where((targets >= 0) & (targets < classes), value, jnp.nan)


def prototype_spread(
    kernel: Float[Array, "*batch inputs classes"], *, cosine: float = -1.0
) -> Float[Array, "*batch classes"]:
    r"""Give for each class how close the prototypes of others come to its own.

    .. math:: r_c = \frac{1}{C - 1} \sum_{k \ne c} \max(0, \cos \angle(w_c, w_k) - t)

    with w the columns of ``kernel``, t ``cosine``, C the number of classes. Added to a loss it
    spreads the prototypes over the sphere. With t = -1 / (C - 1) it is zero just for the simplex,
    whose directions are as far from each other as C can be; that takes C - 1 dimensions.

    Args:
      kernel: prototypes as columns, of any length, not zero.
      cosine: t in [-1, 1), up to which nothing is penalised. With -1 all pairs count alike, and
        what is least is their mean only.

    Returns:
      One value per class, in float32 or wider.

    Raises:
      TypeError: ``kernel`` is not floating-point.
      ValueError: there are less than two classes, or ``cosine`` is outside its range.

    Example:
      >>> prototype_spread(jnp.array([[2.0, 0.0], [0.0, 1.0]]), cosine=-1.0).tolist()
      [1.0, 1.0]
    """
    where = "prototype_spread"
    require_array(where, kernel=kernel)
    require_rank(where, "kernel", kernel, 2, "(*batch, inputs, classes)")
    classes = kernel.shape[-1]
    require(classes > 1, where, "kernel", kernel, "at least two classes")
    require(-1 <= cosine < 1, where, "cosine", cosine, "a number in [-1, 1)")
    w = unit_vectors(kernel.astype(accumulation_dtype(kernel.dtype)), axis=-2)
    cosines = jnp.einsum("...ic,...ik->...ck", w, w, precision="highest")
    own = jnp.broadcast_to(jnp.eye(classes, dtype=bool), cosines.shape)
    return jnp.sum(jnp.where(own, 0, jax.nn.relu(cosines - cosine)), axis=-1) / (classes - 1)


def _later(cosines: jax.Array, margin: float) -> jax.Array:
    """Give cos(θ + m), and from θ = π - m on, where it is -1, go down with cos θ."""
    edge = -math.cos(margin)
    inside = cosines > edge
    # Beside the poles the sine has no slope in float32; there it is taken as constant.
    sine_square = jnp.where(inside, 1 - cosines**2, 1)
    some = sine_square > jnp.finfo(cosines.dtype).eps
    sine = jnp.where(some, jnp.sqrt(jnp.where(some, sine_square, 1)), 0)
    turned = math.cos(margin) * cosines - math.sin(margin) * sine
    return jnp.where(inside, turned, cosines - edge - 1)
