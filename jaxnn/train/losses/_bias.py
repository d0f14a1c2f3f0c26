r"""Cross-entropy that weighs an example by how diverse its features are.

======  =====================================================================
z       ``logits``
t       ``features`` of an example, n of them, those of a last convolution
v       their variance, scaled over the batch to [0, 1]
α       ``alpha``
β       ``beta``
======  =====================================================================

A network that finds little in an example predicts at random; such an example is to mislead the
training less than those with many features.

Source: "Bias Loss for Mobile Neural Networks" (2021), section 3.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import cross_entropy


def bias_loss(
    outputs: tuple[Float[Array, "batch classes"], Float[Array, "batch *features"]],
    targets: Integer[Array, " batch"],
    *,
    alpha: float = 0.3,
    beta: float = 0.3,
) -> Float[Array, " batch"]:
    r"""Give the cross-entropy of each label times a weight that grows with features' variance.

    .. math:: \ell_i = \big(e^{\alpha v_i} - \beta\big) \, \big(-\log p_{i y_i}\big), \quad
        v_i = \frac{s_i - \min_j s_j}{\max_j s_j - \min_j s_j}, \quad
        s_i = \frac{1}{n - 1} \sum_k (t_{ik} - \bar t_i)^2

    The weights have no gradient. They compare the examples of one batch; where all have the same
    variance v is zero.

    Args:
      outputs: ``(logits, features)``, both given by the model; all axes of features but the first
        are taken as one.
      targets: integer labels in [0, classes); others give NaN.
      alpha: α, how steeply weights grow; 0 gives all the weight :math:`1 - \beta`.
      beta: β below 1, what is taken off; weights lie in
        :math:`[1 - \beta, e^\alpha - \beta]`.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: shapes disagree, an example has fewer than two features, or an option is outside
        its range.

    Differs: the authors' code has weights :math:`e^{\alpha v} - 1 + 0.3`, those of β = 0.7 here,
    and subtracts the least variance of all batches so far.

    Example:
      >>> logits, y = jnp.zeros((2, 2)), jnp.zeros(2, int)
      >>> features = jnp.array([[1.0, 1.0, 1.0], [0.0, 2.0, 4.0]])
      >>> (bias_loss((logits, features), y) / jnp.log(2.0)).round(3).tolist()
      [0.7000000476837158, 1.0500000715255737]
    """
    where = "bias_loss"
    logits, features = outputs
    require_array(where, features=features)
    require_rank(where, "features", features, 2, "(batch, *features)")
    needs = f"the first axis {logits.shape[:1]} of logits, and two features or more after it"
    ok = features.shape[:1] == logits.shape[:1] and math.prod(features.shape[1:]) > 1
    require(ok, where, "features", features, needs)
    ok = math.isfinite(alpha) and alpha >= 0
    require(ok, where, "alpha", alpha, "a finite number of at least zero")
    require(math.isfinite(beta) and beta < 1, where, "beta", beta, "a finite number below one")
    t = jax.lax.stop_gradient(features).reshape(len(features), math.prod(features.shape[1:]))
    s = jnp.var(t.astype(accumulation_dtype(t.dtype)), axis=1, ddof=1)
    span = jnp.max(s, initial=0) - jnp.min(s, initial=jnp.inf)
    # Differences by rounding alone would fill the whole of [0, 1].
    differ = span > 1e-6 * jnp.max(s, initial=0)
    v = jnp.where(differ, (s - jnp.min(s, initial=jnp.inf)) / jnp.where(differ, span, 1), 0)
    weights = jnp.exp(alpha * v) - beta
    values = cross_entropy(logits, targets)
    return weights.astype(values.dtype) * values
