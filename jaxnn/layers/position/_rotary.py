r"""Rotary positions: queries and keys are turned by angles that grow with their position.

Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021), equation 34.
The product of a turned query and a turned key depends on their distance alone.

===========  =================================================
x            queries or keys, ``(*batch, time, heads, width)``
p            ``positions``, ``(*batch or none, time)``
w            ``width``, even
β            ``base``
===========  =================================================
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def rotary_embedding(
    x: Float[Array, "*batch time heads width"],
    positions: Num[Array, "*position_batch time"],
    *,
    base: float = 10_000.0,
) -> Float[Array, "*batch time heads width"]:
    r"""Turn feature pairs (i, i + w/2) by the angle p β^(-2i/w).

    .. math:: y_i = x_i \cos\theta_i - x_{i+w/2} \sin\theta_i, \quad
        y_{i+w/2} = x_{i+w/2} \cos\theta_i + x_i \sin\theta_i, \quad
        \theta_i = p\,\beta^{-2i/w}

    Args:
      x: queries or keys.
      positions: p, integer or real, ``(time,)`` for all examples or ``(*batch, time)``.
      base: β; larger turns more slowly, for longer sequences.

    Returns:
      An array of the shape and dtype of ``x``; angles are taken in float32 or wider.

    Raises:
      TypeError: an argument is not an array.
      ValueError: the width is odd, or ``positions`` fits neither shape.

    Differs: the paper pairs neighbours (2i, 2i + 1). Halves, as in GPT-NeoX and Llama, are the
    same map up to a fixed permutation of the features, and need no strided reads.

    Example:
      >>> x = jnp.ones((2, 3, 1, 4))
      >>> turned = rotary_embedding(x, jnp.arange(3))
      >>> bool(jnp.allclose(turned[:, 0], x[:, 0]))
      True
    """
    where = "rotary_embedding"
    require_array(where, x=x)
    require_array(where, floating=False, positions=positions)
    require_rank(where, "x", x, 3, "(*batch, time, heads, width)")
    *batch, time, _, width = x.shape
    require(width % 2 == 0, where, "x", x, "an even width, its last axis")
    require(
        positions.shape in ((time,), (*batch, time)),
        where,
        "positions",
        positions,
        f"shape {(time,)} or {(*batch, time)}, one per time step of `x`",
    )
    require_positive(where, base=base)
    wide = accumulation_dtype(x.dtype)
    half = width // 2
    frequencies = base ** (-jnp.arange(half, dtype=wide) / half)
    shape = (*positions.shape, 1, half)
    angles = positions[..., None, None].astype(wide) * jnp.broadcast_to(frequencies, shape)
    target = (*batch, time, 1, half)
    cosine = jnp.broadcast_to(jnp.cos(angles), target)
    sine = jnp.broadcast_to(jnp.sin(angles), target)
    first, second = x[..., :half].astype(wide), x[..., half:].astype(wide)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
