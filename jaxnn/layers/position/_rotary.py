r"""Rotary positions: queries and keys are turned by angles that grow with their position.

Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021), equation 34.
The product of a turned query and a turned key depends on their distance alone. Turning only
the first features is from "GPT-NeoX-20B: An Open-Source Autoregressive Language Model" (2022),
section 2.1.1; the factor is from "YaRN: Efficient Context Window Extension of Large Language
Models" (2023), section 3.4.

===========  =================================================
x            queries or keys, ``(*batch, time, heads, width)``
p            ``positions``, ``(*batch or none, time)``
w            number of turned features, even
β            ``base``
ω            ``frequencies``, ``(w / 2,)``
m            ``attention_factor``
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
    fraction: float = 1.0,
    frequencies: Float[Array, " pairs"] | None = None,
    attention_factor: float = 1.0,
) -> Float[Array, "*batch time heads width"]:
    r"""Turn feature pairs (i, i + w/2) by the angle p ω_i.

    .. math:: y_i = m\,(x_i \cos\theta_i - x_{i+w/2} \sin\theta_i), \quad
        y_{i+w/2} = m\,(x_{i+w/2} \cos\theta_i + x_i \sin\theta_i), \quad
        \theta_i = p\,\omega_i, \quad \omega_i = \beta^{-2i/w}

    Args:
      x: queries or keys.
      positions: p, integer or real, ``(time,)`` for all examples or ``(*batch, time)``.
      base: β; larger turns more slowly, for longer sequences.
      fraction: share of the features, from the first on, that are turned; w is this share of
        the width, rounded down. The rest is passed through.
      frequencies: ω, if not those of ``base``: one of the scaled sets for sequences longer
        than trained on, e.g. :func:`yarn_frequencies`.
      attention_factor: m; products of turned queries and keys grow by its square.

    Returns:
      An array of the shape and dtype of ``x``; angles are taken in float32 or wider.

    Raises:
      TypeError: an argument is not an array.
      ValueError: an odd number of features is to be turned, ``positions`` fits neither shape,
        or ``frequencies`` are not one for each pair.

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
    require(0 < fraction <= 1, where, "fraction", fraction, "a share above zero, up to one")
    turned = int(width * fraction)
    require(
        turned % 2 == 0,
        where,
        "x",
        x,
        f"an even width, its last axis, or an even `fraction` of it, which is {turned}",
    )
    require(
        positions.shape in ((time,), (*batch, time)),
        where,
        "positions",
        positions,
        f"shape {(time,)} or {(*batch, time)}, one per time step of `x`",
    )
    require_positive(where, base=base, attention_factor=attention_factor)
    wide = accumulation_dtype(x.dtype)
    half = turned // 2
    if frequencies is None:
        frequencies = base ** (-jnp.arange(half, dtype=wide) / half)
    else:
        require_array(where, frequencies=frequencies)
        require(
            frequencies.shape == (half,),
            where,
            "frequencies",
            frequencies,
            f"shape {(half,)}, one for each pair of turned features",
        )
    shape = (*positions.shape, 1, half)
    angles = positions[..., None, None].astype(wide) * jnp.broadcast_to(
        frequencies.astype(wide), shape
    )
    target = (*batch, time, 1, half)
    cosine = jnp.broadcast_to(attention_factor * jnp.cos(angles), target)
    sine = jnp.broadcast_to(attention_factor * jnp.sin(angles), target)
    first, second = x[..., :half].astype(wide), x[..., half:turned].astype(wide)
    parts = [first * cosine - second * sine, second * cosine + first * sine]
    parts = [part.astype(x.dtype) for part in parts]
    return jnp.concatenate([*parts, x[..., turned:]], axis=-1)
