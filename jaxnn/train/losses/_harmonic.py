"""Cross-entropy of probabilities that fall with a power of distances."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxnn._check import require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import _check, _of_label


def harmonic_loss(
    outputs: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    exponent: float,
) -> Float[Array, "*batch"]:
    r"""Give the negative log-likelihood of each label, likelier the nearer its centre, in nats.

    .. math:: \ell = -\log \frac{d_y^{-n}}{\sum_c d_c^{-n}}

    with d ``outputs``, y ``targets``, n ``exponent``. Only ratios of distances matter. Of the
    layer ``jaxnn.layers.feedforward.harmonic_logits``, which gives :math:`-n \log d_c`, take the
    ``cross_entropy``.

    Args:
      outputs: distances to the centre of each class. Those below the smallest normal number, and
        so negative ones, count as that number, without a gradient.
      targets: integer labels in [0, classes); others give NaN.
      exponent: n, about the square root of the space's dimension.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ, or ``exponent`` is not positive.

    Source: "Harmonic Loss Trains Interpretable AI Models" (2025), section 2.

    Example:
      >>> harmonic_loss(jnp.array([[1.0, 2.0]]), jnp.array([0]), exponent=1.0).round(3).tolist()
      [0.405]
    """
    outputs, targets = _check("harmonic_loss", outputs, targets)
    require_positive("harmonic_loss", exponent=exponent)
    distances = outputs.astype(accumulation_dtype(outputs.dtype))
    least = jnp.finfo(distances.dtype).tiny
    logits = -exponent * jnp.log(jnp.where(distances > least, distances, least))
    return jax.nn.logsumexp(logits, axis=-1) - _of_label(logits, targets)
