r"""The leaky integrator: a membrane that never fires, the usual readout of a spiking network.

===  =================================
v    ``state.v``, membrane potential
i    ``drive``
λ    ``decay``
===  =================================

Source: "Surrogate Gradient Learning in Spiking Neural Networks" (2019).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn.layers.spiking._leaky import LeakyState, leaky_init
from jaxnn.layers.spiking._parameters import (
    PerUnit,
    decay_parameter,
    per_unit,
    require_decay,
    require_inputs,
    require_state,
    step_shape,
    wide_dtype,
)
from jaxnn.layers.spiking._run import run


def leaky_integrator_step(
    state: LeakyState, drive: Float[Array, "*batch units"], decay: PerUnit
) -> tuple[LeakyState, Float[Array, "*batch units"]]:
    r"""Step leaky integrators once.

    .. math:: v' = \lambda v + i, \quad y = v'

    Args:
      state: potential after the previous step.
      drive: input i.
      decay: λ, a number or one a unit.

    Returns:
      The next state, in the dtype of ``state``; the potential, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or ``decay`` is out of range.
    """
    where = "leaky_integrator_step"
    require_state(where, drive, "leaky_init", v=state.v)
    require_decay(where, decay=decay)
    wide = wide_dtype(drive, state.v)
    factor = per_unit(where, "decay", decay, drive, wide)
    v = factor * state.v.astype(wide) + drive.astype(wide)
    return LeakyState(v.astype(state.v.dtype)), v.astype(drive.dtype)


def leaky_integrator_sequence(
    drive: Float[Array, "..."],
    decay: PerUnit,
    *,
    state: LeakyState | None = None,
    time_axis: int = -2,
) -> tuple[LeakyState, Float[Array, "..."]]:
    r"""Run leaky integrators over a whole sequence: a convolution with powers of the decay.

    .. math:: v_t = \sum_{k \le t} \lambda^{t - k} i_k

    Args:
      drive: inputs of all steps, ``(*batch, time, units)`` unless ``time_axis`` says otherwise.
      decay: λ, a number or one a unit.
      state: before the first step; zero, in float32 or wider, if ``None``.
      time_axis: where time is.

    Returns:
      The state after the last step, and all potentials in shape and dtype of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or ``decay`` is out of range.

    Example:
      >>> leaky_integrator_sequence(jnp.ones((3, 1)), 0.5)[1][:, 0].tolist()
      [1.0, 1.5, 1.75]
    """
    shape = step_shape("leaky_integrator_sequence", drive, time_axis)
    if state is None:
        state = leaky_init(shape, wide_dtype(drive))
    return run(leaky_integrator_step, state, drive, decay, time_axis=time_axis)


class LeakyIntegratorCell(nn.RNNCellBase):
    """One step of leaky integrators, for ``nn.RNN``; see :func:`leaky_integrator_step`.

    Attributes:
      decay: λ, or where it starts when learned.
      learn_decay: train one decay a unit, the sigmoid of the parameter ``decay_logit``.
      param_dtype: dtype of parameters and state.
    """

    decay: float = 0.9
    learn_decay: bool = False
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: LeakyState, inputs: Float[Array, "*batch units"]
    ) -> tuple[LeakyState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the potential."""
        require_inputs("LeakyIntegratorCell", inputs)
        decay = decay_parameter(self, "decay", self.decay, inputs.shape[-1], learn=self.learn_decay)
        return leaky_integrator_step(carry, inputs, decay)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LeakyState:
        """Make the zero state for drives of ``input_shape``; the key is not used."""
        return leaky_init(input_shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1


class LeakyIntegrator(nn.Module):
    """Leaky integrators over whole sequences; see :func:`leaky_integrator_sequence`.

    Attributes:
      decay: λ, or where it starts when learned.
      learn_decay: train one decay a unit, the sigmoid of the parameter ``decay_logit``.
      time_axis: where time is in the inputs.
      param_dtype: dtype of the parameters.
    """

    decay: float = 0.9
    learn_decay: bool = False
    time_axis: int = -2
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map drives ``(*batch, time, units)`` to potentials of the same shape and dtype."""
        shape = step_shape("LeakyIntegrator", inputs, self.time_axis)
        decay = decay_parameter(self, "decay", self.decay, shape[-1], learn=self.learn_decay)
        return leaky_integrator_sequence(inputs, decay, time_axis=self.time_axis)[1]
