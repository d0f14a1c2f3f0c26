r"""Where features go if nothing but the loss and a decay holds them: unconstrained features.

The least, for each sample on its own, of

.. math:: -\sum_k t_k \log p_k + \tfrac{λ}{2} \|h\|^2, \quad p = \mathrm{softmax}(W h + b)

is convex, and lies where

.. math:: λ h = W^T (t - p)

For a classifier that is a simplex frame of rows of length m, the logits follow from the outputs,
:math:`W h = \frac{K m^2}{(K - 1) λ} (t - p)`, and with little decay the outputs are the targets,
one-hot or mixed.

Source: "Pushing Boundaries: Mixup's Influence on Neural Collapse" (2024), section 4, where the
classifier is a simplex frame.

=====  ====================================================
W, b   ``classifier``, ``(classes, units)``, and ``bias``
t      a row of ``targets``, ``(samples, classes)``
λ      ``feature_decay``
=====  ====================================================
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype

STEPS = 40  # of Newton's method at most; ten are common
SIZES = 0.5 ** np.arange(10)  # of Newton's steps, the best of which is taken


def unconstrained_features(
    classifier: Float[Array, "classes units"],
    targets: Float[Array, "samples classes"],
    *,
    feature_decay: float,
    bias: Float[Array, " classes"] | None = None,
) -> Float[Array, "samples units"]:
    """Find the features of least cross-entropy and length for a classifier that stays.

    Args:
      classifier: W.
      targets: shares of the classes, each row adding up to one: one-hot, smoothed, or mixed as
        by mixup.
      feature_decay: λ.
      bias: b; zeros if ``None``.

    Returns:
      h, one row for each sample, in float32 or wider.

    Raises:
      TypeError: an array is not floating.
      ValueError: shapes disagree, or ``feature_decay`` is not above zero.

    Gradient: exact, with respect to all three arrays.

    Example:
      >>> rows = jnp.eye(2)
      >>> h = unconstrained_features(rows, jnp.array([[0.7, 0.3]]), feature_decay=1e-3)
      >>> print(jax.nn.softmax(h @ rows.T).round(2))
      [[0.7 0.3]]
    """
    where = "unconstrained_features"
    require_array(where, classifier=classifier, targets=targets)
    ok = classifier.ndim == 2 and classifier.size > 0
    require(ok, where, "classifier", classifier, "shape (classes, units), neither of them zero")
    classes = len(classifier)
    ok = targets.ndim == 2 and targets.shape[1] == classes
    require(ok, where, "targets", targets, f"shape (samples, {classes})")
    require_positive(where, feature_decay=feature_decay)
    if bias is None:
        bias = jnp.zeros(classes, classifier.dtype)
    require_array(where, bias=bias)
    require(bias.shape == (classes,), where, "bias", bias, f"shape ({classes},)")
    wide = accumulation_dtype(jnp.result_type(classifier, targets, bias))
    arrays = (jnp.asarray(array).astype(wide) for array in (classifier, bias, targets))
    return _solve(*arrays, decay=float(feature_decay))


@partial(jax.jit, static_argnames="decay", inline=True)
def _solve(weights: jax.Array, bias: jax.Array, targets: jax.Array, *, decay: float) -> jax.Array:
    def slope(weights: jax.Array, bias: jax.Array, t: jax.Array, h: jax.Array) -> jax.Array:
        return (jax.nn.softmax(weights @ h + bias) - t) @ weights + decay * h

    def newton(weights: jax.Array, bias: jax.Array, h: jax.Array, g: jax.Array) -> jax.Array:
        """Solve by conjugate gradients, exact after as many steps as there are classes."""
        p = jax.nn.softmax(weights @ h + bias)

        def curve(v: jax.Array) -> jax.Array:
            z = weights @ v
            return (p * (z - p @ z)) @ weights + decay * v

        return cg(curve, g, tol=1e-6, maxiter=2 * len(p) + 8)[0]

    fixed_weights, fixed_bias = jax.lax.stop_gradient((weights, bias))

    def one(t: jax.Array) -> jax.Array:
        still = partial(slope, fixed_weights, fixed_bias, jax.lax.stop_gradient(t))

        # The slope's length falls along Newton's direction and, unlike the loss, has no
        # rounding to drown in near the least.
        def step(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            count, h, size, _ = state
            move = newton(fixed_weights, fixed_bias, h, still(h))
            trials = h[None] - jnp.asarray(SIZES, h.dtype)[:, None] * move[None]
            lengths = jax.vmap(lambda trial: jnp.sum(still(trial) ** 2))(trials)
            best = jnp.argmin(lengths)
            better = lengths[best] < size
            return count + 1, jnp.where(better, trials[best], h), lengths[best], better

        start = jnp.zeros_like(fixed_weights[0])
        state = (jnp.zeros((), jnp.int32), start, jnp.sum(still(start) ** 2), jnp.ones((), bool))
        found = jax.lax.while_loop(lambda s: s[3] & (s[0] < STEPS), step, state)[1]
        # A last step, whose derivative is that of the least.
        return found - newton(fixed_weights, fixed_bias, found, slope(weights, bias, t, found))

    return jax.vmap(one)(targets)
