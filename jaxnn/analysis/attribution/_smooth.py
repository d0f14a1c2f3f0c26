r"""Any attribution, averaged over noisy copies of the example.

Source: "SmoothGrad: removing noise by adding noise" (2017) for the mean; "Sanity Checks for
Saliency Maps" (2018) for the variance; "A Benchmark for Interpretability Methods in Deep
Neural Networks" (2019) for the mean of squares.

=====  ====================================================
a(x)   the attribution that is wrapped
ε      normal noise of deviation ``stdev``, one draw per sample
=====  ====================================================
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from jaxnn._check import require, require_array, require_key, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map

STATISTICS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "mean": lambda maps: jnp.mean(maps, 0),
    "square": lambda maps: jnp.mean(maps**2, 0),
    "variance": lambda maps: jnp.var(maps, 0),
}


def smooth(
    method: Callable[..., jax.Array],
    *,
    statistic: Literal["mean", "square", "variance"] = "mean",
    batch_size: int | None = None,
) -> Callable[..., jax.Array]:
    r"""Wrap an attribution method so that it averages over noise added to the example.

    .. math:: \bar a(x) = E_ε [a(x + ε)], \quad E_ε [a^2], \quad Var_ε [a]

    Args:
      method: called as ``method(f, x, *args, **options)``; any method of this family, or any
        function of that form.
      statistic: the mean, the mean of squares, or the variance (over all samples, not n - 1).
      batch_size: noisy copies held at once; ``None`` takes 5.

    Returns:
      A function ``(f, x, *args, key=, stdev=, samples=25, **options)``. ``stdev`` is in the
      units of ``x``; the paper advises 0.1 to 0.2 of the range of its values. Other arguments
      go to ``method``. It returns an array like that of ``method``.

    Raises:
      TypeError: ``x`` is not an array of floats or ``key`` not a random key (when called).
      ValueError: ``statistic``, ``stdev`` or ``samples`` cannot be used.

    Example:
      >>> smooth_gradient = smooth(gradient)
      >>> f = lambda x: jnp.abs(x[0])
      >>> smooth_gradient(f, jnp.ones(1), key=jax.random.key(0), stdev=0.1).item()
      1.0
    """
    known = "one of mean, square, variance"
    require(statistic in STATISTICS, "smooth", "statistic", statistic, known)

    def smoothed(
        f: Callable[[jax.Array], jax.Array],
        x: Float[Array, "*shape"],
        *args: Any,
        key: PRNGKeyArray | UInt32[Array, "2"],
        stdev: float,
        samples: int = 25,
        **options: Any,
    ) -> jax.Array:
        require_array("smooth", x=x)
        require_key("smooth", key)
        require_positive("smooth", samples=samples, stdev=stdev)
        wide = accumulation_dtype(x.dtype)

        def one(key: jax.Array) -> jax.Array:
            noise = stdev * jax.random.normal(key, x.shape, wide)
            return method(f, (x.astype(wide) + noise).astype(x.dtype), *args, **options)

        maps = chunked_map("smooth", one, jax.random.split(key, samples), batch_size)
        wide_maps = maps.astype(accumulation_dtype(maps.dtype))
        return STATISTICS[statistic](wide_maps).astype(maps.dtype)

    return smoothed
