r"""The adaptive leaky neuron: every spike raises its own threshold for a while.

The slow threshold gives a spiking network a memory far longer than its membranes', which is
what lets recurrent spiking networks compete with gated ones.

===  ===================================================================
v    ``state.v``, membrane potential after the previous reset
a    ``state.adaptation``, decaying count of the unit's own spikes
i    ``drive``
λ    ``decay``, factor the potential keeps
ρ    ``adaptation_decay``, factor the adaptation keeps, closer to 1
β    ``adaptation_strength``, threshold gained for each unit of a
θ    ``threshold``, at rest
===  ===================================================================

Source: "A Solution to the Learning Dilemma for Recurrent Networks of Spiking Neurons" (2020),
equations 7 to 9, whose reset subtracts the threshold at rest. ("Long Short-Term Memory and
Learning-to-Learn in Networks of Spiking Neurons" (2018) subtracts the raised one.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxnn.layers.spiking._parameters import (
    PerUnit,
    decay_parameter,
    per_unit,
    require_decay,
    require_inputs,
    require_state,
    require_threshold,
    threshold_parameter,
    wide_dtype,
)
from jaxnn.layers.spiking._reset import Reset, reset_by_subtraction
from jaxnn.layers.spiking._surrogate import SpikeFunction, fast_sigmoid


class AdaptiveState(NamedTuple):
    """State of neurons with an adaptive threshold.

    Attributes:
      v: membrane potential after the last step and its reset, ``(*batch, units)``.
      adaptation: decaying count of the unit's spikes, ``(*batch, units)``.
    """

    v: jax.Array
    adaptation: jax.Array


def adaptive_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> AdaptiveState:
    """Make the resting state, no potential and no adaptation.

    Args:
      shape: ``(*batch, units)``, the shape of one step's drive.
      dtype: what the state is kept in.

    Returns:
      The state before the first step.
    """
    return AdaptiveState(v=jnp.zeros(shape, dtype), adaptation=jnp.zeros(shape, dtype))


def adaptive_step(
    state: AdaptiveState,
    drive: Float[Array, "*batch units"],
    decay: PerUnit,
    adaptation_decay: PerUnit,
    adaptation_strength: PerUnit,
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
    reset: Reset = reset_by_subtraction,
) -> tuple[AdaptiveState, Float[Array, "*batch units"]]:
    r"""Step a leaky population with adaptive thresholds once.

    .. math::
        u = \lambda v + i, \quad s = [u > \theta + \beta a], \quad v' = u - \theta s, \quad
        a' = \rho a + s

    Args:
      state: potential and adaptation after the previous step.
      drive: input i.
      decay: λ, a number or one a unit.
      adaptation_decay: ρ, a number or one a unit.
      adaptation_strength: β, a number or one a unit; at 0 this is :func:`leaky_step`.
      threshold: θ, a number or one a unit.
      surrogate: spike function of u - θ - β a.
      reset: what a spike does to u; it is given θ, the threshold at rest.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or a parameter is out of range.
    """
    where = "adaptive_step"
    require_state(where, drive, "adaptive_init", v=state.v, adaptation=state.adaptation)
    require_decay(where, decay=decay, adaptation_decay=adaptation_decay)
    require_threshold(where, threshold)
    wide = wide_dtype(drive, state.v, state.adaptation)
    factor = per_unit(where, "decay", decay, drive, wide)
    rho = per_unit(where, "adaptation_decay", adaptation_decay, drive, wide)
    beta = per_unit(where, "adaptation_strength", adaptation_strength, drive, wide)
    theta = per_unit(where, "threshold", threshold, drive, wide)
    adaptation = state.adaptation.astype(wide)
    u = factor * state.v.astype(wide) + drive.astype(wide)
    spikes = surrogate(u - theta - beta * adaptation)
    v = reset(u, spikes, theta)
    adaptation = rho * adaptation + spikes
    return (
        AdaptiveState(v.astype(state.v.dtype), adaptation.astype(state.adaptation.dtype)),
        spikes.astype(drive.dtype),
    )


class AdaptiveCell(nn.RNNCellBase):
    """One step of units with adaptive thresholds, for ``nn.RNN``; see :func:`adaptive_step`.

    Attributes:
      decay: λ, or where it starts when learned.
      adaptation_decay: ρ, or where it starts when learned.
      adaptation_strength: β, fixed.
      threshold: θ, or where it starts when learned.
      learn_decay: train both decays, the sigmoids of ``decay_logit`` and
        ``adaptation_decay_logit``, one a unit each.
      learn_threshold: train one threshold a unit, the softplus of ``threshold_raw``.
      surrogate: spike function of the distance from the raised threshold.
      reset: what a spike does to the potential.
      param_dtype: dtype of parameters and state.
    """

    decay: float = 0.9
    adaptation_decay: float = 0.98
    adaptation_strength: float = 0.1
    threshold: float = 1.0
    learn_decay: bool = False
    learn_threshold: bool = False
    surrogate: SpikeFunction = fast_sigmoid
    reset: Reset = reset_by_subtraction
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: AdaptiveState, inputs: Float[Array, "*batch units"]
    ) -> tuple[AdaptiveState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("AdaptiveCell", inputs)
        units, learn = inputs.shape[-1], self.learn_decay
        return adaptive_step(
            carry,
            inputs,
            decay_parameter(self, "decay", self.decay, units, learn=learn),
            decay_parameter(self, "adaptation_decay", self.adaptation_decay, units, learn=learn),
            self.adaptation_strength,
            threshold=threshold_parameter(
                self, "threshold", self.threshold, units, learn=self.learn_threshold
            ),
            surrogate=self.surrogate,
            reset=self.reset,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> AdaptiveState:
        """Make the resting state for drives of ``input_shape``; the key is not used."""
        return adaptive_init(input_shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1
