"""Cross-entropy and accuracy against integer class labels."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer

from jaxnn._check import describe, require, require_array
from jaxnn._numeric import accumulation_dtype


def cross_entropy(
    outputs: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Float[Array, "*batch"]:
    r"""Give the negative log-likelihood of each label under the softmax of its logits, in nats.

    .. math:: \ell = -\sum_c q_c \log \mathrm{softmax}(z)_c + \zeta \log^2 \sum_c e^{z_c}, \quad
        q = (1 - \epsilon) \, \mathrm{onehot}(y) + \epsilon / C

    with z ``outputs``, y ``targets``, ε ``label_smoothing``, ζ ``z_loss``, C the number of
    classes.

    Args:
      outputs: logits, one per class.
      targets: integer labels in [0, classes); others give NaN.
      label_smoothing: share of the target spread evenly over all classes, in [0, 1).
      z_loss: weight of what keeps the softmax's normaliser near one, where the likelihood does
        not care; 1e-4 in PaLM, 1e-5 in OLMo 2.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ, ``label_smoothing`` is outside [0, 1), or ``z_loss``
        is negative.

    Source: "Rethinking the Inception Architecture for Computer Vision" (2015), section 7, for
    the smoothing; "PaLM: Scaling Language Modeling with Pathways" (2022), section 5, for the
    z-loss.
    """
    outputs, targets = _check("cross_entropy", outputs, targets)
    require(
        0 <= label_smoothing < 1,
        "cross_entropy",
        "label_smoothing",
        label_smoothing,
        "a number in [0, 1)",
    )
    require(z_loss >= 0, "cross_entropy", "z_loss", z_loss, "a weight of at least zero")
    logits = outputs.astype(accumulation_dtype(outputs.dtype))
    value = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    if label_smoothing:
        # The mean over classes of -log softmax, written without a second softmax.
        even = jax.nn.logsumexp(logits, axis=-1) - jnp.mean(logits, axis=-1)
        value = (1 - label_smoothing) * value + label_smoothing * even
    if z_loss:
        value = value + z_loss * jax.nn.logsumexp(logits, axis=-1) ** 2
    # A label of -1, often meant as "ignore", would index the last class.
    known = (targets >= 0) & (targets < outputs.shape[-1])
    return jnp.where(known, value, jnp.nan)


def accuracy(
    outputs: Float[Array, "*batch classes"], targets: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Give 1 where the largest logit is the label's, else 0; the first wins a tie.

    Args:
      outputs: logits or probabilities, one per class.
      targets: integer labels.

    Returns:
      Zeros and ones in float32; their mean is the accuracy.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ.
    """
    outputs, targets = _check("accuracy", outputs, targets)
    return (jnp.argmax(outputs, axis=-1) == targets).astype(jnp.float32)


def _check(where: str, outputs: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    require_array(where, outputs=outputs)
    require_array(where, floating=False, targets=targets)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(
            f"{where}: `targets` is {describe(targets)}; it needs integer class labels. "
            "For regression use squared_error."
        )
    require(
        outputs.ndim > 0 and outputs.shape[:-1] == targets.shape,
        where,
        "targets",
        targets,
        f"shape {outputs.shape[:-1]}, that of `outputs` without its class axis",
        "Are the labels one-hot? Take their argmax." if targets.shape == outputs.shape else "",
    )
    targets = jnp.asarray(targets)
    # Bytes cannot be compared with a number of classes that is 256: it would wrap to 0.
    narrow = targets.dtype.itemsize < 4
    return jnp.asarray(outputs), targets.astype(jnp.int32) if narrow else targets


def _of_label(values: jax.Array, targets: jax.Array) -> jax.Array:
    """Pick the label's entry of the last axis; NaN for a label that there is not."""
    known = (targets >= 0) & (targets < values.shape[-1])
    picked = jnp.take_along_axis(values, jnp.where(known, targets, 0)[..., None], axis=-1)
    return jnp.where(known, picked[..., 0], jnp.nan)
