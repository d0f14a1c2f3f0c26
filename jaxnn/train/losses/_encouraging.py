r"""Cross-entropy with a bonus for what is classified well, and one that leaves it alone.

======  ===========================================
z       ``outputs``, logits
p       softmax of z; p_y that of the label
t       ``log_end`` or ``threshold``
ε       ``label_smoothing``
======  ===========================================

The gradient of the cross-entropy for the label's logit, p_y - 1, vanishes for examples that are
classified well. The bonus log(1 - p_y), its mirror image, brings the gradient to -1 for all.

Source: "Well-classified Examples are Underestimated in Classification with Deep Neural Networks"
(2021).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxnn._check import require
from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import _check, _of_label


def encouraging_loss(
    outputs: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    log_end: float = 0.75,
    label_smoothing: float = 0.0,
) -> Float[Array, "*batch"]:
    r"""Give the cross-entropy of each label plus a bonus that rewards being surer, in nats.

    .. math:: \ell = \sum_c q_c \, \big( -\log p_c + b(p_c) \big), \quad
        b(p) = \begin{cases} \log(1 - p) & p \le t \\
        \log(1 - t) - \dfrac{p - t}{1 - t} & p > t \end{cases}, \quad
        q = (1 - \epsilon) \, \mathrm{onehot}(y) + \epsilon / C

    From t on the bonus is its own tangent. With t = 1 the slope for the label's logit is -1
    however sure the network is; with t = 0 the bonus is :math:`-p`. The value is negative for
    well-classified examples, and with t = 1 without a lower bound.

    Args:
      outputs: logits, one per class, of at least two.
      targets: integer labels in [0, classes); others give NaN.
      log_end: t in [0, 1], from where on the bonus is linear; the authors take 0.5 to 0.75 for
        noisy or many classes, 1 is the aggressive form.
      label_smoothing: ε in [0, 1), spread evenly over all classes, in loss and bonus alike.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ, there is one class only, or an option is outside
        its range.

    Differs: the authors clip p at 1 - 1e-5 in the bonus; here its logarithm is taken of the
    others' sum, so that nothing is lost.

    Example:
      >>> encouraging_loss(jnp.array([[3.0, 0.0]]), jnp.array([0]), log_end=1.0).tolist()
      [-3.0]
    """
    where = "encouraging_loss"
    outputs, targets = _check(where, outputs, targets)
    require(outputs.shape[-1] > 1, where, "outputs", outputs, "at least two classes")
    require(0 <= log_end <= 1, where, "log_end", log_end, "a probability")
    ok = 0 <= label_smoothing < 1
    require(ok, where, "label_smoothing", label_smoothing, "a number in [0, 1)")
    logits = outputs.astype(accumulation_dtype(outputs.dtype))
    log_p = jax.nn.log_softmax(logits, axis=-1)
    values = -log_p + _bonus(logits, log_p, log_end)
    value = _of_label(values, targets)
    if label_smoothing:
        value = (1 - label_smoothing) * value + label_smoothing * jnp.mean(values, axis=-1)
    return value


def halted_focal_loss(
    outputs: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    gamma: float = 2.0,
    threshold: float = 0.5,
) -> Float[Array, "*batch"]:
    r"""Give the focal loss of each label, halted where it is classified well, in nats.

    .. math:: \ell = \begin{cases} -(1 - p_y)^\gamma \log p_y & p_y \le t \\
        -(1 - t)^\gamma \log t & p_y > t \end{cases}

    It keeps the focal loss's preference for badly classified examples and teaches nothing by the
    others, not even to stay: what the encouraging loss is compared with.

    Args:
      outputs: logits, one per class.
      targets: integer labels in [0, classes); others give NaN.
      gamma: γ; zero is the cross-entropy, halted.
      threshold: t in (0, 1]; 1 never halts.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ, or an option is outside its range.
    """
    where = "halted_focal_loss"
    outputs, targets = _check(where, outputs, targets)
    require(gamma >= 0, where, "gamma", gamma, "a number of at least zero")
    require(0 < threshold <= 1, where, "threshold", threshold, "a probability above zero")
    logits = outputs.astype(accumulation_dtype(outputs.dtype))
    log_p = _of_label(jax.nn.log_softmax(logits, axis=-1), targets)
    # Where p rounds to 1 a power below one would have an infinite slope.
    log_p = jnp.minimum(log_p, math.log(threshold))
    rest = -jnp.expm1(log_p)
    sure = rest <= 0
    weight = jnp.where(sure, 0.0, jnp.where(sure, 1.0, rest) ** gamma) if gamma else 1.0
    return -weight * log_p


def _bonus(logits: jax.Array, log_p: jax.Array, log_end: float) -> jax.Array:
    """Give b of each class's probability."""
    p = jnp.exp(log_p)
    if log_end == 0:
        return -p
    # Of the likeliest class, whose p may round to 1, it is the logarithm of the others' sum.
    of_top = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(of_top, -jnp.inf, logits), axis=-1, keepdims=True)
    of_others = others - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    log_rest = jnp.where(of_top, of_others, jnp.log1p(-jnp.where(of_top, 0, p)))
    if log_end == 1:
        return log_rest
    linear = math.log1p(-log_end) - (p - log_end) / (1 - log_end)
    return jnp.where(p <= log_end, log_rest, linear)
