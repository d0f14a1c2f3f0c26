r"""Sparsity by counting what is (almost) zero.

Source: "The Lazy Neuron Phenomenon: On Emergence of Activation Sparsity in Transformers"
(2022) for activations, "Neurons in Large Language Models: Dead, N-gram, Positional" (2023)
for dead units.

=====  =================================================
h      activations, spikes or weights
θ      ``threshold``: magnitudes up to it, itself included, count as zero
=====  =================================================
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis.sparsity._axes import Axis, normalize_axis


def activation_sparsity(
    h: Shaped[Array, "..."], *, threshold: float = 0.0, axis: Axis = None
) -> Float[Array, "..."]:
    r"""Measure the fraction of entries that are zero.

    .. math:: \mathrm{mean} \; [\, |h| \le θ \,]

    Args:
      h: activations; floats, integers or booleans.
      threshold: the largest magnitude that counts as zero.
      axis: axes measured together; all if ``None``. ``axis=-1`` is example by example.

    Returns:
      Fractions from 0 (dense) to 1 (silent), float32.

    Raises:
      TypeError: ``h`` is not an array.
      ValueError: ``threshold`` is negative, no entry along ``axis``, or no such axis.

    Example:
      >>> activation_sparsity(jnp.array([0.0, 0.0, -2.0, 0.0])).item()
      0.75
    """
    where = "activation_sparsity"
    return jnp.mean(_zeros(where, h, threshold), _axes(where, h, axis), dtype=jnp.float32)


def weight_sparsity(params: Any, *, threshold: float = 0.0) -> Float[Array, ""]:
    r"""Measure the fraction of zeros over all arrays of a pytree.

    Args:
      params: a pytree of arrays; pass a part of it, or a filtered one, to leave biases out.
      threshold: the largest magnitude that counts as zero.

    Returns:
      One fraction, float32.

    Raises:
      TypeError: a leaf is not an array.
      ValueError: ``threshold`` is negative, or there are no entries.

    Example:
      >>> weight_sparsity({"kernel": jnp.array([[0.0, 1.0]]), "bias": jnp.zeros(2)}).item()
      0.75
    """
    where = "weight_sparsity"
    leaves = jax.tree.leaves(params)
    total = sum(_zeros(where, leaf, threshold, "params").size for leaf in leaves)
    require(total > 0, where, "params", params, "at least one entry")
    # Each leaf's share by its size: float32 counts would stop at 2 ** 24.
    fractions = [
        jnp.mean(_zeros(where, leaf, threshold), dtype=jnp.float32) * (leaf.size / total)
        for leaf in leaves
        if leaf.size
    ]
    return jnp.sum(jnp.stack(fractions))


def dead_units(
    h: Shaped[Array, "..."], *, threshold: float = 0.0, axis: int = -1
) -> Bool[Array, " units"]:
    r"""Find the units that are zero for every example.

    .. math:: \text{dead}_u = \bigwedge_n \; [\, |h_{n u}| \le θ \,]

    Args:
      h: activations of any number of examples (and positions), at least one.
      threshold: the largest magnitude that counts as zero.
      axis: the axis of the units; all others are examples.

    Returns:
      True where a unit is dead; ``dead_units(h).mean()`` is their fraction.

    Raises:
      TypeError: ``h`` is not an array.
      ValueError: ``threshold`` is negative, there are no examples, or no such axis.

    Example:
      >>> dead_units(jnp.array([[0.0, 1.0], [0.0, 0.0]])).tolist()
      [True, False]
    """
    where = "dead_units"
    require_array(where, floating=False, h=h)
    require_rank(where, "h", h, 1, "of one axis or more, one of them units")
    (unit,) = normalize_axis(where, h, axis)
    examples = tuple(a for a in range(h.ndim) if a != unit)
    count = math.prod(h.shape[a] for a in examples)
    require(count > 0, where, "h", h, "at least one example; none says nothing of a unit")
    return jnp.all(_zeros(where, h, threshold), examples)


def spike_rate(
    spikes: Shaped[Array, "..."], *, axis: Axis = 0, dt: float = 1.0
) -> Float[Array, "..."]:
    r"""Measure how many spikes are fired per unit of time.

    .. math:: \frac{1}{T \, dt} \sum_t s_t

    Args:
      spikes: 0 and 1 (or counts), floats, integers or booleans.
      axis: the axis of time, and axes to average over; all if ``None``. 0 is time first; for
        ``(batch, time, units)`` it is 1.
      dt: length of a step; with seconds the rate is in hertz.

    Returns:
      Rates over the axes that remain, float32 or wider.

    Raises:
      TypeError: ``spikes`` is not an array.
      ValueError: ``dt`` is not above zero, no entry along ``axis``, or no such axis.

    Example:
      >>> spike_rate(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])).tolist()
      [0.5, 0.25]
    """
    where = "spike_rate"
    require_array(where, floating=False, spikes=spikes)
    require_positive(where, dt=dt)
    axes = _axes(where, spikes, axis)
    return jnp.mean(_widen(spikes), axes) / dt


def _widen(h: jax.Array) -> jax.Array:
    """Cast floats to float32 or wider, everything else to float32."""
    floating = jnp.issubdtype(h.dtype, jnp.floating)
    return h.astype(accumulation_dtype(h.dtype) if floating else jnp.float32)


def _zeros(where: str, h: jax.Array, threshold: float, argument: str = "h") -> jax.Array:
    """Say which entries count as zero."""
    require_array(where, floating=False, **{argument: h})
    require(threshold >= 0, where, "threshold", threshold, "a number of at least zero")
    if h.dtype == bool:
        return ~h
    # Compared in float32: bfloat16 would round the threshold.
    return jnp.abs(_widen(h)) <= threshold


def _axes(where: str, h: jax.Array, axis: Axis) -> tuple[int, ...]:
    """Give the axes averaged over, which must hold an entry."""
    require_array(where, floating=False, h=h)
    axes = normalize_axis(where, h, axis)
    count = math.prod(h.shape[a] for a in axes)
    require(count > 0, where, "axis", axis, f"at least one entry; the shape is {h.shape}")
    return axes
