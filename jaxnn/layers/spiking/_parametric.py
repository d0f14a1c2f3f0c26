r"""The parametric leaky neuron: a layer learns its membrane's time constant.

===  ==========================================================
v    ``state.v``, membrane potential after the previous reset
i    ``drive``
w    ``rate_logit``; 1/τ = σ(w)
θ    ``threshold``
===  ==========================================================

Source: "Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural
Networks" (2021), equations 6 to 9.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require
from jaxnn.layers.spiking._leaky import LeakyState, leaky_init, leaky_step
from jaxnn.layers.spiking._parameters import (
    PerUnit,
    per_unit,
    require_inputs,
    require_state,
    wide_dtype,
)
from jaxnn.layers.spiking._reset import Reset, reset_to_zero
from jaxnn.layers.spiking._surrogate import SpikeFunction, arctan


def parametric_leaky_step(
    state: LeakyState,
    drive: Float[Array, "*batch units"],
    rate_logit: Float[Array, " units"] | Float[Array, ""],
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = arctan,
    reset: Reset = reset_to_zero,
) -> tuple[LeakyState, Float[Array, "*batch units"]]:
    r"""Step leaky neurons whose rate 1/τ weighs input against memory.

    .. math:: u = v + \sigma(w)(i - v), \quad s = [u > \theta], \quad v' = u (1 - s)

    It is :func:`leaky_step` with decay 1 - σ(w) on σ(w) i: the drive is averaged, not summed, so
    that learning w leaves its scale alone.

    Args:
      state: membrane potential after the previous step.
      drive: input i.
      rate_logit: w, one for the layer or one a unit.
      threshold: θ, a number or one a unit; must be exceeded, equality does not fire.
      surrogate: spike function of u - θ.
      reset: what a spike does to u; the formula shows the default.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or a parameter is out of range.
    """
    where = "parametric_leaky_step"
    require_state(where, drive, "leaky_init", v=state.v)
    wide = wide_dtype(drive, state.v)
    rate = jax.nn.sigmoid(per_unit(where, "rate_logit", rate_logit, drive, wide))
    current = rate * drive.astype(wide)
    decay = jnp.broadcast_to((1 - rate).ravel(), drive.shape[-1:])
    state, spikes = leaky_step(
        state, current, decay, threshold=threshold, surrogate=surrogate, reset=reset
    )
    return state, spikes.astype(drive.dtype)


class ParametricLeakyCell(nn.RNNCellBase):
    """One step of parametric leaky units, for ``nn.RNN``; see :func:`parametric_leaky_step`.

    Its one parameter, ``rate_logit``, is shared by all units, as in the paper.

    Attributes:
      time_constant: τ in steps where it starts, above 1.
      threshold: θ.
      surrogate: spike function of the distance from the threshold.
      reset: what a spike does to the potential.
      param_dtype: dtype of parameter and state.
    """

    time_constant: float = 2.0
    threshold: float = 1.0
    surrogate: SpikeFunction = arctan
    reset: Reset = reset_to_zero
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: LeakyState, inputs: Float[Array, "*batch units"]
    ) -> tuple[LeakyState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("ParametricLeakyCell", inputs)
        tau = self.time_constant
        ok = math.isfinite(tau) and tau > 1
        require(ok, "ParametricLeakyCell", "time_constant", tau, "a finite number above one step")
        start = nn.initializers.constant(-math.log(tau - 1))
        logit = self.param("rate_logit", start, (), self.param_dtype)
        return parametric_leaky_step(
            carry,
            inputs,
            logit,
            threshold=self.threshold,
            surrogate=self.surrogate,
            reset=self.reset,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LeakyState:
        """Make the resting state for drives of ``input_shape``; the key is not used."""
        return leaky_init(input_shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1
