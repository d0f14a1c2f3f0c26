"""One support vector machine a class, each against the rest."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer

from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import _check


def squared_hinge(
    outputs: Float[Array, "*batch classes"], targets: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Give the sum over classes of the squared hinge loss, the label's class against each other.

    .. math:: \ell = \sum_c \max(0, 1 - s_c z_c)^2, \quad
        s_c = \begin{cases} 1 & c = y \\ -1 & c \ne y \end{cases}

    with z ``outputs``, y ``targets``. Over a linear layer with weight decay 1 / (2 C) on the sum,
    it is the primal problem of an L2-SVM with penalty C, one against the rest; over a
    convolutional network its gradient goes on through the hinge. Optax's ``hinge_loss`` is
    squared here: a margin missed by more pulls harder, and the slope is continuous.

    Args:
      outputs: scores, one per class; the largest is the answer.
      targets: integer labels in [0, classes); others give NaN.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ.

    Source: "Deep Learning using Linear Support Vector Machines" (2013), section 2.2; "An
    Architecture Combining Convolutional Neural Network (CNN) and Support Vector Machine (SVM) for
    Image Classification" (2017).

    Example:
      >>> squared_hinge(jnp.array([[0.5, -1.0, 0.0]]), jnp.array([0])).tolist()
      [1.25]
    """
    outputs, targets = _check("squared_hinge", outputs, targets)
    scores = outputs.astype(accumulation_dtype(outputs.dtype))
    classes = outputs.shape[-1]
    signs = 2 * jax.nn.one_hot(targets, classes, dtype=scores.dtype) - 1
    value = jnp.sum(optax.losses.hinge_loss(scores, signs) ** 2, axis=-1)
    return jnp.where((targets >= 0) & (targets < classes), value, jnp.nan)
