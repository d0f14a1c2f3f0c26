r"""Linear recurrent units: diagonal complex recurrences between two matrix products.

.. math:: h_t = \lambda \odot h_{t-1} + B x_t, \quad y_t = \Re(C h_t) + d \odot x_t

The products are made for all time steps at once, each as one real matrix product: complex
kernels are kept as real arrays, real parts first.

===========  ====================================================================
x            input, ``(*batch, time, inputs)``
λ            ``decay``, ``(N,)``, complex or real
B            ``input_kernel``, ``(inputs, 2 N)``: the real parts, then the imaginary
             ones; ``(inputs, N)`` for a real λ
C            ``output_kernel``, ``(2 N, features)``, likewise; ``(N, features)``
d            ``skip``, ``(features,)``
===========  ====================================================================

Source: "Resurrecting Recurrent Neural Networks for Long Sequences" (2023).
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float, Inexact

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.recurrent._linear import Method, linear_recurrence


def diagonal_state_space(
    x: Float[Array, "*batch time inputs"],
    decay: Inexact[Array, " states"],
    input_kernel: Float[Array, "inputs parts"],
    output_kernel: Float[Array, "parts features"],
    skip: Float[Array, " features"] | None = None,
    state: Inexact[Array, "*batch states"] | None = None,
    *,
    method: Method | None = None,
) -> tuple[Float[Array, "*batch time features"], Inexact[Array, "*batch states"]]:
    r"""Run h_t = λ h_{t-1} + B x_t over time and read y_t = Re(C h_t) + d x_t.

    Args:
      x: any number of time steps, down to one.
      decay: λ.
      input_kernel: B.
      output_kernel: C; Re(C h) is (Re h) Re(C) - (Im h) Im(C).
      skip: d; needs as many inputs as features.
      state: h before; zeros if ``None``.
      method: as in :func:`linear_recurrence`.

    Returns:
      y in the dtype of ``x``, and h after the last step in complex64, float32 or wider, from
      which the next stretch of time goes on.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    where = "diagonal_state_space"
    require_array(where, x=x, input_kernel=input_kernel, output_kernel=output_kernel)
    require_array(where, floating=False, decay=decay)
    require_rank(where, "x", x, 2, "(*batch, time, inputs)")
    require(decay.ndim == 1, where, "decay", decay, "one axis, the states")
    turns = jnp.issubdtype(decay.dtype, jnp.complexfloating)
    states, parts = decay.shape[0], decay.shape[0] * (2 if turns else 1)
    needs = f"shape {(x.shape[-1], parts)}"
    require(input_kernel.shape == (x.shape[-1], parts), where, "input_kernel", input_kernel, needs)
    require(
        output_kernel.ndim == 2 and output_kernel.shape[0] == parts,
        where,
        "output_kernel",
        output_kernel,
        f"shape {(parts, 'features')}",
    )
    wide = accumulation_dtype(x.dtype)
    drive = _product(x, input_kernel, wide)
    if turns:
        drive = jax.lax.complex(drive[..., :states], drive[..., states:])
    if state is not None:
        require_array(where, floating=False, state=state)
        state = state.astype(drive.dtype)
    h = linear_recurrence(decay.astype(drive.dtype), drive, state, method=method)
    seen = jnp.concatenate([h.real, -h.imag], axis=-1) if turns else h
    y = _product(seen.astype(x.dtype), output_kernel, wide)
    if skip is not None:
        require_array(where, skip=skip)
        needs = f"shape {y.shape[-1:]}, and as many inputs as features"
        require(skip.shape == y.shape[-1:] == x.shape[-1:], where, "skip", skip, needs)
        y = y + jnp.broadcast_to(skip.astype(wide), y.shape) * x.astype(wide)
    return y.astype(x.dtype), h[..., -1, :]


def _product(x: jax.Array, kernel: jax.Array, wide: Dtype) -> jax.Array:
    rows = x.reshape(-1, x.shape[-1])
    y = jnp.dot(rows, kernel.astype(x.dtype), preferred_element_type=wide)
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


class LRU(nn.Module):
    r"""A linear recurrent unit with its parameters; see :func:`diagonal_state_space`.

    .. math:: \lambda = e^{-e^{\nu} + i e^{\theta}}, \quad
        B = \sqrt{1 - |\lambda|^2} \odot e^{\gamma} \odot B'

    The states decay for any ν, so the recurrence is stable however it is trained. The factor
    before B gives each state the variance of its drive under white input at the start.

    Attributes:
      features: size of the output's last axis.
      states: N, complex.
      radius: least and largest \|λ\| at the start, spread evenly over the area of the ring.
      max_phase: largest angle of λ at the start; small ones favour slow oscillations.
      use_skip: whether to add d x, which needs as many inputs as features.
      method: as in :func:`linear_recurrence`.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of B' and C, over their real and imaginary parts together.
    """

    features: int
    states: int = 64
    radius: tuple[float, float] = (0.9, 0.999)
    max_phase: float = 2 * math.pi
    use_skip: bool = True
    method: Method | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time inputs"],
        state: Inexact[Array, "*batch states"] | None = None,
    ) -> tuple[Float[Array, "*batch time features"], Inexact[Array, "*batch states"]]:
        """Map a stretch of time from a state on; give the output and the state after it."""
        require_array("LRU", x=x)
        require_count("LRU", features=self.features, states=self.states)
        low, high = self.radius
        require(0 <= low < high < 1, "LRU", "radius", self.radius, "0 <= least < largest < 1")

        def ring(key, shape, dtype):
            # |λ|² evenly spread: as many states in equal areas.
            square = jax.random.uniform(key, shape, dtype) * (high**2 - low**2) + low**2
            return jnp.log(-0.5 * jnp.log(square))

        def angles(key, shape, dtype):
            return jnp.log(self.max_phase * jax.random.uniform(key, shape, dtype, minval=1e-4))

        n, kept = self.states, self.param_dtype
        nu = self.param("nu", ring, (n,), kept)
        theta = self.param("theta", angles, (n,), kept)
        gamma = self.param("gamma", nn.initializers.zeros, (n,), kept)
        input_kernel = self.param("input_kernel", self.kernel_init, (x.shape[-1], 2 * n), kept)
        output_kernel = self.param("output_kernel", self.kernel_init, (2 * n, self.features), kept)
        skip = None
        if self.use_skip:
            skip = self.param("skip", nn.initializers.normal(1.0), (self.features,), kept)
        wide = accumulation_dtype(nu.dtype)
        rate = jnp.exp(nu.astype(wide))
        decay = jax.lax.complex(-rate, jnp.exp(theta.astype(wide)))
        # 1 - |λ|² without cancellation for slow states.
        scale = jnp.sqrt(-jnp.expm1(-2 * rate)) * jnp.exp(gamma.astype(wide))
        input_kernel = input_kernel * jnp.tile(scale, 2)[None].astype(input_kernel.dtype)
        x, input_kernel, output_kernel, skip = promote_dtype(
            x, input_kernel, output_kernel, skip, dtype=self.dtype
        )
        return diagonal_state_space(
            x, jnp.exp(decay), input_kernel, output_kernel, skip, state, method=self.method
        )
