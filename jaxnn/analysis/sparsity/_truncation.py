r"""How much of a feed-forward network's hidden layer can go, by what its output loses.

Source: "Sparsing Law: Towards Large Language Models with Greater Activation Sparsity" (2024).
A unit counts by what it adds to the output, whatever the activation function; the units that add
least go, as many as a model's perplexity allows.

=====  =================================================
a      ``hidden``, the units' values behind the activation, and the gate if there is one
W      ``down``, the kernel of the second map: unit i adds a_i W_i to the output
ε      ``threshold``: units that add no more than it are dropped
D      how much data the model has seen
=====  =================================================
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype, ratio, root
from jaxnn.analysis.sparsity._fit import fit_columns

Scalar = float | Float[Array, ""]


def truncate_units(
    hidden: Float[Array, "*batch units"],
    down: Float[Array, "units features"],
    threshold: Scalar,
) -> Float[Array, "*batch units"]:
    r"""Set the units to zero that add little to the output.

    .. math:: a_i \; [\, |a_i| \, \|W_i\| > ε \,]

    Args:
      hidden: a.
      down: W.
      threshold: ε.

    Returns:
      The hidden layer with fewer units; with ε = 0 it changes no output.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree.

    Example:
      >>> truncate_units(jnp.array([3.0, -0.5, 1.0]), jnp.eye(3), 0.5).tolist()
      [3.0, 0.0, 1.0]
    """
    _check("truncate_units", hidden, down)
    size = _sizes(hidden, down)
    keep = size > jnp.asarray(threshold, size.dtype)
    return jnp.where(keep, hidden, jnp.zeros((), hidden.dtype))


def cett(
    hidden: Float[Array, "*batch units"],
    down: Float[Array, "units features"],
    threshold: Scalar,
) -> Float[Array, "*batch"]:
    r"""Measure what dropping units takes from the output: cumulative errors of tail truncation.

    .. math:: \bigl\| \textstyle\sum_{i \text{ dropped}} a_i W_i \bigr\| \; / \;
      \bigl\| \textstyle\sum_i a_i W_i \bigr\|

    Args:
      hidden: a.
      down: W.
      threshold: ε.

    Returns:
      0 where nothing that counts is dropped, 1 where all is, and more should dropped units have
      cancelled kept ones; 0 where the output is zero. float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree.

    Example:
      >>> round(cett(jnp.array([4.0, 3.0]), jnp.eye(2), 3.0).item(), 4)
      0.6
    """
    _check("cett", hidden, down)
    return _errors(hidden, down, _sizes(hidden, down), threshold)


def cett_threshold(
    hidden: Float[Array, "*batch units"],
    down: Float[Array, "units features"],
    target: Scalar,
    *,
    iterations: int = 20,
) -> Float[Array, ""]:
    r"""Find the threshold of one layer at which the mean CETT of all tokens is a target.

    By bisection between 0 and the most that a unit adds, so that layers of any scale can share
    one target.

    Args:
      hidden: a, of many tokens.
      down: W.
      target: the CETT wanted, the same for all layers.
      iterations: halvings.

    Returns:
      ε, at which the mean CETT is at most the target; not negative. float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or ``iterations`` is not a whole number above zero.

    Example:
      >>> hidden = jnp.array([[4.0, 3.0, 0.1], [8.0, 6.0, 0.2]])
      >>> threshold = cett_threshold(hidden, jnp.eye(3), 0.1)
      >>> truncate_units(hidden, jnp.eye(3), threshold).tolist()
      [[4.0, 3.0, 0.0], [8.0, 6.0, 0.0]]
    """
    where = "cett_threshold"
    _check(where, hidden, down)
    require_count(where, iterations=iterations)
    sizes = _sizes(hidden, down)
    wanted = jnp.asarray(target, sizes.dtype)

    def halve(_: jax.Array, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        good = jnp.mean(_errors(hidden, down, sizes, middle)) <= wanted
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    top = jnp.max(sizes)
    low, _ = jax.lax.fori_loop(0, iterations, halve, (jnp.zeros_like(top), top))
    return jnp.where(wanted >= 1, top, low)


class PPLSparsity(NamedTuple):
    """How sparse a model can be at a price in perplexity.

    Attributes:
      sparsity: the share of hidden units dropped.
      cett: of all layers.
      loss: there, in nats a token.
      dense_loss: with a CETT of 0, at which only units that add nothing are dropped.
    """

    sparsity: Float[Array, ""]
    cett: Float[Array, ""]
    loss: Float[Array, ""]
    dense_loss: Float[Array, ""]


def ppl_p_sparsity(
    evaluate: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    *,
    increase: Scalar = 0.01,
    iterations: int = 10,
) -> PPLSparsity:
    r"""Find the sparsity at which perplexity has risen by a given share: PPL-p% sparsity.

    .. math:: \max \{ c : \mathrm{loss}(c) \le \mathrm{loss}(0) + \ln(1 + p) \}

    by bisection over the CETT c that all layers share, in one loop that calls ``evaluate`` from a
    single place, so that under ``jit`` it is compiled once.

    Args:
      evaluate: from c to the mean loss in nats a token and the share of units dropped. Find each
        layer's threshold of the whole model's hidden units by :func:`cett_threshold`, then run
        the model with :func:`truncate_units` before each second map.
      increase: p.
      iterations: halvings of [0, 1].

    Returns:
      The sparsity, and c and the losses with it. The loss is within the bound, even where it does
      not rise steadily with c.

    Raises:
      TypeError: what ``evaluate`` gives is not two arrays of floating-point numbers.
      ValueError: they have axes, or an option is not above zero.

    Example:
      >>> found = ppl_p_sparsity(lambda c: (2 + c, 0.5 + c / 2), increase=0.1, iterations=20)
      >>> round(found.cett.item(), 3), round(found.sparsity.item(), 3)  # ln 1.1
      (0.095, 0.548)
    """
    where = "ppl_p_sparsity"
    if isinstance(increase, float | int):
        require_positive(where, increase=increase)
    require_count(where, iterations=iterations)
    dtype = jnp.result_type(float)

    def step(carry: tuple[jax.Array, PPLSparsity], first: jax.Array):
        high, found = carry
        # The dense model comes first, by the same call.
        c = jnp.where(first, 0, (found.cett + high) / 2)
        loss, sparsity = _numbers(where, evaluate(c), dtype)
        dense = jnp.where(first, loss, found.dense_loss)
        good = first | (loss <= dense + jnp.log1p(jnp.asarray(increase, dtype)))
        new = PPLSparsity(sparsity, c, loss, dense)
        return (
            jnp.where(good, high, c),
            jax.tree.map(lambda a, b: jnp.where(good, a, b), new, found._replace(dense_loss=dense)),
        ), None

    zero = jnp.zeros((), dtype)
    start = (jnp.ones((), dtype), PPLSparsity(zero, zero, zero, zero))
    first = jnp.arange(iterations + 1) == 0
    return jax.lax.scan(step, start, first)[0][1]


class ActivationLaw(NamedTuple):
    r"""The share of active units as a function of the data seen.

    .. math:: A_\text{falls}(D) = A_0 + e^{b - c D^α}, \quad A_\text{rises}(D) = A_0 - c D^{-α}

    Attributes:
      limit: A₀, what is reached in the end.
      scale: c.
      exponent: α.
      shift: b; ``None`` of the law that rises.
    """

    limit: float
    scale: float
    exponent: float
    shift: float | None

    def curve(self, data: Float[Array, "..."]) -> Float[Array, "..."]:
        """Give A at the amounts of data D."""
        if self.shift is None:
            return self.limit - self.scale * data**-self.exponent
        return self.limit + jnp.exp(self.shift - self.scale * data**self.exponent)


def fit_activation_law(
    data: Float[Array, " points"] | np.ndarray,
    ratio: Float[Array, " points"] | np.ndarray,
    *,
    rises: bool,
) -> tuple[ActivationLaw, float]:
    """Fit the law of the share of active units by least squares.

    Done on the host by :mod:`scipy.optimize`; it cannot be traced.

    Args:
      data: D above zero, in any unit, more than four different amounts.
      ratio: A, one less the sparsity.
      rises: whether the law is the one that rises, seen with SiLU, or that falls, with ReLU.

    Returns:
      The law, and R², the share of the variance of A that it explains.

    Raises:
      ValueError: other shapes, too few amounts, or one not above zero.

    Example:
      >>> amount = np.geomspace(1.0, 100.0, 12)
      >>> law, explained = fit_activation_law(amount, 0.4 - 0.2 * amount**-0.5, rises=True)
      >>> round(law.limit, 3), round(law.exponent, 3), round(explained, 3)
      (0.4, 0.5, 1.0)
    """
    where = "fit_activation_law"
    data, ratio = (np.asarray(values, np.float64) for values in (data, ratio))
    good = data.ndim == 1 and len(np.unique(data)) > 4 and data.min() > 0
    require(bool(good), where, "data", data, "shape (points,), more than four amounts above zero")
    require(ratio.shape == data.shape, where, "ratio", ratio, f"shape {data.shape}, as `data`")
    least, last = data.min(), data.max()
    exponents = np.log(np.geomspace(0.02, 5, 17))
    if rises:

        def rising(p: np.ndarray) -> np.ndarray:
            return np.stack([-((data / least) ** -np.exp(p[0])), np.ones_like(data)], 1)

        p, (c, limit), explained = fit_columns(rising, exponents[:, None], ratio, positive=True)
        (power,) = np.exp(p)
        return ActivationLaw(float(limit), float(c * least**power), float(power), None), explained

    def falling(p: np.ndarray) -> np.ndarray:
        c, power = np.exp(p)
        tail = c * ((data / last) ** power - (least / last) ** power)
        return np.stack([np.exp(-tail), np.ones_like(data)], 1)

    grid = np.meshgrid(np.log(np.geomspace(0.02, 200, 17)), exponents)
    starts = np.stack(grid, -1).reshape(-1, 2)
    p, (height, limit), explained = fit_columns(falling, starts, ratio, positive=True)
    c, power = np.exp(p)
    shift = np.log(max(height, 1e-300)) + c * (least / last) ** power
    return ActivationLaw(
        float(limit), float(c / last**power), float(power), float(shift)
    ), explained


def _check(where: str, hidden: jax.Array, down: jax.Array) -> None:
    require_array(where, hidden=hidden, down=down)
    require_rank(where, "hidden", hidden, 1, "(*batch, units)")
    good = down.ndim == 2 and len(down) == hidden.shape[-1]
    needs = f"shape ({hidden.shape[-1]}, features), a row for each unit of `hidden`"
    require(good, where, "down", down, needs)


def _sizes(hidden: jax.Array, down: jax.Array) -> jax.Array:
    """Give the length of what each unit adds."""
    wide = accumulation_dtype(jnp.promote_types(hidden.dtype, down.dtype))
    lengths = _length(jnp.asarray(down).astype(wide))
    return jnp.abs(jnp.asarray(hidden).astype(wide)) * jnp.broadcast_to(lengths, hidden.shape)


def _errors(hidden: jax.Array, down: jax.Array, sizes: jax.Array, threshold: Scalar) -> jax.Array:
    wide = sizes.dtype
    hidden, down = jnp.asarray(hidden).astype(wide), jnp.asarray(down).astype(wide)
    dropped = jnp.where(sizes <= jnp.asarray(threshold, wide), hidden, 0)
    return ratio(_length(dropped @ down), _length(hidden @ down))


def _length(x: jax.Array) -> jax.Array:
    return root(jnp.sum(x**2, -1))


def _numbers(where: str, pair: tuple[jax.Array, jax.Array], dtype: np.dtype) -> list[jax.Array]:
    numbers = []
    for name, value in zip(("loss", "sparsity"), pair, strict=True):
        require_array(where, floating=True, **{f"evaluate(c), the {name}": value})
        require(value.ndim == 0, where, f"evaluate(c), the {name}", value, "one number")
        numbers.append(value.astype(dtype))
    return numbers
