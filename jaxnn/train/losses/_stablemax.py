r"""Cross-entropy without exponentials, and when the softmax's gradient has rounded to zero.

On data that a network fits, scaling all logits up lowers the cross-entropy without end. At some
scale the label's exponential absorbs all others in floating point: the loss is exactly zero and
learning stops. StableMax grows linearly above zero, so that absorbing takes logits 10⁷ apart.

======  ======================================
z       ``outputs``, one logit per class
y       ``targets``, the label
======  ======================================

Source: "Grokking at the Edge of Numerical Stability" (2025).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxnn._check import require_array, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import _check, _of_label


def log_stablemax(outputs: Float[Array, "*batch classes"]) -> Float[Array, "*batch classes"]:
    r"""Give the logarithms of probabilities made without exponentials.

    .. math:: p_c = \frac{s(z_c)}{\sum_k s(z_k)}, \quad
        s(z) = \begin{cases} z + 1 & z \ge 0 \\ 1 / (1 - z) & z < 0 \end{cases}

    with z ``outputs``. Since :math:`\log s(z) = \mathrm{sign}(z) \log(1 + |z|)`, it is a softmax
    of logits squashed to their logarithms, finite for all finite ones. Other than the softmax it
    changes when a constant is added to all logits.

    Args:
      outputs: logits, one per class.

    Returns:
      Logarithms of probabilities in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point.
      ValueError: there is no axis of classes.

    Example:
      >>> jnp.exp(log_stablemax(jnp.array([2.0, -1.0, -1.0]))).round(3).tolist()
      [0.75, 0.125, 0.125]
    """
    where = "log_stablemax"
    require_array(where, outputs=outputs)
    require_rank(where, "outputs", outputs, 1, "(*batch, classes)")
    return jax.nn.log_softmax(_log_scores(outputs), axis=-1)


def stablemax_cross_entropy(
    outputs: Float[Array, "*batch classes"], targets: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Give the negative log-likelihood of each label under StableMax, in nats.

    .. math:: \ell = \log \sum_c s(z_c) - \log s(z_y)

    with s of :func:`log_stablemax`.

    Args:
      outputs: logits, one per class.
      targets: integer labels in [0, classes); others give NaN.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ.
    """
    outputs, targets = _check("stablemax_cross_entropy", outputs, targets)
    scores = _log_scores(outputs)
    return jax.nn.logsumexp(scores, axis=-1) - _of_label(scores, targets)


def softmax_collapse(
    outputs: Float[Array, "*batch classes"], targets: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Give 1 where the label's exponential absorbs the sum of all others, else 0.

    .. math:: \sum_{c \ne y} e^{z_c - z_y} \le \epsilon / 2

    with ε the spacing of floating-point numbers above 1, in the dtype that losses are computed
    in: 1 plus the sum is then 1. The label's probability is exactly 1, and the gradient of the
    softmax cross-entropy for its logit exactly 0. In float32 that takes a margin of 16.6, and more
    for many classes.

    Args:
      outputs: logits, one per class.
      targets: integer labels in [0, classes); others give NaN.

    Returns:
      Zeros and ones in float32; their mean is the share of examples that taught nothing.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ.

    Example:
      >>> softmax_collapse(jnp.array([[16.0, 0.0], [17.0, 0.0]]), jnp.array([0, 0])).tolist()
      [0.0, 1.0]
    """
    outputs, targets = _check("softmax_collapse", outputs, targets)
    logits = outputs.astype(accumulation_dtype(outputs.dtype))
    label = _of_label(logits, targets)
    of_label = jax.nn.one_hot(targets, outputs.shape[-1], dtype=bool)
    others = jnp.where(of_label, -jnp.inf, logits)
    # An infinite exponential, of a label far from the largest, is above any bound.
    rest = jnp.sum(jnp.exp(others - label[..., None]), axis=-1)
    collapsed = (rest <= jnp.finfo(logits.dtype).eps / 2).astype(jnp.float32)
    return jnp.where(jnp.isnan(label), jnp.nan, collapsed)


def _log_scores(outputs: jax.Array) -> jax.Array:
    """Give log s(z), with slope 1 at zero, where that of an absolute value would be lost."""
    z = outputs.astype(accumulation_dtype(outputs.dtype))
    above = z >= 0
    return jnp.log1p(jnp.where(above, z, 0)) - jnp.log1p(jnp.where(above, 0, -z))
