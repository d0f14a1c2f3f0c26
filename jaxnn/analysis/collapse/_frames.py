r"""Frames: how K vectors stand to each other, whatever rotates or scales them all.

The centred class means, and the rows of a classifier, of a network under neural collapse are
equally long and at the widest equal angles, a simplex equiangular tight frame; with a bias-free
linear head they are orthogonal instead, and for unequal classes of unequal length.

Sources: "Prevalence of Neural Collapse during the terminal phase of deep learning training"
(2020) for NC2 and NC3; "Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced
Data" (2023) for the distance from orthogonal and general orthogonal frames.

=======  ==========================================================
V        ``vectors``, one row for each of K classes
G        the Gram matrix that is wanted, up to scale
W, M     classifier rows and centred class means
=======  ==========================================================
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from jaxnn._check import require, require_array, require_count, require_key
from jaxnn._numeric import accumulation_dtype, root, unit_vectors


def simplex_etf(
    num_classes: int,
    width: int | None = None,
    *,
    key: PRNGKeyArray | UInt32[Array, "2"] | None = None,
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "classes width"]:
    r"""Make a simplex equiangular tight frame: K unit vectors, all at the widest equal angles.

    .. math:: v_i \cdot v_j = \tfrac{K}{K - 1} \left( [i = j] - \tfrac{1}{K} \right)

    Args:
      num_classes: K.
      width: how long each vector is, at least K - 1; K - 1 if ``None``.
      key: rotates the frame at random; without it, it lies in the first K - 1 axes.
      dtype: of the result.

    Returns:
      One row for each class; they add up to zero.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: fewer than two classes, or ``width`` is too small.

    Example:
      >>> v = simplex_etf(3)
      >>> print((v @ v.T).round(3) + 0)
      [[ 1.  -0.5 -0.5]
       [-0.5  1.  -0.5]
       [-0.5 -0.5  1. ]]
    """
    where = "simplex_etf"
    require_count(where, num_classes=num_classes)
    require(num_classes > 1, where, "num_classes", num_classes, "at least two")
    width = num_classes - 1 if width is None else width
    require_count(where, width=width)
    require(width >= num_classes - 1, where, "width", width, f"at least {num_classes - 1}")
    # Helmert's basis of what is orthogonal to the vector of ones.
    rows = np.arange(1, num_classes)
    basis = np.tril(np.ones((num_classes - 1, num_classes)))
    basis[rows - 1, rows] = -rows
    basis /= np.sqrt(rows * (rows + 1))[:, None]
    frame = np.zeros((num_classes, width))
    frame[:, : num_classes - 1] = basis.T * np.sqrt(num_classes / (num_classes - 1))
    vectors = jnp.asarray(frame, accumulation_dtype(dtype))
    if key is not None:
        require_key(where, key)
        rotation = jnp.linalg.qr(jax.random.normal(key, (width, width), vectors.dtype))[0]
        vectors = jnp.dot(vectors, rotation, precision=jax.lax.Precision.HIGHEST)
    return vectors.astype(dtype)


def frame_distance(
    vectors: Float[Array, "classes units"], gram: Float[Array, "classes classes"]
) -> Float[Array, ""]:
    r"""Measure how far vectors are from a frame: the distance of their Gram matrix from its own.

    .. math:: \left\| \frac{V V^T}{\|V V^T\|} - \frac{G}{\|G\|} \right\|

    with Frobenius norms: NC2 in one number. Rotating or scaling V changes nothing.

    Args:
      vectors: V: centred class means, or classifier rows (a linen kernel transposed).
      gram: G. For a simplex equiangular tight frame that of :func:`simplex_etf`,
        ``jnp.eye(K) - 1 / K``; for an orthogonal frame ``jnp.eye(K)``; for a general orthogonal
        frame ``jnp.diag`` of the squared lengths that :func:`linear_network_collapse` gives.

    Returns:
      0 for that frame, at most √2 for any V; 1 if V is zero. float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or there are no vectors.

    Example:
      >>> v = jnp.array([[3.0, 0.0], [0.0, 3.0]])
      >>> near, far = frame_distance(v, jnp.eye(2)), frame_distance(v, jnp.eye(2) - 0.5)
      >>> print(f"{near:.3f} {far:.3f}")
      0.000 0.765
    """
    where = "frame_distance"
    v = _vectors(where, "vectors", vectors)
    require_array(where, gram=gram)
    shape = (len(v), len(v))
    require(gram.shape == shape, where, "gram", gram, f"shape {shape}")
    return _frame_distance(v, gram.astype(v.dtype))


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
@partial(jax.jit, inline=True)
def _frame_distance(v: jax.Array, gram: jax.Array) -> jax.Array:
    # Scaled first, so that fourth powers neither overflow nor vanish.
    v = unit_vectors(v.reshape(-1)).reshape(v.shape)
    have = unit_vectors(jnp.dot(v, v.T, precision=jax.lax.Precision.HIGHEST).reshape(-1))
    return root(jnp.sum((have - unit_vectors(gram.reshape(-1))) ** 2))


def equinorm(vectors: Float[Array, "classes units"]) -> Float[Array, ""]:
    r"""Measure whether vectors are equally long: the variation of their lengths.

    .. math:: \mathrm{std}_c \|v_c\| \, / \, \mathrm{mean}_c \|v_c\|

    Args:
      vectors: V: centred class means, or classifier rows.

    Returns:
      0 for equal lengths, √(K - 1) if all but one are zero; 0 if all are. float32 or wider.

    Raises:
      TypeError: ``vectors`` is not an array of floating-point numbers.
      ValueError: it has other than two axes, or is empty.

    Example:
      >>> print(equinorm(jnp.array([[1.0, 0.0], [0.0, 3.0]])).round(4))
      0.5
    """
    return _equinorm(_vectors("equinorm", "vectors", vectors))


@partial(jax.jit, inline=True)
def _equinorm(v: jax.Array) -> jax.Array:
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(v)))
    lengths = root(jnp.sum((v / jnp.where(largest > 0, largest, 1)) ** 2, 1))
    mean = jnp.mean(lengths)
    spread = root(jnp.mean((lengths - mean[None]) ** 2))
    return spread / jnp.where(mean > 0, mean, 1)


def equiangularity(vectors: Float[Array, "classes units"]) -> Float[Array, ""]:
    r"""Measure whether vectors stand at the widest equal angles.

    .. math:: \mathrm{mean}_{c \ne c'} \left| \cos(v_c, v_{c'}) + \tfrac{1}{K - 1} \right|

    Args:
      vectors: V: centred class means, or classifier rows.

    Returns:
      0 for a simplex equiangular tight frame, whatever the lengths; 1 / (K - 1) for orthogonal
      vectors. A vector of zero counts as orthogonal. float32 or wider.

    Raises:
      TypeError: ``vectors`` is not an array of floating-point numbers.
      ValueError: it has other than two axes, or fewer than two vectors.

    Example:
      >>> equiangularity(jnp.array([[1.0, 0.0], [0.0, 3.0]])).item()
      1.0
    """
    where = "equiangularity"
    v = _vectors(where, "vectors", vectors)
    require(len(v) > 1, where, "vectors", vectors, "at least two vectors")
    return _equiangularity(v)


@partial(jax.jit, inline=True)
def _equiangularity(v: jax.Array) -> jax.Array:
    count = len(v)
    v = unit_vectors(v)
    cosines = jnp.dot(v, v.T, precision=jax.lax.Precision.HIGHEST)
    apart = jnp.where(jnp.eye(count, dtype=bool), 0, jnp.abs(cosines + 1 / (count - 1)))
    return jnp.sum(apart) / (count * (count - 1))


def self_duality(
    weights: Float[Array, "classes units"], means: Float[Array, "classes units"]
) -> Float[Array, ""]:
    r"""Measure NC3: how far classifier rows are from the centred class means, but for scale.

    .. math:: \left\| \frac{W}{\|W\|} - \frac{M}{\|M\|} \right\|^2

    with Frobenius norms.

    Args:
      weights: W, a linen kernel transposed.
      means: M, ``class_means(...).centred``.

    Returns:
      0 where the two are the same but for scale, 2 where unrelated, 4 where opposite. float32
      or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or there are no vectors.

    Example:
      >>> w = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> print(self_duality(w, 5 * w), self_duality(w, -w).round(4))
      0.0 4.0
    """
    where = "self_duality"
    w, m = _vectors(where, "weights", weights), _vectors(where, "means", means)
    require(w.shape == m.shape, where, "means", means, f"the shape {w.shape} of `weights`")
    wide = jnp.promote_types(w.dtype, m.dtype)
    return _self_duality(w.astype(wide), m.astype(wide))


@partial(jax.jit, inline=True)
def _self_duality(w: jax.Array, m: jax.Array) -> jax.Array:
    w, m = (unit_vectors(v.reshape(-1)) for v in (w, m))
    return jnp.sum((w - m) ** 2)


def _vectors(where: str, argument: str, value: jax.Array) -> jax.Array:
    """Check that an argument is some vectors in rows, and widen it."""
    require_array(where, floating=True, **{argument: value})
    ok = value.ndim == 2 and value.size > 0
    require(ok, where, argument, value, "shape (classes, units), neither of them zero")
    return jnp.asarray(value).astype(accumulation_dtype(value.dtype))
