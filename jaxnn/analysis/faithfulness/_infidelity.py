r"""How far attributions are from predicting what perturbations do.

Source: "On the (In)fidelity and Sensitivity of Explanations" (2019), definition 2.1.

=======  ====================================================
f        the function, one example to one number
x, a     the example and its ``attributions``
I        a perturbation, taken from x
=======  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map, scalar
from jaxnn.analysis.faithfulness._entries import beside, check_attributions, check_neighbors


def infidelity(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    perturbations: Float[Array, "samples *shape"],
    *,
    normalize: bool = False,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Measure how badly attributions, as slopes, predict the fall in output.

    .. math:: \mathbb{E}_I \bigl[(I \cdot a - (f(x) - f(x - I)))^2\bigr]

    Attributions are slopes here, as a gradient is: divide those that add up to the output,
    such as integrated gradients, by x - x' first. With perturbations
    ``0.1 * jax.random.normal(key, (100, *x.shape))`` this is the paper's noisy baseline; with
    ``masks * x`` it removes entries, or squares of them.

    Args:
      f: one example to one number.
      x: the example.
      attributions: like ``x``, or like its leading axes.
      perturbations: samples of I.
      normalize: scale the attributions by the one factor that makes the infidelity least.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      Zero or more, in float32 or wider.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Differs: quantus' ``Infidelity`` takes squares of the image one after another, each on top of
    those before.

    Example:
      >>> w = jnp.array([1.0, 2.0])
      >>> infidelity(lambda x: x @ w, jnp.ones(2), w, jnp.eye(2)).item()
      0.0
      >>> infidelity(lambda x: x @ w, jnp.ones(2), 0 * w, jnp.eye(2)).item()
      2.5
    """
    where = "infidelity"
    check_neighbors(where, "perturbations", x, perturbations)
    check_attributions(where, x.shape, attributions)
    f = scalar(where, f)
    wide = accumulation_dtype(x.dtype)
    falls = chunked_map(where, lambda p: f(x) - f(x - p), perturbations, batch_size).astype(wide)
    slopes = jnp.broadcast_to(beside(attributions, x.ndim), x.shape).astype(wide)
    predicted = jnp.tensordot(perturbations.astype(wide), slopes, x.ndim)
    if normalize:
        square = jnp.sum(predicted**2)
        some = square > 0
        factor = jnp.sum(predicted * falls) / jnp.where(some, square, 1)
        predicted = jnp.where(some, factor, 1) * predicted
    return jnp.mean((predicted - falls) ** 2)
