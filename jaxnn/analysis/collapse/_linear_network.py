r"""What a deep linear network collapses to when its features are free, for unequal classes.

The least of

.. math:: \frac{1}{2 N} \|W_M \cdots W_1 H - Y\|^2 + \sum_m \frac{λ_m}{2} \|W_m\|^2
   + \frac{λ_H}{2} \|H\|^2

without biases: all samples of a class share one feature vector, those of different classes are
orthogonal, and every layer only scales them, each class by its own factor: a general orthogonal
frame. What remains are numbers, class by class. With p the class's own output,

.. math:: \min_{p \ge 0} \; \frac{n}{2 N} (1 - p)^2
   + \frac{M + 1}{2} \left( n \, λ_H \textstyle\prod_m λ_m \, p^2 \right)^{1 / (M + 1)}

since at the least all the λ times squared singular values are one and the same number. For one
layer this gives :math:`p = 1 - N \sqrt{λ_1 λ_H / n}`, and 0, minority collapse, where that is
negative.

Source: "Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data" (2023),
theorems 3.1 (equal classes), 4.1 (one layer) and 4.4 (more).

=========  ==================================================================
n, N       ``counts`` of each class, and their sum
M          layers, as many as ``weight_decays``
λ_m, λ_H   ``weight_decays``, first layer first, and ``feature_decay``
H, Y       one column for each sample: free features, one-hot targets
=========  ==================================================================
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype

BISECTIONS = 50  # halvings of an interval shorter than one: past the digits of float32


class LinearCollapse(NamedTuple):
    """Where the loss is least, class by class, in float32 or wider.

    Attributes:
      outputs: p, the network's own output for the class; 0 where the class has collapsed.
      weights: squared singular values of each layer. Those of the last layer are the squared
        lengths of its rows: the diagonal of W Wᵀ, which is zero off it.
      features: squared length of the class's feature vector.
    """

    outputs: Float[Array, " classes"]
    weights: Float[Array, "layers classes"]
    features: Float[Array, " classes"]


def linear_network_collapse(
    counts: Float[Array, " classes"], *, weight_decays: Sequence[float], feature_decay: float
) -> LinearCollapse:
    r"""Solve for the global minimum of a linear network with free features and decay.

    For one layer, the squared length of the classifier row of a class of n samples is

    .. math:: s^2 = \max \left( \sqrt{n \, λ_H / λ_1} - N λ_H, \; 0 \right)

    Args:
      counts: n, as floating-point numbers.
      weight_decays: λ of each layer, first layer first; every layer must have at least K units.
      feature_decay: λ_H.

    Returns:
      Outputs, squared singular values of the layers, and squared lengths of the features.

    Raises:
      TypeError: ``counts`` is not an array of floating-point numbers.
      ValueError: it has other than one axis, or a decay is not above zero.

    Gradient: exact, with respect to ``counts``, wherever the class stays or stays collapsed.

    Example:
      >>> counts = jnp.array([40.0, 20.0, 10.0, 1.0])
      >>> got = linear_network_collapse(counts, weight_decays=[5e-3], feature_decay=5e-3)
      >>> print(np.round(got.weights[0], 1))
      [6.  4.1 2.8 0.6]
    """
    where = "linear_network_collapse"
    require_array(where, counts=counts)
    ok = counts.ndim == 1 and counts.size > 0
    require(ok, where, "counts", counts, "shape (classes,), at least one")
    require_positive(where, feature_decay=feature_decay)
    require(len(weight_decays) > 0, where, "weight_decays", weight_decays, "one for each layer")
    for decay in weight_decays:
        require_positive(where, weight_decays=decay)
    wide = jnp.asarray(counts).astype(accumulation_dtype(counts.dtype))
    return _solve(wide, tuple(float(decay) for decay in weight_decays), float(feature_decay))


@partial(jax.jit, static_argnums=(1, 2), inline=True)
def _solve(n: jax.Array, decays: tuple[float, ...], feature_decay: float) -> LinearCollapse:
    layers = len(decays)
    root = 1 / (layers + 1)
    scale = feature_decay**root
    for decay in decays:
        scale *= decay**root
    n = jnp.maximum(n, 1e-6)  # a class without samples collapses, whatever is divided by n
    total = jnp.sum(n)
    # Where the slope vanishes: (1 - p) p^a = c, with a = 1 - 2 / (M + 1).
    a = 1 - 2 * root
    c = total / n * n**root * scale

    def slope(p: jax.Array) -> jax.Array:
        return (1 - p) * p**a - c if a else 1 - p - c

    # Falling from its peak at a / (1 + a) to -c at 1: the larger root is the minimum.
    # No gradient goes into the loop: 0 times the infinite slope of p^a would come out.
    fixed = jax.lax.stop_gradient(c)

    def halve(_, interval):
        low, high = interval
        middle = (low + high) / 2
        right = (1 - middle) * (middle**a if a else 1) > fixed
        return jnp.where(right, middle, low), jnp.where(right, high, middle)

    peak = jnp.full_like(fixed, a / (1 + a))
    held = jax.lax.fori_loop(0, BISECTIONS, halve, (peak, jnp.ones_like(fixed)))[0]
    found = held > peak  # else no root lies to the right of the peak
    # One step of Newton's, whose derivative is that of the root.
    safe = jnp.where(found, held, 1)
    bend = (1 - safe) * a * safe ** (a - 1) - safe**a if a else jnp.full_like(safe, -1.0)
    p = safe - slope(safe) / jax.lax.stop_gradient(bend)
    p = jnp.where(found, p, 1)

    def loss(p: jax.Array) -> jax.Array:
        return n / total * (1 - p) ** 2 + (layers + 1) * scale * n**root * p ** (2 * root)

    stays = found & (loss(p) < n / total)
    shared = jnp.where(stays, scale * n**root * p ** (2 * root), 0)
    weights = jnp.stack([shared / decay for decay in decays])
    return LinearCollapse(jnp.where(stays, p, 0), weights, shared / (feature_decay * n))
