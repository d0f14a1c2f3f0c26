r"""Integrated gradients in expectation over a set of baselines, one random point on each line.

Source: "A Unified Approach to Interpreting Model Predictions" (2017) for the values that are
approximated; "Improving performance of deep learning models with axiomatic attribution priors
and expected gradients" (2021), equation 2, for this estimate.

=====  ====================================================
f      the function, one example to one number
x      the example, any shape
x'     a row of ``baselines``, drawn at random
α      uniform in [0, 1)
=====  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from jaxnn._check import require, require_array, require_key, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map, scalar


def gradient_shap(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    baselines: Float[Array, "count *shape"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    samples: int = 50,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by expected gradients over random baselines and random points.

    .. math:: a = E_{x', α} [(x - x') \odot \nabla f(x' + α (x - x'))]

    Args:
      f: one example to one number.
      x: the example.
      baselines: examples to be drawn from, usually a sample of the training data.
      key: random key.
      samples: gradients averaged; the error falls with the root of their number.
      batch_size: gradients held at once; ``None`` takes 5.

    Returns:
      An array like ``x``; its sum estimates ``f(x)`` minus the mean of f over ``baselines``.

    Raises:
      TypeError: ``x``, ``baselines`` or the output of ``f`` is not an array of floats; ``key``
        is not a random key.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Example:
      >>> zeros = jnp.zeros((1, 2))
      >>> a = gradient_shap(lambda x: 2 * x[0], jnp.ones(2), zeros, key=jax.random.key(0))
      >>> a.tolist()
      [2.0, 0.0]
    """
    where = "gradient_shap"
    require_array(where, x=x, baselines=baselines)
    require(
        baselines.ndim > 0 and baselines.shape[1:] == x.shape and len(baselines) > 0,
        where,
        "baselines",
        baselines,
        f"the shape (count, {', '.join(map(str, x.shape))}): rows like `x`",
    )
    require_key(where, key)
    require_positive(where, samples=samples)
    slope = jax.grad(scalar(where, f))
    wide = accumulation_dtype(x.dtype)
    row_key, point_key = jax.random.split(key)
    rows = jax.random.randint(row_key, (samples,), 0, len(baselines))
    points = jax.random.uniform(point_key, (samples,), wide)

    def sample(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
        row, point = inputs
        origin = baselines[row].astype(wide)
        path = x.astype(wide) - origin
        return path * slope((origin + point * path).astype(x.dtype)).astype(wide)

    return jnp.mean(chunked_map(where, sample, (rows, points), batch_size), 0).astype(x.dtype)
