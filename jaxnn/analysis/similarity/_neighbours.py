r"""Alignment by nearest neighbours: do two representations put the same examples side by side?

Neighbours are the k largest inner products with x_i among the other examples, of vectors of
length 1 (largest cosines), nearest first.

=======  ====================================================
x, y     activations of the same examples, ``(examples, units)``
n, k     examples, neighbours of each
S(i)     the k neighbours of example i by x
T(i)     those by y
=======  ====================================================

Source: "The Platonic Representation Hypothesis" (2024), section 2 and appendix A; the cycle,
common-subsequence and edit-distance forms as in its published code.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_count
from jaxnn._numeric import ratio, root, unit_vectors
from jaxnn.analysis.similarity._pairs import check_examples, check_pair, compiled, matmul, widen


def nearest(
    x: Float[Array, "examples units"], *, k: int = 10, center: bool = False
) -> Int[Array, "examples k"]:
    """Find the k other examples whose activations point most in the same direction.

    Args:
      x: activations.
      k: neighbours, fewer than examples.
      center: take the mean off before; without it the direction of the mean counts.

    Returns:
      Indices of the neighbours, nearest first; of equals the earlier comes first.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``x`` is not ``(examples, units)``, or there are not that many others.

    Example:
      >>> nearest(jnp.array([[1.0, 0], [1, 1], [0, 1], [0, 3]]), k=1)[:, 0].tolist()
      [1, 0, 3, 2]
    """
    check_examples("nearest", "x", x)
    _check_k("nearest", x, k)
    return _nearest(x, k=k, center=center)


@partial(compiled, static_argnames=("k", "center"))
def _nearest(x: jax.Array, *, k: int, center: bool = False) -> jax.Array:
    return _top(_cosines(x, center), k)


def mutual_knn(
    x: Float[Array, "examples units"],
    y: Float[Array, "examples others"],
    *,
    k: int = 10,
    center: bool = False,
) -> Float[Array, ""]:
    r"""Measure how many nearest neighbours two representations have in common.

    .. math:: \frac{1}{n} \sum_i \frac{|S(i) \cap T(i)|}{k}

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order.
      k: neighbours, fewer than examples.
      center: take the mean off each unit before.

    Returns:
      1 for the same neighbourhoods, about k / (n - 1) for unrelated ones, 0 for none shared.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different examples, or too few.

    Gradient: none; neighbours change in jumps.

    Example:
      >>> x = jnp.array([[1.0, 0], [1, 1], [0, 1], [0, 3]])
      >>> mutual_knn(x, 2 * x, k=1).item(), mutual_knn(x, x[jnp.array([0, 2, 1, 3])], k=1).item()
      (1.0, 0.0)
    """
    where = "mutual_knn"
    check_pair(where, x, y)
    _check_k(where, x, k)
    return _mutual(x, y, k=k, center=center)


@partial(compiled, static_argnames=("k", "center"))
def _mutual(x: jax.Array, y: jax.Array, *, k: int, center: bool) -> jax.Array:
    shared = _among(_nearest(x, k=k, center=center)) & _among(_nearest(y, k=k, center=center))
    return jnp.mean(jnp.sum(shared, 1).astype(widen(x).dtype) / k)


def cycle_knn(
    x: Float[Array, "examples units"], y: Float[Array, "examples others"], *, k: int = 10
) -> Float[Array, ""]:
    """Measure how many examples come back when a step by y is followed by one by x.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order.
      k: neighbours, fewer than examples.

    Returns:
      Share of examples that are among the k neighbours, by x, of one of their own k
      neighbours by y. Even the same representation may stay below 1: nearness is not mutual.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different examples, or too few.

    Gradient: none.

    Example:
      >>> x = jnp.array([[1.0, 0], [1, 1], [0, 1], [0, 3]])
      >>> cycle_knn(x, x, k=1).item(), cycle_knn(x, x[jnp.array([0, 2, 1, 3])], k=1).item()
      (1.0, 0.0)
    """
    where = "cycle_knn"
    check_pair(where, x, y)
    _check_k(where, x, k)
    return _cycles(x, y, k=k)


@partial(compiled, static_argnames="k")
def _cycles(x: jax.Array, y: jax.Array, *, k: int) -> jax.Array:
    back = _nearest(x, k=k)[_nearest(y, k=k)]
    home = jnp.arange(x.shape[0])[:, None, None]
    return jnp.mean(jnp.any(back == home, (1, 2)).astype(widen(x).dtype))


def lcs_knn(
    x: Float[Array, "examples units"], y: Float[Array, "examples others"], *, k: int = 10
) -> Float[Array, ""]:
    """Measure the longest common subsequence of the two lists of neighbours, over k.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order.
      k: neighbours, fewer than examples.

    Returns:
      The mean over the examples: 1 for the same neighbours in the same order; never above
      :func:`mutual_knn`, which does not look at the order.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different examples, or too few.

    Gradient: none.

    Example:
      >>> x = jnp.array([[4.0, 0], [4, 1], [4, 3], [4, 8]])
      >>> lcs_knn(x, x, k=3).item()
      1.0
    """
    where = "lcs_knn"
    check_pair(where, x, y)
    _check_k(where, x, k)
    return jnp.mean(_table(x, y, k=k, edits=False))


def edit_knn(
    x: Float[Array, "examples units"], y: Float[Array, "examples others"], *, k: int = 10
) -> Float[Array, ""]:
    """Measure how few edits turn one list of neighbours into the other: 1 - edits / k.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order.
      k: neighbours, fewer than examples.

    Returns:
      The mean over the examples: 1 for the same neighbours in the same order, 0 if all must
      be replaced. Insertions, deletions and replacements count one each.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different examples, or too few.

    Gradient: none.

    Example:
      >>> x = jnp.array([[4.0, 0], [4, 1], [4, 3], [4, 8]])
      >>> edit_knn(x, x, k=3).item()
      1.0
    """
    where = "edit_knn"
    check_pair(where, x, y)
    _check_k(where, x, k)
    return 1 - jnp.mean(_table(x, y, k=k, edits=True))


def cknna(
    x: Float[Array, "examples units"], y: Float[Array, "examples others"], *, k: int = 10
) -> Float[Array, ""]:
    r"""Align kernels by what they hold of near neighbours only.

    .. math:: \frac{A(K, L)}{\sqrt{A(K, K) A(L, L)}}, \quad
       A(K, L) = \mathrm{HSIC}(M \circ K, M \circ L), \quad M_{ij} = [j \in S(i) \cap T(i)]

    K and L are the cosines of x and y, HSIC the debiased estimate; within A(K, K) both sets of
    neighbours are S. With k = n - 1 it is the debiased CKA of the cosines.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order; four or more.
      k: neighbours, at least two and fewer than examples.

    Returns:
      1 for the same representation up to rotation and the lengths of the vectors, about 0 or
      a little above for unrelated ones.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different examples, or too few.

    Gradient: flows through the cosines; neighbours are constants.

    Example:
      >>> x = jnp.array([[1.0, 0], [1, 1], [0, 1], [0, 3], [-1, 2]])
      >>> cknna(x, 2 * x[:, ::-1], k=3).round(4).item()
      1.0
    """
    where = "cknna"
    check_pair(where, x, y, least=4)
    _check_k(where, x, k)
    require(k > 1, where, "k", k, "two neighbours or more")
    return _cknna(x, y, k=k)


@partial(compiled, static_argnames="k")
def _cknna(x: jax.Array, y: jax.Array, *, k: int) -> jax.Array:
    first, second = _cosines(x, False), _cosines(y, False)
    near, close = _among(_top(first, k)), _among(_top(second, k))

    def alike(a: jax.Array, b: jax.Array, mask: jax.Array) -> jax.Array:
        return _debiased(jnp.where(mask, a, 0), jnp.where(mask, b, 0))

    top = alike(first, second, near & close)
    return ratio(top, root(alike(first, first, near)) * root(alike(second, second, close)))


def _check_k(where: str, x: jax.Array, k: int) -> None:
    require_count(where, k=k)
    n = x.shape[0]
    require(k < n, where, "k", k, f"fewer neighbours than the {n} examples")


def _cosines(x: jax.Array, center: bool) -> jax.Array:
    x = widen(x)
    unit = unit_vectors(x - jnp.mean(x, 0, keepdims=True) if center else x)
    return matmul(unit, unit.T)


def _top(cosines: jax.Array, k: int) -> jax.Array:
    """Give each row's k largest columns, without the diagonal."""
    itself = jnp.eye(cosines.shape[0], dtype=bool)
    return jax.lax.top_k(jnp.where(itself, -jnp.inf, jax.lax.stop_gradient(cosines)), k)[1]


def _among(indices: jax.Array) -> jax.Array:
    """Mark the entries of ``(n, n)`` that are listed."""
    n = indices.shape[0]
    rows = jnp.arange(n)[:, None]
    return jnp.zeros((n, n), bool).at[rows, indices].set(True)


def _debiased(k: jax.Array, l: jax.Array) -> jax.Array:  # noqa: E741
    """Give the debiased HSIC, without its factor, of matrices that need not be symmetric."""
    n = k.shape[0]
    apart = 1 - jnp.eye(n, dtype=k.dtype)
    k, l = k * apart, l * apart  # noqa: E741
    along = jnp.sum(k, 0), jnp.sum(l, 1)
    return (
        jnp.sum(k * l.T)
        + jnp.sum(k) * jnp.sum(l) / ((n - 1) * (n - 2))
        - 2 * jnp.sum(along[0] * along[1]) / (n - 2)
    )


@partial(compiled, static_argnames=("k", "edits"))
def _table(x: jax.Array, y: jax.Array, *, k: int, edits: bool) -> jax.Array:
    """Compare the two lists of every example at once, by rows of a table; over k.

    The table's last entry is the length of the longest common subsequence, or the edits.
    """
    here, there = _nearest(x, k=k), _nearest(y, k=k)
    n = here.shape[0]
    start = jnp.broadcast_to(jnp.arange(k + 1) * int(edits), (n, k + 1)).astype(jnp.int32)

    def row(above: jax.Array, item: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        index, one = item
        same = (there == one[:, None]).astype(jnp.int32)

        def entry(left: jax.Array, column: tuple[jax.Array, ...]):
            corner, top, equal = column
            if edits:
                best = jnp.minimum(jnp.minimum(left, top) + 1, corner + 1 - equal)
            else:
                best = jnp.maximum(jnp.maximum(left, top), corner + equal)
            return best, best

        first = jnp.full((n,), 0, jnp.int32) + (index if edits else 0)
        columns = (above[:, :-1].T, above[:, 1:].T, same.T)
        rest = jax.lax.scan(entry, first, columns)[1]
        return jnp.concatenate([first[:, None], rest.T], 1), None

    items = (jnp.arange(1, k + 1, dtype=jnp.int32), here.T)
    return jax.lax.scan(row, start, items)[0][:, -1].astype(widen(x).dtype) / k
