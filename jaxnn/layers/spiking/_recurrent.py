r"""Recurrent spiking cells: the population's own spikes come back through a kernel.

.. math:: i_t = x_t + s_{t-1} W

===  =========================================
x    ``inputs``, ``(*batch, units)``
s    ``carry.spikes`` of the previous step
W    ``feedback/kernel``, ``(units, units)``
===  =========================================

Source: "A Solution to the Learning Dilemma for Recurrent Networks of Spiking Neurons" (2020).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn.layers.feedforward import Dense
from jaxnn.layers.spiking._leaky import LeakyCell
from jaxnn.layers.spiking._parameters import require_inputs


class RecurrentState(NamedTuple):
    """State of a recurrent spiking cell.

    Attributes:
      inner: the neuron's own state.
      spikes: emitted in the previous step, ``(*batch, units)``.
    """

    inner: Any
    spikes: jax.Array


class RecurrentCell(nn.RNNCellBase):
    """Any spiking cell with its own spikes fed back through a dense layer.

    Attributes:
      cell: the neuron, a spiking ``nn.RNNCellBase`` whose units are those of its inputs.
      dense: factory of the feedback, called as ``dense(units, use_bias=False, name=...)``.
      param_dtype: dtype of the feedback's parameters and of the carried spikes.
    """

    cell: nn.RNNCellBase = LeakyCell()
    dense: Callable[..., nn.Module] = Dense
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: RecurrentState, inputs: Float[Array, "*batch units"]
    ) -> tuple[RecurrentState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("RecurrentCell", inputs)
        feedback = self.dense(
            inputs.shape[-1],
            use_bias=False,
            dtype=inputs.dtype,
            param_dtype=self.param_dtype,
            name="feedback",
        )
        drive = inputs + feedback(carry.spikes.astype(inputs.dtype))
        inner, spikes = self.cell(carry.inner, drive)
        return RecurrentState(inner, spikes.astype(carry.spikes.dtype)), spikes

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> RecurrentState:
        """Make the resting state for drives of ``input_shape``."""
        inner = self.cell.initialize_carry(rng, input_shape)
        return RecurrentState(inner, jnp.zeros(input_shape, self.param_dtype))

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1
