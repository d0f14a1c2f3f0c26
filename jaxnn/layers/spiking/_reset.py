r"""What a spike does to the membrane potential: the ``reset`` slot of every spiking neuron.

===  ==========================================
u    potential before the spike is taken off
s    spikes, 0 or 1
θ    threshold
===  ==========================================

To keep gradients from flowing through the reset, pass
``lambda u, s, theta: reset_by_subtraction(u, jax.lax.stop_gradient(s), theta)``.
"""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array

# What a neuron's ``reset`` slot takes: potential, spikes and threshold in, potential out.
Reset = Callable[[jax.Array, jax.Array, jax.Array | float], jax.Array]


def reset_by_subtraction(
    potential: Float[Array, "*shape"],
    spikes: Float[Array, "*shape"],
    threshold: Float[Array, "..."] | float,
) -> Float[Array, "*shape"]:
    r"""Take one threshold off where the unit fired; what exceeded it is kept.

    .. math:: v' = u - \theta s

    Args:
      potential: u.
      spikes: s, in the shape of ``potential``.
      threshold: θ, a number or an array that broadcasts against ``potential``.

    Returns:
      The potential v' after the reset.

    Raises:
      TypeError: ``potential`` or ``spikes`` is not an array of floating-point numbers.
      ValueError: their shapes differ.

    Example:
      >>> reset_by_subtraction(jnp.array([0.5, 1.25]), jnp.array([0.0, 1.0]), 1.0).tolist()
      [0.5, 0.25]
    """
    _require_same("reset_by_subtraction", potential, spikes)
    return potential - threshold * spikes


def reset_to_zero(
    potential: Float[Array, "*shape"],
    spikes: Float[Array, "*shape"],
    threshold: Float[Array, "..."] | float,
) -> Float[Array, "*shape"]:
    r"""Set the potential to zero where the unit fired.

    .. math:: v' = u (1 - s)

    Args:
      potential: u.
      spikes: s, in the shape of ``potential``.
      threshold: not used.

    Returns:
      The potential v' after the reset.

    Raises:
      TypeError: ``potential`` or ``spikes`` is not an array of floating-point numbers.
      ValueError: their shapes differ.
    """
    _require_same("reset_to_zero", potential, spikes)
    return potential * (1 - spikes)


def no_reset(
    potential: Float[Array, "*shape"],
    spikes: Float[Array, "*shape"],
    threshold: Float[Array, "..."] | float,
) -> Float[Array, "*shape"]:
    """Leave the potential as it is; the unit fires for as long as it stays above threshold.

    Args:
      potential: u.
      spikes: s, in the shape of ``potential``.
      threshold: not used.

    Returns:
      ``potential``.

    Raises:
      TypeError: ``potential`` or ``spikes`` is not an array of floating-point numbers.
      ValueError: their shapes differ.
    """
    _require_same("no_reset", potential, spikes)
    return potential


def _require_same(where: str, potential: jax.Array, spikes: jax.Array) -> None:
    require_array(where, potential=potential, spikes=spikes)
    require(
        spikes.shape == potential.shape,
        where,
        "spikes",
        spikes,
        f"shape {potential.shape}, that of `potential`",
    )
