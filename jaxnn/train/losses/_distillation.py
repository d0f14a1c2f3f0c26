"""Cross-entropy against the probabilities of another network."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype


def distillation(
    outputs: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    temperature: float = 1.0,
) -> Float[Array, "*batch"]:
    r"""Give the cross-entropy of a student's softmax under its teacher's, in nats.

    .. math:: \ell = -T^2 \sum_c \mathrm{softmax}(t / T)_c \log \mathrm{softmax}(z / T)_c

    with z ``outputs``, t ``targets``, T ``temperature``. It is least, the teacher's entropy times
    T², where the student's probabilities are the teacher's.

    Args:
      outputs: the student's logits, one per class.
      targets: the teacher's logits. No gradient flows to them.
      temperature: T; above one, what the teacher holds unlikely counts for more. The square
        keeps the gradient's size.

    Returns:
      One value per row, in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes differ, or ``temperature`` is not positive.

    Source: "Distilling the Knowledge in a Neural Network" (2015), section 2.
    """
    where = "distillation"
    require_array(where, outputs=outputs, targets=targets)
    require(
        outputs.ndim > 0 and outputs.shape == targets.shape,
        where,
        "targets",
        targets,
        f"shape {outputs.shape}, that of `outputs`",
        "Are they labels? Use cross_entropy.",
    )
    require_positive(where, temperature=temperature)
    wide = accumulation_dtype(outputs.dtype)
    student, teacher = (jnp.asarray(z).astype(wide) / temperature for z in (outputs, targets))
    weights = jax.lax.stop_gradient(jax.nn.softmax(teacher, axis=-1))
    return -(temperature**2) * jnp.sum(weights * jax.nn.log_softmax(student, axis=-1), axis=-1)
