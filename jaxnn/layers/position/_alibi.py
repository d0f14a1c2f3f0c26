r"""Linear biases: each head lowers its attention logits in proportion to the distance.

Source: "Train Short, Test Long: Attention with Linear Biases Enables Input Length
Extrapolation" (2021), section 3.

===========  =======================================
i, j         query and key positions
m            ``slopes``, ``(heads,)``, from 1 to 2⁻⁸
===========  =======================================
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxnn._check import require, require_array, require_positive, require_rank


def alibi_slopes(num_heads: int) -> Float[Array, " {num_heads}"]:
    r"""Give the paper's slopes: a geometric sequence that starts at its own ratio.

    .. math:: m_h = 2^{-8 h / n}, \quad h = 1 \ldots n

    for n heads, n a power of two. For other n the paper's released code takes the slopes of
    the largest power of two below n, then every other slope of the next power of two.

    Args:
      num_heads: n, at least one.

    Returns:
      The slopes in float32, ``(num_heads,)``.

    Raises:
      ValueError: ``num_heads`` is not a whole number of at least one.

    Example:
      >>> alibi_slopes(4).tolist()
      [0.25, 0.0625, 0.015625, 0.00390625]
    """
    require_positive("alibi_slopes", num_heads=num_heads)
    require(num_heads == int(num_heads), "alibi_slopes", "num_heads", num_heads, "a whole number")
    power = 2 ** int(math.log2(num_heads))
    slopes = _geometric(power)
    slopes = np.concatenate([slopes, _geometric(2 * power)[::2][: num_heads - power]])
    return jnp.asarray(slopes, jnp.float32)


def _geometric(count):
    return 2.0 ** (-8.0 * np.arange(1, count + 1) / count)


def alibi_bias(
    query_positions: Num[Array, "*batch queries"],
    key_positions: Num[Array, "*batch keys"],
    slopes: Float[Array, " heads"],
) -> Float[Array, "*batch heads queries keys"]:
    r"""Make the bias to add to attention logits.

    .. math:: b_{hij} = -m_h\,|i - j|

    Args:
      query_positions: i, integer or real.
      key_positions: j, with the same leading axes.
      slopes: m, one per head; :func:`alibi_slopes` gives the paper's.

    Returns:
      An array in the dtype of ``slopes``, to be passed as ``bias=`` to an attention function.
      Keys after the query are lowered likewise; a causal mask removes them.

    Raises:
      TypeError: an argument is not an array.
      ValueError: leading axes differ, or ``slopes`` has more than one axis.

    Example:
      >>> alibi_bias(jnp.array([2]), jnp.arange(2), jnp.array([0.5])).tolist()
      [[[-1.0, -0.5]]]
    """
    where = "alibi_bias"
    require_array(
        where, floating=False, query_positions=query_positions, key_positions=key_positions
    )
    require_array(where, slopes=slopes)
    require_rank(where, "query_positions", query_positions, 1, "(*batch, queries)")
    require(
        key_positions.ndim == query_positions.ndim
        and key_positions.shape[:-1] == query_positions.shape[:-1],
        where,
        "key_positions",
        key_positions,
        f"leading axes {query_positions.shape[:-1]}, as `query_positions`",
    )
    require(slopes.ndim == 1, where, "slopes", slopes, "shape (heads,)")
    dtype = slopes.dtype
    distance = jnp.abs(
        query_positions[..., :, None].astype(dtype) - key_positions[..., None, :].astype(dtype)
    )[..., None, :, :]
    per_head = jnp.expand_dims(slopes, (*range(distance.ndim - 3), -2, -1))
    return -per_head * distance
