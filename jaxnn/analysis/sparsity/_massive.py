r"""Massive activations, and the curve along which they emerge in training.

Source: "Hidden Dynamics of Massive Activations in Transformer Training" (2025). A few entries of
a transformer's residual stream are thousands of times the median; in training, the ratio of the
largest to the median follows a logarithm that an exponential damps.

=====  =================================================
h      activations, e.g. the stream after one layer
m      the median of their magnitudes
t      training step
=====  =================================================
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis.sparsity._axes import Axis, gather_axes, normalize_axis
from jaxnn.analysis.sparsity._fit import fit_columns


def massive_activations(
    h: Float[Array, "..."], *, magnitude: float = 100.0, ratio: float = 1000.0, axis: Axis = None
) -> Bool[Array, "..."]:
    r"""Find the activations that are large, and large beside the others.

    .. math:: |h| > a \; \text{and} \; |h| \ge r \, m

    Args:
      h: activations of one layer, over positions and features, in their own unit.
      magnitude: a, of large models; small ones need a smaller one, as they do r.
      ratio: r.
      axis: axes that share a median; all if ``None``. ``(1, 2)`` is sequence by sequence.

    Returns:
      True where an activation is massive, of the shape of ``h``: no position is computed, so that
      the result may be used under ``jit``; ``jnp.argwhere`` lists them outside of it.

    Raises:
      TypeError: ``h`` is not an array of floating-point numbers.
      ValueError: a number is not above zero, no entry along ``axis``, or no such axis.

    Example:
      >>> h = jnp.ones((3, 4)).at[0, 2].set(-5000.0)
      >>> jnp.argwhere(massive_activations(h)).tolist()
      [[0, 2]]
    """
    where = "massive_activations"
    require_positive(where, magnitude=magnitude, ratio=ratio)
    size = _magnitudes(where, h, axis)
    axes = normalize_axis(where, h, axis)
    middle = jnp.median(size, axes, keepdims=True)
    return (size > magnitude) & (size >= ratio * jnp.broadcast_to(middle, size.shape))


def median_ratio(h: Float[Array, "..."], *, axis: Axis = None) -> Float[Array, "..."]:
    r"""Measure how many times the median the largest activation is.

    .. math:: \max |h| \, / \, m

    Args:
      h: activations of one layer; vmap over layers.
      axis: axes measured together; all if ``None``.

    Returns:
      The ratio, at least 1, float32 or wider: about 5.6 for 16,000 normal numbers. 1 if all are
      zero, infinite if only the median is.

    Raises:
      TypeError: ``h`` is not an array of floating-point numbers.
      ValueError: no entry along ``axis``, or no such axis.

    Example:
      >>> median_ratio(jnp.array([1.0, -2.0, 4.0, -30.0, 2.0])).item()
      15.0
    """
    where = "median_ratio"
    rows = gather_axes(where, _magnitudes(where, h, axis), axis)
    largest, middle = jnp.max(rows, -1), jnp.median(rows, -1)
    some = middle > 0
    ratio = largest / jnp.where(some, middle, 1)
    return jnp.where(some, ratio, jnp.where(largest > 0, jnp.inf, 1))


def _magnitudes(where: str, h: jax.Array, axis: Axis) -> jax.Array:
    require_array(where, h=h)
    gather_axes(where, h, axis)  # raises if there is nothing to measure
    return jnp.abs(jnp.asarray(h).astype(accumulation_dtype(h.dtype)))


class Emergence(NamedTuple):
    r"""A logarithm damped by an exponential.

    .. math:: f(t) = A e^{-λ x} \log x + K, \quad x = γ t + t_0

    Attributes:
      amplitude: A.
      decay: λ.
      rate: γ.
      offset: t₀.
      limit: K, what is reached in the end.
    """

    amplitude: float | Float[Array, ""]
    decay: float | Float[Array, ""]
    rate: float | Float[Array, ""]
    offset: float | Float[Array, ""]
    limit: float | Float[Array, ""]

    def curve(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """Give f at the times ``t``."""
        x = self.rate * t + self.offset
        return self.amplitude * jnp.exp(-self.decay * x) * jnp.log(x) + self.limit


def fit_emergence(
    t: Float[Array, " times"] | np.ndarray, y: Float[Array, " times"] | np.ndarray
) -> tuple[Emergence, float]:
    r"""Fit the curve of emergence by least squares.

    With r = λγ and s = t₀ / γ the curve is linear in three of five numbers,

    .. math:: f(t) = B e^{-r t} \log(t + s) + C e^{-r t} + K

    so that only r and s are searched. Done on the host by :mod:`scipy.optimize`; it cannot be
    traced.

    Args:
      t: times from 0, more than five; not all alike.
      y: what emerges: a ratio, or its logarithm where it spans orders of magnitude.

    Returns:
      The curve, and R², the share of the variance of y that it explains. Where the data end long
      before the curve levels, r is near 0 and K is not determined.

    Raises:
      ValueError: other shapes, too few or negative times.

    Example:
      >>> t = np.linspace(0.0, 1.0, 30)
      >>> x = 12 * t + 0.8
      >>> fit, explained = fit_emergence(t, 4 * np.exp(-0.3 * x) * np.log(x) + 2)
      >>> round(float(fit.amplitude), 2), round(float(fit.limit), 2), round(explained, 3)
      (4.0, 2.0, 1.0)
    """
    where = "fit_emergence"
    t, y = (np.asarray(values, np.float64) for values in (t, y))
    good = t.ndim == 1 and len(t) > 5 and t.min() >= 0 and t.max() > t.min()
    require(bool(good), where, "t", t, "shape (times,), more than five different times from 0 on")
    require(y.shape == t.shape, where, "y", y, f"shape {t.shape}, as `t`")
    last = t.max()
    u = t / last

    def columns(p: np.ndarray) -> np.ndarray:
        r, s = np.exp(p)
        damped = np.exp(-r * u)
        return np.stack([damped * np.log(u + s), damped, np.ones_like(u)], 1)

    grid = np.meshgrid(np.log(np.geomspace(0.02, 200, 17)), np.log(np.geomspace(1e-4, 10, 17)))
    p, (b, c, k), explained = fit_columns(columns, np.stack(grid, -1).reshape(-1, 2), y)
    r, s = np.exp(p)
    # Back to γ of the times as given; beyond e^100 there is no logarithm left in the curve.
    rate = np.exp(np.clip(c / b if b else 0.0, -100, 100)) / last
    fit = Emergence(b * np.exp(r * s), r / (rate * last), rate, s * rate * last, k)
    return Emergence(*map(float, fit)), explained
