r"""Softmax-free attention: a Gaussian kernel, approximated through landmarks in linear time.

The kernel matrix between n queries and n keys has low rank, up to small errors, so that the
kernel of either with m landmarks, and the pseudo-inverse of that of the landmarks with
themselves, stand for it (the Nyström method). There is no sum over a row to divide by, which is
what would force the whole matrix to be made.

Source: "Softmax-free Linear Transformers" (2022), equations 5 to 9 for the decomposition,
Algorithm 2 for the inverse, and its section on normalisation for the symmetric form.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
s            ``scale``, 1/√width if not given
l            landmarks, averages of runs of keys, ``num_landmarks`` of them
λ            ``ridge``
===========  ==================================================
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value
from jaxnn.layers.attention._features import check_linear, flatten_rows, group_queries, ungroup


def softmax_free_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    num_landmarks: int = 49,
    iterations: int = 20,
    normalize: bool = False,
    ridge: float = 0.0,
) -> Output:
    r"""Attend with a Gaussian kernel of rank ``num_landmarks``, in time linear in the keys.

    .. math:: y = \kappa(q, l)\,(\kappa(l, l) + \lambda I)^{+}\,\kappa(l, k)\,v, \quad
        \kappa(x, y) = e^{-\frac{s}{2} \lVert x - y \rVert^2}

    In the paper queries are keys, from one projection, and the kernel matrix is symmetric; pass
    the same array twice for that. Landmarks are always made from keys.

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True for real keys; must be the same for all queries and heads, ``(*batch, 1, 1,
        keys)``.
      bias: must be ``None``; the kernel matrix that it would be added to is not made.
      is_causal: must be False; every query reads all keys through the landmarks.
      scale: s.
      num_landmarks: how many runs the keys are cut into; with as many as keys, or more, each
        key is its own landmark and the kernel is exact.
      iterations: steps of the inverse; see :func:`newton_inverse`.
      normalize: whether to divide the inverse on both sides by the square roots of the row sums
        of κ(l, l), which keeps the size of the output in check.
      ridge: λ. Near-equal landmarks make the inverse large; 0.01, as in the code released with
        the paper, bounds it by 100.

    Returns:
      An array in the dtype of ``value``, computed in float32 or wider. Rows of weights do not
      sum to one. Masked keys have no weight, and runs of them no landmark.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, ``mask`` tells queries apart, there is a ``bias``, or
        ``is_causal`` is set.

    Example:
      >>> x = jnp.array([[[0.0]], [[2.0]]])
      >>> print(softmax_free_attention(x, x, jnp.array([[[1.0]], [[0.0]]])).round(2).ravel())
      [1.   0.14]
    """
    where = "softmax_free_attention"
    real = check_linear(where, query, key, value, mask, bias)
    needs = "False, as every query reads all keys through the landmarks"
    hint = "`linear_attention` has a causal form."
    require(not is_causal, where, "is_causal", is_causal, needs, hint)
    require_count(where, num_landmarks=num_landmarks, iterations=iterations)
    if scale is not None:
        require_positive(where, scale=scale)
    require(ridge >= 0, where, "ridge", ridge, "a number of at least zero")
    wide = accumulation_dtype(query.dtype)
    width, keys, key_heads = query.shape[-1], key.shape[-3], key.shape[-2]
    root = math.sqrt(1 / math.sqrt(width) if scale is None else scale)
    q = group_queries(query.astype(wide) * root, key_heads)
    k = flatten_rows(key.astype(wide) * root)
    v = flatten_rows(value.astype(wide))
    rows, group, queries, _ = q.shape
    if real is None:
        counted = jnp.ones((rows, keys), bool)
    else:
        counted = flatten_rows(jnp.broadcast_to(real[..., None, None], (*key.shape[:-1], 1)))[
            ..., 0
        ]
    # The kernel does not change when all points move; near the origin its squares lose less.
    centre = lax.stop_gradient(jnp.mean(k, axis=1, keepdims=True))
    q, k = q - centre[:, None], k - centre
    landmarks, present = _landmarks(k, counted, num_landmarks)
    both = present[:, :, None] & present[:, None, :]
    # A landmark of nothing is far from all others: on its own in the matrix, 0 in the products.
    eye = jnp.broadcast_to(jnp.eye(landmarks.shape[1], dtype=wide)[None], both.shape)
    kernel = jnp.where(both, _gaussian(landmarks, landmarks), eye)
    inverse = newton_inverse(kernel + ridge * eye, iterations=iterations)
    if normalize:
        size = lax.rsqrt(jnp.sum(jnp.where(both, kernel, eye), axis=-1))
        inverse = size[:, :, None] * inverse * size[:, None, :]
    pairs = present[:, :, None] & counted[:, None, :]
    to_keys = jnp.where(pairs, _gaussian(landmarks, k), jnp.zeros_like(pairs, wide))
    to_queries = _gaussian(q.reshape(rows, group * queries, width), landmarks)
    read = _product(to_queries, _product(inverse, _product(to_keys, v)))
    y = ungroup(read.reshape(rows, group, queries, v.shape[-1]), query)
    return y.astype(value.dtype)


def _landmarks(k, counted, num_landmarks):
    """Average runs of keys, those counted; say which of the runs have any."""
    keys = k.shape[1]
    count = min(num_landmarks, keys)
    run = jnp.arange(keys) * count // max(keys, 1)
    member = (run[None, :] == jnp.arange(count)[:, None])[None] & counted[:, None, :]
    member = member.astype(k.dtype)
    sizes = jnp.sum(member, axis=-1)
    return _product(member, k) / jnp.maximum(sizes, 1)[..., None], sizes > 0


def _gaussian(x, y):
    """Give exp(-‖x - y‖²/2) for all pairs, row by row."""
    squares = [jnp.sum(z * z, axis=-1) for z in (x, y)]
    cross = _product(x, jnp.swapaxes(y, 1, 2))
    distance = squares[0][:, :, None] + squares[1][:, None, :] - 2 * cross
    return jnp.exp(-jnp.maximum(distance, 0) / 2)


def newton_inverse(
    matrix: Float[Array, "*batch n n"], *, iterations: int = 20
) -> Float[Array, "*batch n n"]:
    r"""Invert symmetric matrices without negative eigenvalues, by products alone.

    .. math:: Y_0 = \frac{1.8}{\lVert A \rVert_1^2} A, \quad Y_{t+1} = 2 Y_t - Y_t A Y_t

    Each eigenvalue σ of A is inverted up to a factor 1 - (1 - 1.8 σ² / ‖A‖₁²)^(2^t). Those
    that the given number of steps does not reach, below about ‖A‖₁ / 2^(t/2), count as zero:
    the result is a pseudo-inverse.

    Args:
      matrix: A, any number of them.
      iterations: t.

    Returns:
      Matrices in the dtype of ``matrix``, computed in float32 or wider.

    Gradient: as in the paper that of an inverse, from the result and not through the steps;
    :math:`\bar A = -Y^\top \bar Y Y^\top`.

    Raises:
      TypeError: ``matrix`` is not an array of floating-point numbers.
      ValueError: the last two axes differ, or ``iterations`` is no whole number above zero.

    Example:
      >>> print(newton_inverse(jnp.array([[2.0, 0.0], [0.0, 4.0]])))
      [[0.5  0.  ]
       [0.   0.25]]
    """
    where = "newton_inverse"
    require_array(where, matrix=matrix)
    require_rank(where, "matrix", matrix, 2, "(*batch, n, n)")
    require(matrix.shape[-1] == matrix.shape[-2], where, "matrix", matrix, "shape (*batch, n, n)")
    require_count(where, iterations=iterations)
    size = matrix.shape[-1]
    rows = matrix.reshape(math.prod(matrix.shape[:-2]), size, size)
    y = _newton_inverse(iterations, rows.astype(accumulation_dtype(matrix.dtype)))
    return y.astype(matrix.dtype).reshape(matrix.shape)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _newton_inverse(iterations, a):
    # 1.8 and not the paper's 2, as in its code: with 2 a matrix of ones would never converge.
    size = jnp.max(jnp.sum(jnp.abs(a), axis=-1), axis=-1)[:, None, None]
    start = 1.8 * (a / size) / size

    def step(_, y):
        y = 2 * y - _product(y, _product(a, y))
        # Exactly symmetric, or rounding errors would grow from step to step.
        return (y + jnp.swapaxes(y, 1, 2)) / 2

    return lax.fori_loop(0, iterations, step, start)


@_newton_inverse.defjvp
def _newton_inverse_jvp(iterations, primals, tangents):
    y = _newton_inverse(iterations, *primals)
    return y, -_product(y, _product(tangents[0], y))


def _product(left, right):
    """Multiply row by row, in full precision: an accelerator's shorter one upsets the inverse."""
    return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)
