r"""Selective state spaces, whose step size, input and output maps follow the input.

.. math:: h_t = e^{\Delta_t A} \odot h_{t-1} + \Delta_t x_t B_t, \quad
    y_t = h_t C_t + d \odot x_t

Every channel has a state of its own, of N numbers. A large Δ lets a channel forget and take its
input up, one near zero passes the input over: a gate made by discretising.

===========  ================================================================
x            ``x``, ``(*batch, time, channels)``
Δ            ``step``, above zero, one number a channel
A            ``rate``, ``(channels, N)``, below zero
B, C         ``input_map``, ``output_map``, ``(*batch, time, N)``, for all channels
d            ``skip``, ``(channels,)``
h            the state, ``(*batch, channels, N)``
===========  ================================================================

Source: "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.recurrent._dynamical import run_system, selective_system
from jaxnn.layers.recurrent._linear import Method


class SelectiveState(NamedTuple):
    """What a :class:`SelectiveSSM` goes on from.

    Attributes:
      hidden: h, in float32 or wider.
      recent: the last inputs of the short convolution, oldest first.
    """

    hidden: Float[Array, "*batch channels states"]
    recent: Float[Array, "*batch past channels"]


def selective_state_space(
    x: Float[Array, "*batch time channels"],
    step: Float[Array, "*batch time channels"],
    rate: Float[Array, "channels states"],
    input_map: Float[Array, "*batch time states"],
    output_map: Float[Array, "*batch time states"],
    skip: Float[Array, " channels"] | None = None,
    state: Float[Array, "*batch channels states"] | None = None,
    *,
    method: Method | None = None,
) -> tuple[Float[Array, "*batch time channels"], Float[Array, "*batch channels states"]]:
    r"""Run a selective state space over time.

    The states of all time steps are kept, channels times N numbers a step.

    Args:
      x: any number of time steps, down to one.
      step: Δ.
      rate: A.
      input_map: B.
      output_map: C.
      skip: d; none if ``None``.
      state: h before; zeros if ``None``.
      method: as in :func:`linear_recurrence`.

    Returns:
      y in the dtype of ``x``, and h after the last step in float32 or wider, from which the next
      stretch of time goes on.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> one, half = jnp.ones((3, 1)), jnp.log(jnp.full((1, 1), 0.5))
      >>> selective_state_space(one, one, half, one, one)[0].tolist()
      [[1.0], [1.5], [1.75]]
    """
    where = "selective_state_space"
    require_array(where, x=x, step=step, rate=rate, input_map=input_map, output_map=output_map)
    require_rank(where, "x", x, 2, "(*batch, time, channels)")
    require(step.shape == x.shape, where, "step", step, f"shape {x.shape}, as `x`")
    needs = f"shape {(x.shape[-1], 'states')}"
    require(rate.ndim == 2 and rate.shape[0] == x.shape[-1], where, "rate", rate, needs)
    for name, rows in (("input_map", input_map), ("output_map", output_map)):
        shape = (*x.shape[:-1], rate.shape[1])
        require(rows.shape == shape, where, name, rows, f"shape {shape}")
    system = selective_system(step, rate, input_map, output_map)
    return run_system(where, x, system, skip, state, method)


class SelectiveSSM(nn.Module):
    r"""A Mamba layer: a selective state space between projections, with a convolution and a gate.

    .. math:: u = \mathrm{SiLU}(\mathrm{conv}(W_x x)), \quad
        \Delta = \mathrm{softplus}(W_\Delta W_r u + b_\Delta), \quad
        y = W_o \big(\mathrm{ssm}(u, \Delta, W_B u, W_C u) \odot \mathrm{SiLU}(W_g x)\big)

    The convolution is causal, over the last ``window`` inputs of each channel by itself. The
    bias of Δ starts so that Δ is spread over ``steps`` evenly in its logarithm, and A at -1 ... -N
    in every channel.

    Attributes:
      features: size of the output's last axis.
      states: N.
      channels: how many; twice the features if ``None``.
      rank: of the map to Δ; a sixteenth of the features, rounded up, if ``None``.
      window: length of the convolution.
      steps: least and largest Δ at the start.
      method: as in :func:`linear_recurrence`.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of the kernels.
    """

    features: int
    states: int = 16
    channels: int | None = None
    rank: int | None = None
    window: int = 4
    steps: tuple[float, float] = (1e-3, 1e-1)
    method: Method | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch time inputs"], state: SelectiveState | None = None
    ) -> tuple[Float[Array, "*batch time features"], SelectiveState]:
        """Map a stretch of time from a state on; give the output and the state after it."""
        where = "SelectiveSSM"
        channels = 2 * self.features if self.channels is None else self.channels
        rank = math.ceil(self.features / 16) if self.rank is None else self.rank
        sizes = {"features": self.features, "states": self.states, "window": self.window}
        require_array(where, x=x)
        require_count(where, **sizes, channels=channels, rank=rank)
        require_rank(where, "x", x, 2, "(*batch, time, inputs)")
        low, high = self.steps
        require(0 < low < high, where, "steps", self.steps, "0 < least < largest")

        def dense(features, name):
            return nn.Dense(
                features,
                use_bias=False,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                kernel_init=self.kernel_init,
                name=name,
            )

        def rates(_, shape, dtype):
            return jnp.log(jnp.broadcast_to(jnp.arange(1, shape[1] + 1), shape).astype(dtype))

        def biases(key, shape, dtype):
            spread = jax.random.uniform(key, shape, dtype)
            delta = low * (high / low) ** spread
            return delta + jnp.log(-jnp.expm1(-delta))  # the inverse of softplus

        kept, n = self.param_dtype, self.states
        log_rate = self.param("log_rate", rates, (channels, n), kept)
        step_bias = self.param("step_bias", biases, (channels,), kept)
        skip = self.param("skip", nn.initializers.ones, (channels,), kept)
        conv_kernel = self.param("conv_kernel", self.kernel_init, (self.window, channels), kept)
        conv_bias = self.param("conv_bias", nn.initializers.zeros, (channels,), kept)

        u, gate = jnp.split(dense(2 * channels, "inputs")(x), 2, axis=-1)
        kernel, bias, skip = promote_dtype(conv_kernel, conv_bias, skip, dtype=u.dtype)
        past = (*u.shape[:-2], self.window - 1, channels)
        recent = jnp.zeros(past, u.dtype)
        if state is not None:
            recent = state.recent
            require(recent.shape == past, where, "state.recent", recent, f"shape {past}")
            recent = recent.astype(u.dtype)
        seen = jnp.concatenate([recent, u], axis=-2)
        u = jnp.broadcast_to(bias, u.shape)
        for k in range(self.window):
            u = u + seen[..., k : k + u.shape[-2], :] * jnp.broadcast_to(kernel[k], u.shape)
        u = nn.silu(u)
        maps = dense(rank + 2 * n, "maps")(u)
        low_rank, input_map, output_map = jnp.split(maps, (rank, rank + n), axis=-1)
        step = dense(channels, "step")(low_rank)
        wide = accumulation_dtype(step.dtype)
        # Steps of thousandths added up over time: bfloat16 would round them to three digits.
        step = step.astype(wide) + jnp.broadcast_to(step_bias.astype(wide), step.shape)
        y, hidden = selective_state_space(
            u,
            nn.softplus(step),
            -jnp.exp(log_rate.astype(wide)),
            input_map,
            output_map,
            skip,
            None if state is None else state.hidden,
            method=self.method,
        )
        after = SelectiveState(hidden, seen[..., seen.shape[-2] - (self.window - 1) :, :])
        return dense(self.features, "outputs")(y * nn.silu(gate)), after
