r"""Frequencies of rotary positions, and how they are slowed for sequences longer than trained on.

A trained network has only seen angles up to ω L, for L positions. Each set below maps longer
sequences back into that range in another way; all are given to
:func:`~jaxnn.layers.position.rotary_embedding` as ``frequencies``.

Sources: "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021);
"Extending Context Window of Large Language Models via Positional Interpolation" (2023),
equation 4; "YaRN: Efficient Context Window Extension of Large Language Models" (2023), sections
3.1 to 3.4, which also describes the NTK-aware and dynamic sets; "The Llama 3 Herd of Models"
(2024), with its released code.

===========  ========================================================
w            ``width``, number of turned features
β            ``base``
f            ``factor``, how many times longer the sequences are
L            ``original_length``, of the sequences trained on
===========  ========================================================
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxnn._check import require, require_positive


def rotary_frequencies(width: int, *, base: float = 10_000.0) -> Float[Array, " pairs"]:
    r"""Give the frequencies as trained, from 1 radian a position down to almost 1/β.

    .. math:: \omega_i = \beta^{-2i/w}, \quad i = 0 \ldots w/2 - 1

    Args:
      width: w, even.
      base: β.

    Returns:
      A float32 array ``(width / 2,)``.

    Raises:
      ValueError: ``width`` is not an even number above zero, or ``base`` is not positive.

    Example:
      >>> rotary_frequencies(4, base=100.0).round(3).tolist()
      [1.0, 0.1]
    """
    return _as_array(_frequencies("rotary_frequencies", width, base))


def interpolated_frequencies(
    width: int, *, factor: float, base: float = 10_000.0
) -> Float[Array, " pairs"]:
    r"""Slow all frequencies alike, which squeezes the positions together.

    .. math:: \omega_i = \beta^{-2i/w} / f

    Args:
      width: w, even.
      factor: f, at least 1.
      base: β.

    Returns:
      A float32 array ``(width / 2,)``.

    Raises:
      ValueError: ``width`` is odd, or ``factor`` is below one.

    Example:
      >>> interpolated_frequencies(4, factor=2.0, base=100.0).round(3).tolist()
      [0.5, 0.05]
    """
    where = "interpolated_frequencies"
    _require_factor(where, factor)
    return _as_array(_frequencies(where, width, base) / factor)


def ntk_frequencies(
    width: int,
    *,
    factor: float,
    base: float = 10_000.0,
) -> Float[Array, " pairs"]:
    r"""Slow the last frequency by f and the first not at all, by a larger base.

    .. math:: \omega_i = \beta'^{-2i/w}, \quad \beta' = \beta f^{w/(w-2)}

    Args:
      width: w, even and above two.
      factor: f, at least 1.
      base: β.

    Returns:
      A float32 array ``(width / 2,)``.

    Raises:
      ValueError: ``width`` is odd or below four, or ``factor`` is below one.

    Example:
      >>> ntk_frequencies(4, factor=2.0, base=100.0).round(3).tolist()
      [1.0, 0.05]
    """
    where = "ntk_frequencies"
    _require_factor(where, factor)
    require(width > 2, where, "width", width, "at least four")
    return _as_array(_frequencies(where, width, base * factor ** (width / (width - 2))))


def dynamic_ntk_frequencies(
    width: int,
    length: int | Num[Array, ""],
    *,
    original_length: int,
    factor: float = 1.0,
    base: float = 10_000.0,
) -> Float[Array, " pairs"]:
    r"""Slow as :func:`ntk_frequencies` do, by as much as the present length n asks for.

    .. math:: f' = \max\left(1, f \frac{n}{L} - (f - 1)\right)

    Args:
      width: w, even and above two.
      length: n, which may be traced.
      original_length: L; up to it the frequencies are those trained.
      factor: f; 1 stretches just to n.
      base: β.

    Returns:
      A float32 array ``(width / 2,)``.

    Raises:
      ValueError: ``width`` is odd or below four, or ``factor`` is below one.

    Example:
      >>> dynamic_ntk_frequencies(4, 16, original_length=8, base=100.0).round(3).tolist()
      [1.0, 0.05]
    """
    where = "dynamic_ntk_frequencies"
    _require_factor(where, factor)
    require(width > 2, where, "width", width, "at least four")
    require_positive(where, original_length=original_length)
    plain = _as_array(_frequencies(where, width, base))
    stretch = factor * jnp.asarray(length, jnp.float32) / original_length - (factor - 1)
    # Frequency i is slowed by the i-th of w/2 - 1 equal steps, in the exponent, from 1 to f'.
    steps = jnp.arange(width // 2, dtype=jnp.float32) / (width // 2 - 1)
    return plain * jnp.broadcast_to(jnp.maximum(stretch, 1.0), plain.shape) ** -steps


def yarn_frequencies(
    width: int,
    *,
    factor: float,
    original_length: int,
    base: float = 10_000.0,
    fast: float = 32.0,
    slow: float = 1.0,
) -> Float[Array, " pairs"]:
    r"""Slow what turns less than a few times over the trained length, and nothing else.

    .. math:: \omega_i = \beta^{-2i/w} \left((1 - \gamma_i)\frac{1}{f} + \gamma_i\right)

    with γ falling linearly in i from 1, where the frequency turns ``fast`` times over L, to 0,
    where it turns ``slow`` times. Pass :func:`yarn_attention_factor` along.

    Args:
      width: w, even.
      factor: f, at least 1.
      original_length: L.
      base: β.
      fast: turns from which a frequency is left as it is; the paper's β.
      slow: turns up to which it is slowed by f; the paper's α.

    Returns:
      A float32 array ``(width / 2,)``.

    Raises:
      ValueError: ``width`` is odd, ``factor`` is below one, or ``fast`` is not above ``slow``.

    Differs: the paper's γ is linear in the number of turns, its released code's in i, with the
    ends of the ramp rounded outwards to whole i. This is the code's, which models are trained
    with.

    Example:
      >>> scaled = yarn_frequencies(8, factor=4.0, original_length=4096)
      >>> (scaled / rotary_frequencies(8)).round(3).tolist()
      [1.0, 1.0, 0.625, 0.25]
    """
    where = "yarn_frequencies"
    _require_factor(where, factor)
    plain = _frequencies(where, width, base)
    require_positive(where, original_length=original_length, fast=fast, slow=slow)
    require(fast > slow, where, "fast", fast, f"more turns than `slow`, {slow}")
    require(base > 1, where, "base", base, "a number above one")

    def pair_of(turns):
        """Give the i, rarely whole, whose frequency turns so often over the length."""
        return width * math.log(original_length / (2 * math.pi * turns)) / (2 * math.log(base))

    low = max(math.floor(pair_of(fast)), 0)
    high = min(math.ceil(pair_of(slow)), width - 1)
    ramp = (np.arange(width // 2) - low) / (high - low if high != low else 1e-3)
    kept = 1 - np.clip(ramp, 0, 1)
    return _as_array(plain * ((1 - kept) / factor + kept))


def yarn_attention_factor(factor: float) -> float:
    r"""Give what YaRN multiplies turned queries and keys by, against flatter softmax rows.

    .. math:: m = 0.1 \ln f + 1

    Args:
      factor: f, at least 1.

    Returns:
      m, for ``attention_factor`` of :func:`~jaxnn.layers.position.rotary_embedding`.

    Raises:
      ValueError: ``factor`` is below one.

    Example:
      >>> round(yarn_attention_factor(4.0), 4)
      1.1386
    """
    _require_factor("yarn_attention_factor", factor)
    return 0.1 * math.log(factor) + 1


def llama3_frequencies(
    width: int,
    *,
    factor: float = 8.0,
    original_length: int = 8192,
    base: float = 500_000.0,
    low_factor: float = 1.0,
    high_factor: float = 4.0,
) -> Float[Array, " pairs"]:
    r"""Slow waves longer than L, leave those shorter than L/4, and blend in between.

    .. math:: \omega'_i = \omega_i \left((1 - \gamma_i)\frac{1}{f} + \gamma_i\right), \quad
        \gamma_i = \operatorname{clip}\left(\frac{L \omega_i / 2\pi - l}{h - l}, 0, 1\right)

    Args:
      width: w, even.
      factor: f, at least 1.
      original_length: L.
      base: β.
      low_factor: l, turns over L up to which a frequency is slowed by f.
      high_factor: h, turns from which it is left as it is.

    Returns:
      A float32 array ``(width / 2,)``; the defaults are those of Llama 3.1.

    Raises:
      ValueError: ``width`` is odd, ``factor`` is below one, or ``high_factor`` is not above
        ``low_factor``.

    Example:
      >>> scaled = llama3_frequencies(8, base=10_000.0)
      >>> (scaled / rotary_frequencies(8)).round(3).tolist()
      [1.0, 1.0, 1.0, 0.214]
    """
    where = "llama3_frequencies"
    _require_factor(where, factor)
    plain = _frequencies(where, width, base)
    require_positive(
        where, original_length=original_length, low_factor=low_factor, high_factor=high_factor
    )
    require(
        high_factor > low_factor,
        where,
        "high_factor",
        high_factor,
        f"more turns than `low_factor`, {low_factor}",
    )
    turns = original_length * plain / (2 * math.pi)
    kept = np.clip((turns - low_factor) / (high_factor - low_factor), 0, 1)
    return _as_array(plain * ((1 - kept) / factor + kept))


def _frequencies(where, width, base):
    """Give the plain frequencies in float64: small ones are multiplied by large positions."""
    require(width > 0 and width % 2 == 0, where, "width", width, "an even number above zero")
    require_positive(where, base=base)
    return float(base) ** (-2.0 * np.arange(width // 2) / width)


def _require_factor(where, factor):
    require_positive(where, factor=factor)
    require(factor >= 1, where, "factor", factor, "a number of at least one")


def _as_array(values):
    return jnp.asarray(values, jnp.float32)
