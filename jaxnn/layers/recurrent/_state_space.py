r"""Linear state-space layers: one continuous system, run as a recurrence or as a convolution.

.. math:: \dot h = A h + B u, \quad y = C h + D u
    \quad\longrightarrow\quad h_t = \bar A h_{t-1} + \bar B u_t, \quad y_t = C h_t + D u_t

The recurrence goes step by step from a state; the convolution, with the kernel K, maps a whole
sequence by fast Fourier transforms. They give the same outputs.

.. math:: K = (C \bar B, C \bar A \bar B, C \bar A^2 \bar B, \dots)

===========  ================================================================
u            ``x``, ``(*batch, time, channels)``; every channel by itself
A, Ā         ``transition``, ``(*channels, N, N)``, continuous and discrete
B, B̄         ``input_map``, ``(*channels, N)``
C            ``output_map``, ``(*channels, N)``
D            ``skip``, ``(channels,)``
===========  ================================================================

Sources: "Combining Recurrent, Convolutional, and Continuous-time Models with Linear State-Space
Layers" (2021); the transition of ``hippo_legs`` is from "HiPPO: Recurrent Memory with Optimal
Polynomial Projections" (2020).
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype

Discretization = Literal["bilinear", "zoh"]


def hippo_legs(states: int) -> tuple[Float[Array, "states states"], Float[Array, " states"]]:
    r"""Give the system that keeps its input's past as Legendre coefficients, scaled by time.

    .. math:: A_{nk} = -\begin{cases} \sqrt{(2n+1)(2k+1)} & n > k \\ n + 1 & n = k \\
        0 & n < k \end{cases}, \quad B_n = \sqrt{2n+1}

    Args:
      states: N, the number of coefficients.

    Returns:
      A and B, in float32. The eigenvalues of A are -1 ... -N.

    Raises:
      ValueError: ``states`` is not a whole number above zero.

    Example:
      >>> hippo_legs(2)[0].round(2).tolist()
      [[-1.0, 0.0], [-1.7300000190734863, -2.0]]
    """
    require_count("hippo_legs", states=states)
    n = jnp.arange(states, dtype=jnp.float32)
    roots = jnp.sqrt(2 * n + 1)
    return -jnp.tril(jnp.outer(roots, roots), -1) - jnp.diag(n + 1), roots


def discretize(
    transition: Float[Array, "*channels states states"],
    input_map: Float[Array, "*channels states"],
    step: Float[Array, "*channels"],
    *,
    method: Discretization = "bilinear",
) -> tuple[Float[Array, "*channels states states"], Float[Array, "*channels states"]]:
    r"""Turn a continuous system into one that goes a time ``step`` at once.

    .. math:: \bar A = (1 - \tfrac{\Delta}{2} A)^{-1} (1 + \tfrac{\Delta}{2} A), \quad
        \bar B = (1 - \tfrac{\Delta}{2} A)^{-1} \Delta B

    is ``"bilinear"``; ``"zoh"`` solves the system exactly for an input that holds during a step.

    Args:
      transition: A.
      input_map: B.
      step: Δ, above zero, one for each system.
      method: which of the two.

    Returns:
      Ā and B̄, in the dtype of ``transition``; computed in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, or the method is unknown.

    Example:
      >>> a, b = discretize(-jnp.ones((1, 1)), jnp.ones(1), jnp.array(2.0))
      >>> a.tolist(), b.tolist()
      ([[0.0]], [1.0])
    """
    where = "discretize"
    require_array(where, transition=transition, input_map=input_map, step=step)
    require_rank(where, "transition", transition, 2, "(*channels, states, states)")
    *channels, n, other = transition.shape
    require(n == other, where, "transition", transition, "shape (*channels, states, states)")
    needs = f"shape {(*channels, n)}"
    require(input_map.shape == (*channels, n), where, "input_map", input_map, needs)
    require(step.shape == tuple(channels), where, "step", step, f"shape {tuple(channels)}")
    names = get_args(Discretization)
    require(method in names, where, "method", method, f"one of {names}")
    wide = accumulation_dtype(transition.dtype)
    delta = step.astype(wide)[..., None, None]
    a = jnp.broadcast_to(delta, transition.shape) * transition.astype(wide)
    b = jnp.broadcast_to(delta[..., 0], input_map.shape) * input_map.astype(wide)
    if method == "bilinear":
        one = jnp.broadcast_to(jnp.eye(n, dtype=wide), a.shape)
        both = jnp.concatenate([one + a / 2, b[..., None]], axis=-1)
        both = jnp.linalg.solve(one - a / 2, both)
    else:
        # exp [[A, B], [0, 0]] = [[Ā, B̄], [0, 1]], which needs no inverse of A.
        top = jnp.concatenate([a, b[..., None]], axis=-1)
        whole = jnp.concatenate([top, jnp.zeros_like(top[..., :1, :])], axis=-2)
        both = jax.scipy.linalg.expm(whole)[..., :n, :]
    return both[..., :n].astype(transition.dtype), both[..., n].astype(transition.dtype)


def state_space_kernel(
    transition: Float[Array, "*channels states states"],
    input_map: Float[Array, "*channels states"],
    output_map: Float[Array, "*channels states"],
    *,
    time: int,
) -> Float[Array, "*channels {time}"]:
    r"""Give the kernel K of a discrete system: its answer to a single one at the first step.

    The columns Ā^t B̄ double in number with each product, by a power that squares.

    Args:
      transition: Ā.
      input_map: B̄.
      output_map: C.
      time: how many entries.

    Returns:
      K, in the dtype of ``transition``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> state_space_kernel(jnp.full((1, 1), 0.5), jnp.ones(1), jnp.ones(1), time=3).tolist()
      [1.0, 0.5, 0.25]
    """
    where = "state_space_kernel"
    require_count(where, time=time)
    _require_system(where, transition, input_map, output_map)
    wide = accumulation_dtype(transition.dtype)
    columns = _columns(transition.astype(wide), input_map.astype(wide), time)
    kernel = jnp.einsum("...n,...nt->...t", output_map.astype(wide), columns)
    return kernel.astype(transition.dtype)


def _columns(transition, input_map, time):
    """Give all Ā^t B̄, ``(*channels, states, time)``."""
    power, columns = transition, input_map[..., None]
    while columns.shape[-1] < time:
        columns = jnp.concatenate([columns, power @ columns], axis=-1)
        power = power @ power
    return columns[..., :time]


def state_space_scan(
    x: Float[Array, "*batch time channels"],
    transition: Float[Array, "channels states states"],
    input_map: Float[Array, "channels states"],
    output_map: Float[Array, "channels states"],
    skip: Float[Array, " channels"] | None = None,
    state: Float[Array, "*batch channels states"] | None = None,
) -> tuple[Float[Array, "*batch time channels"], Float[Array, "*batch channels states"]]:
    r"""Run discrete systems step by step, one for each channel.

    Args:
      x: u, any number of time steps, down to one.
      transition: Ā.
      input_map: B̄.
      output_map: C.
      skip: D; none if ``None``.
      state: h before; zeros if ``None``.

    Returns:
      y in the dtype of ``x``, and h after the last step in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> one = jnp.ones((1, 1))
      >>> state_space_scan(jnp.ones((3, 1)), one[None] / 2, one, one)[0].tolist()
      [[1.0], [1.5], [1.75]]
    """
    where = "state_space_scan"
    _require_input(where, x, transition, input_map, output_map)
    wide = accumulation_dtype(x.dtype)
    a, b, c = (each.astype(wide) for each in (transition, input_map, output_map))
    xs = x.astype(wide)
    shape = (*x.shape[:-2], *input_map.shape)
    if state is None:
        state = jnp.zeros(shape, wide)
    require_array(where, state=state)
    require(state.shape == shape, where, "state", state, f"shape {shape}")
    drive = xs[..., None] * jnp.broadcast_to(b, (*x.shape, b.shape[-1]))

    def advance(h, now):
        h = jnp.einsum("cnm,...cm->...cn", a, h) + now
        return h, jnp.einsum("...cn,cn->...c", h, c)

    last, y = jax.lax.scan(advance, state.astype(wide), jnp.moveaxis(drive, -3, 0))
    return (jnp.moveaxis(y, 0, -2) + _skipped(where, xs, skip)).astype(x.dtype), last


def state_space_convolution(
    x: Float[Array, "*batch time channels"],
    transition: Float[Array, "channels states states"],
    input_map: Float[Array, "channels states"],
    output_map: Float[Array, "channels states"],
    skip: Float[Array, " channels"] | None = None,
) -> Float[Array, "*batch time channels"]:
    r"""Map a whole sequence by discrete systems at once, as a causal convolution with K.

    Args:
      x: u.
      transition: Ā.
      input_map: B̄.
      output_map: C.
      skip: D; none if ``None``.

    Returns:
      y in the dtype of ``x``: the outputs of :func:`state_space_scan` from a state of zeros.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> one = jnp.ones((1, 1))
      >>> y = state_space_convolution(jnp.ones((3, 1)), one[None] / 2, one, one)
      >>> y.round(3).tolist()
      [[1.0], [1.5], [1.75]]
    """
    _require_input("state_space_convolution", x, transition, input_map, output_map)
    return _convolve(x, transition, input_map, output_map, skip)[0]


def _convolve(x, transition, input_map, output_map, skip):
    """Give the outputs and the last state."""
    wide = accumulation_dtype(x.dtype)
    time = x.shape[-2]
    a, b, c = (each.astype(wide) for each in (transition, input_map, output_map))
    columns = _columns(a, b, time)
    kernel = jnp.einsum("cn,cnt->tc", c, columns)
    xs = x.astype(wide)
    # Padded to twice the time, so that the end does not wrap around onto the beginning.
    seen, heard = (jnp.fft.rfft(each, 2 * time, axis=-2) for each in (xs, kernel))
    y = jnp.fft.irfft(seen * jnp.broadcast_to(heard, seen.shape), 2 * time, axis=-2)
    y = y[..., :time, :] + _skipped("state_space_convolution", xs, skip)
    return y.astype(x.dtype), jnp.einsum("...tc,cnt->...cn", xs, columns[..., ::-1])


def _require_system(where, transition, input_map, output_map):
    require_array(where, transition=transition, input_map=input_map, output_map=output_map)
    require_rank(where, "transition", transition, 2, "(*channels, states, states)")
    shape = transition.shape[:-1]
    require(shape[-1] == transition.shape[-1], where, "transition", transition, "square matrices")
    for name, rows in (("input_map", input_map), ("output_map", output_map)):
        require(rows.shape == shape, where, name, rows, f"shape {shape}")


def _require_input(where, x, transition, input_map, output_map):
    require_array(where, x=x)
    require_rank(where, "x", x, 2, "(*batch, time, channels)")
    _require_system(where, transition, input_map, output_map)
    needs = f"shape ({x.shape[-1]}, states, states), a system for each channel of `x`"
    ok = transition.ndim == 3 and transition.shape[0] == x.shape[-1]
    require(ok, where, "transition", transition, needs)


def _skipped(where, xs, skip):
    if skip is None:
        return jnp.zeros_like(xs)
    require_array(where, skip=skip)
    require(skip.shape == xs.shape[-1:], where, "skip", skip, f"shape {xs.shape[-1:]}")
    return jnp.broadcast_to(skip.astype(xs.dtype), xs.shape) * xs


class LSSL(nn.Module):
    r"""A linear state-space layer: systems with the HiPPO transition, and a step for each channel.

    .. math:: y = W \, \mathrm{GELU}(\mathrm{ssm}(x)) + b

    Without a state the sequence is a convolution, and its last state is found by one product;
    from a state on it is a recurrence.

    Attributes:
      features: size of the output's last axis.
      states: N of each channel.
      steps: least and largest Δ at the start, spread evenly in the logarithm; it is trained.
      learn_transition: whether A is trained, the same for all channels; fixed otherwise. The
        paper trains it within a structured family, this without constraint.
      discretization: as in :func:`discretize`.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of W.
    """

    features: int
    states: int = 32
    steps: tuple[float, float] = (1e-3, 1e-1)
    learn_transition: bool = False
    discretization: Discretization = "bilinear"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time channels"],
        state: Float[Array, "*batch channels states"] | None = None,
    ) -> tuple[Float[Array, "*batch time features"], Float[Array, "*batch channels states"]]:
        """Map a stretch of time from a state on; give the output and the state after it."""
        require_array("LSSL", x=x)
        require_count("LSSL", features=self.features, states=self.states)
        require_rank("LSSL", "x", x, 2, "(*batch, time, channels)")
        low, high = self.steps
        require(0 < low < high, "LSSL", "steps", self.steps, "0 < least < largest")
        channels, n, kept = x.shape[-1], self.states, self.param_dtype

        def spread(key, shape, dtype):
            return jnp.log(low) + jnp.log(high / low) * jax.random.uniform(key, shape, dtype)

        log_step = self.param("log_step", spread, (channels,), kept)
        normal = nn.initializers.normal(n**-0.5)
        output_map = self.param("output_map", normal, (channels, n), kept)
        skip = self.param("skip", nn.initializers.ones, (channels,), kept)
        transition, input_map = hippo_legs(n)
        if self.learn_transition:
            legs = transition.astype(kept)
            transition = self.param("transition", lambda _: legs)
        wide = accumulation_dtype(log_step.dtype)
        # Powers of the transition multiply its rounding: it stays in float32.
        system = discretize(
            jnp.broadcast_to(transition.astype(wide), (channels, n, n)),
            jnp.broadcast_to(input_map.astype(wide), (channels, n)),
            jnp.exp(log_step.astype(wide)),
            method=self.discretization,
        )
        x, skip = promote_dtype(x, skip, dtype=self.dtype)
        if state is None:
            y, last = _convolve(x, *system, output_map, skip)
        else:
            y, last = state_space_scan(x, *system, output_map, skip, state)
        dense = nn.Dense(
            self.features,
            dtype=self.dtype,
            param_dtype=kept,
            kernel_init=self.kernel_init,
            name="outputs",
        )
        return dense(nn.gelu(y)), last
