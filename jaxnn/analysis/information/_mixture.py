r"""Information that survives a little Gaussian noise: bounds from the distances of the samples.

With noise of variance σ² added to every unit, the activations of n samples are a mixture of n
Gaussians. The entropy of a mixture has no closed form, but two that bracket it; less the
entropy of the noise, they bracket what the noisy activations tell of the sample.

Sources: "Estimating Mixture Entropy with Pairwise Distances" (2017); "Adaptive Estimators Show
Information Compression in Deep Neural Networks" (2019) for noise that follows the activations.

=======  ==================================================================
t        activations, ``(samples, units)``
σ²       ``variance`` of the noise
n        samples
=======  ==================================================================
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map

ROWS = 16  # of the samples whose distances to all others are held at once


class Bounds(NamedTuple):
    """Two numbers, in nats, between which a third lies.

    Attributes:
      lower: at most it.
      upper: at least it.
    """

    lower: Float[Array, ""]
    upper: Float[Array, ""]


def mixture_information(
    t: Float[Array, "samples units"],
    variance: float | Float[Array, ""] = 1e-3,
    *,
    batch_size: int = ROWS,
) -> Bounds:
    r"""Bound what noisy activations tell of the sample they come from, in nats.

    .. math:: - \frac{1}{n} \sum_i \ln \frac{1}{n} \sum_j
       \exp \left( - \frac{\|t_i - t_j\|^2}{2 \, a σ^2} \right)

    with a = 1 for the upper bound (Kullback-Leibler distances) and a = 4 for the lower
    (Bhattacharyya's): I(X; T) for T = t(X) + noise, X one of the n samples. Adding the entropy
    of the noise, :math:`\tfrac{d}{2} \ln (2 π e σ^2)`, gives the bounds of the entropy of T.

    Args:
      t: activations.
      variance: σ²; above zero.
      batch_size: samples whose distances to all others are held at once.

    Returns:
      Both bounds, from 0, all samples alike, to ln n, all far apart; float32 or wider.

    Raises:
      TypeError: ``t`` is not an array of floating-point numbers.
      ValueError: it has other than two axes or is empty, or ``variance`` is not above zero.

    Example:
      >>> bounds = mixture_information(jnp.array([[0.0], [0.0], [9.0], [9.0]]))
      >>> print(bounds.lower.round(4), bounds.upper.round(4))  # ln 2
      0.6931 0.6931
    """
    where = "mixture_information"
    require_array(where, t=t)
    ok = t.ndim == 2 and t.size > 0
    require(ok, where, "t", t, "shape (samples, units), neither of them zero")
    if isinstance(variance, float | int):
        require_positive(where, variance=variance)
    wide = jnp.asarray(t).astype(accumulation_dtype(t.dtype))
    together = jnp.zeros(len(wide), jnp.int32)
    return mixture_bounds(wide, jnp.asarray(variance, wide.dtype), together, batch_size)[0]


@partial(jax.jit, static_argnums=3, inline=True)
def mixture_bounds(
    t: jax.Array, variance: jax.Array, labels: jax.Array, batch_size: int = ROWS
) -> tuple[Bounds, Bounds]:
    """Bound the information about the sample: over all samples, and on average within a label."""

    def of(sample: tuple[jax.Array, jax.Array]) -> jax.Array:
        row, label = sample
        square = jnp.sum((t - row[None]) ** 2, 1)
        exponents = -jnp.stack([square / (8 * variance)[None], square / (2 * variance)[None]])
        same = jnp.broadcast_to(labels == label[None], exponents.shape)
        every, own = jnp.ones(len(t), t.dtype), same[0].astype(t.dtype)
        # The sample itself has an exponent of 0: no sum vanishes.
        return jnp.stack(
            [
                jax.nn.logsumexp(exponents, 1) - jnp.log(jnp.sum(every))[None],
                jax.nn.logsumexp(exponents, 1, where=same) - jnp.log(jnp.sum(own))[None],
            ]
        )

    logs = chunked_map("mixture_information", of, (t, labels), batch_size)
    (all_lower, all_upper), (own_lower, own_upper) = jnp.maximum(-jnp.mean(logs, 0), 0)
    return Bounds(all_lower, all_upper), Bounds(own_lower, own_upper)
