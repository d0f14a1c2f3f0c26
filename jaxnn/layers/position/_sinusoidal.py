r"""Fixed sinusoids of the position, from short waves to long ones.

Sources: "Attention Is All You Need" (2017), section 3.5, for one axis; "Better plain ViT
baselines for ImageNet-1k" (2022) for two, each axis taking half of the features.

===========  ================================================
p            ``positions``, ``(*batch)``, integer or real
d            ``features``
β            ``base``; wavelengths run from 2π to 2πβ
===========  ================================================
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype


def sinusoidal_embedding(
    positions: Num[Array, "*batch"], features: int, *, base: float = 10_000.0
) -> Float[Array, "*batch {features}"]:
    r"""Embed positions as pairs of a sine and a cosine at each of d/2 frequencies.

    .. math:: e_{2i} = \sin(p\,\beta^{-2i/d}), \quad e_{2i+1} = \cos(p\,\beta^{-2i/d})

    Args:
      positions: p, of any shape; real positions interpolate between whole ones.
      features: d, even.
      base: β.

    Returns:
      An array with one more axis, in the dtype of ``positions`` if that is floating-point,
      else float32.

    Raises:
      TypeError: ``positions`` is not an array.
      ValueError: ``features`` is odd or below two, or ``base`` is not positive.

    Example:
      >>> print(sinusoidal_embedding(jnp.array([0]), 4))
      [[0. 1. 0. 1.]]
    """
    where = "sinusoidal_embedding"
    require_array(where, floating=False, positions=positions)
    require(features > 0 and features % 2 == 0, where, "features", features, "an even number")
    require_positive(where, base=base)
    angles = _angles(positions, features // 2, base)
    pairs = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return pairs.reshape(*positions.shape, features).astype(_result_dtype(positions))


def sinusoidal_embedding_2d(
    rows: Num[Array, "*batch"],
    columns: Num[Array, "*batch"],
    features: int,
    *,
    base: float = 10_000.0,
) -> Float[Array, "*batch {features}"]:
    r"""Embed points of a plane: sines and cosines of the column, then of the row.

    .. math:: e = [\sin c\omega, \cos c\omega, \sin r\omega, \cos r\omega], \quad
        \omega_i = \beta^{-i/(d/4 - 1)}, \; i = 0 \ldots d/4 - 1

    Args:
      rows: r, of any shape.
      columns: c, of the same shape.
      features: d, a multiple of four.
      base: β.

    Returns:
      An array with one more axis, in the dtype of ``rows`` if that is floating-point, else
      float32. Frequencies run from 1 to 1/β inclusive.

    Raises:
      TypeError: an argument is not an array.
      ValueError: shapes differ, or ``features`` is not a multiple of four.

    Example:
      >>> rows, columns = jnp.indices((8, 8))
      >>> sinusoidal_embedding_2d(rows, columns, 64).shape
      (8, 8, 64)
    """
    where = "sinusoidal_embedding_2d"
    require_array(where, floating=False, rows=rows, columns=columns)
    require(
        columns.shape == rows.shape, where, "columns", columns, f"shape {rows.shape}, as `rows`"
    )
    require(features > 0 and features % 4 == 0, where, "features", features, "a multiple of four")
    require_positive(where, base=base)
    quarter = features // 4
    # One more frequency than steps between them, so that both ends of the range are there.
    span = base ** (quarter / max(quarter - 1, 1))
    parts = []
    for coordinate in (columns, rows):
        angles = _angles(coordinate, quarter, span)
        parts += [jnp.sin(angles), jnp.cos(angles)]
    return jnp.concatenate(parts, axis=-1).astype(_result_dtype(rows))


def _angles(positions, count, base):
    """Multiply positions by ``base ** (-i / count)``, in float32 or wider."""
    wide = accumulation_dtype(_result_dtype(positions))
    frequencies = base ** (-jnp.arange(count, dtype=wide) / count)
    shape = (*positions.shape, count)
    return positions[..., None].astype(wide) * jnp.broadcast_to(frequencies, shape)


def _result_dtype(positions):
    floating = jnp.issubdtype(positions.dtype, jnp.floating)
    return positions.dtype if floating else jnp.dtype(jnp.float32)
