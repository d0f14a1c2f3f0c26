r"""Diagonal state-space layers: continuous systems of single states, one set for each channel.

.. math:: \dot h = A \odot h + u, \quad y = 2 \Re(C h) + D u
    \quad\longrightarrow\quad
    h_t = \bar A \odot h_{t-1} + \bar B u_t, \quad y_t = 2 \Re(C h_t) + D u_t

A complex state stands for itself and its conjugate, hence the factor 2, so that N of them are a
real system of 2 N; real states have neither. As for a dense system, the recurrence goes step by
step and a convolution with :math:`K_t = 2 \Re(C \bar A^t \bar B)` maps a whole sequence.

===========  ================================================================
u            ``x``, ``(*batch, time, channels)``; every channel by itself
A, Ā         ``transition``, ``(channels, N)``, continuous and discrete, complex or real
B̄            ``input_map``, ``(channels, N)``; B is 1
C            ``output_map``, ``(channels, N)``
D            ``skip``, ``(channels,)``
===========  ================================================================

Source: "On the Parameterization and Initialization of Diagonal State Space Models" (2022).
"""

import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float, Inexact

from jaxnn._check import require, require_array, require_count, require_inexact, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.recurrent._linear import linear_recurrence
from jaxnn.layers.recurrent._state_space import Discretization

Spectrum = Literal["lin", "inv", "real"]
Form = Literal["convolution", "recurrence"]


def s4d_transition(states: int, *, spectrum: Spectrum = "lin") -> Inexact[Array, " states"]:
    r"""Give the rates and frequencies at which a diagonal state space starts.

    .. math:: A_n = -\tfrac12 + i \pi n, \quad
        A_n = -\tfrac12 + i \frac{2N}{\pi} \Big( \frac{2N}{2n + 1} - 1 \Big), \quad
        A_n = -(n + 1), \qquad n = 0 \dots N - 1

    are ``"lin"``, the frequencies of a Fourier series; ``"inv"``, near those of HiPPO-LegS, which
    lie closer the slower they are; and ``"real"``, which decay only.

    Args:
      states: N, complex or, for the last, real.
      spectrum: which of the three.

    Returns:
      A, in complex64 or float32.

    Raises:
      ValueError: ``states`` is not a whole number above zero, or the spectrum is unknown.

    Example:
      >>> s4d_transition(3, spectrum="real").tolist()
      [-1.0, -2.0, -3.0]
    """
    where = "s4d_transition"
    require_count(where, states=states)
    names = get_args(Spectrum)
    require(spectrum in names, where, "spectrum", spectrum, f"one of {names}")
    n = jnp.arange(states, dtype=jnp.float32)
    if spectrum == "real":
        return -(n + 1)
    size = 2 * states
    turns = math.pi * n if spectrum == "lin" else size / math.pi * (size / (2 * n + 1) - 1)
    return jax.lax.complex(jnp.full_like(n, -0.5), turns)


def s4d_discretize(
    transition: Inexact[Array, "channels states"],
    step: Float[Array, " channels"],
    *,
    method: Discretization = "zoh",
) -> tuple[Inexact[Array, "channels states"], Inexact[Array, "channels states"]]:
    r"""Turn diagonal continuous systems with B = 1 into ones that go a time ``step`` at once.

    .. math:: \bar A = e^{\Delta A}, \; \bar B = \frac{e^{\Delta A} - 1}{A}; \qquad
        \bar A = \frac{1 + \Delta A / 2}{1 - \Delta A / 2}, \;
        \bar B = \frac{\Delta}{1 - \Delta A / 2}

    are ``"zoh"``, exact for an input that holds during a step, and ``"bilinear"``.

    Args:
      transition: A.
      step: Δ, above zero, one for each channel.
      method: which of the two.

    Returns:
      Ā and B̄, in complex64, float32 or wider.

    Raises:
      TypeError: an argument is not an array of numbers of the right kind.
      ValueError: sizes disagree, or the method is unknown.

    Example:
      >>> a, b = s4d_discretize(-jnp.ones((1, 1)), jnp.array([2.0]), method="bilinear")
      >>> a.tolist(), b.tolist()
      ([[0.0]], [[1.0]])
    """
    where = "s4d_discretize"
    require_inexact(where, transition=transition)
    require_array(where, step=step)
    require(transition.ndim == 2, where, "transition", transition, "shape (channels, states)")
    shape = transition.shape[:1]
    require(step.shape == shape, where, "step", step, f"shape {shape}")
    names = get_args(Discretization)
    require(method in names, where, "method", method, f"one of {names}")
    a = transition.astype(_wide(transition))
    delta = step.astype(accumulation_dtype(step.dtype))[:, None].astype(a.dtype)
    z = delta * a
    if method == "bilinear":
        return (1 + z / 2) / (1 - z / 2), delta / (1 - z / 2)
    # expm1(z) / z by its series near zero, where the quotient loses its digits and then is 0 / 0.
    near = jnp.abs(z) < 1e-3
    far = jnp.where(near, jnp.ones_like(z), z)
    quotient = jnp.where(near, 1 + z / 2 + z * z / 6, jnp.expm1(far) / far)
    return jnp.exp(z), delta * quotient


def s4d(
    x: Float[Array, "*batch time channels"],
    transition: Inexact[Array, "channels states"],
    input_map: Inexact[Array, "channels states"],
    output_map: Inexact[Array, "channels states"],
    skip: Float[Array, " channels"] | None = None,
    state: Inexact[Array, "*batch channels states"] | None = None,
    *,
    form: Form | None = None,
) -> tuple[Float[Array, "*batch time channels"], Inexact[Array, "*batch channels states"]]:
    r"""Run discrete diagonal systems over time, one for each channel.

    Args:
      x: u, any number of time steps, down to one.
      transition: Ā.
      input_map: B̄.
      output_map: C.
      skip: D; none if ``None``.
      state: h before; zeros if ``None``.
      form: ``"convolution"`` by fast Fourier transforms, only without a state, or
        ``"recurrence"``; ``None`` picks the first where it can.

    Returns:
      y in the dtype of ``x``, and h after the last step in complex64, float32 or wider, from
      which the next stretch of time goes on.

    Raises:
      TypeError: an argument is not an array of numbers of the right kind.
      ValueError: sizes disagree, the form is unknown, or is a convolution from a state.

    Example:
      >>> one = jnp.ones((1, 1))
      >>> s4d(jnp.ones((3, 1)), one / 2, one, one, form="recurrence")[0].tolist()
      [[1.0], [1.5], [1.75]]
    """
    where = "s4d"
    require_array(where, x=x)
    require_rank(where, "x", x, 2, "(*batch, time, channels)")
    require_inexact(where, transition=transition, input_map=input_map, output_map=output_map)
    needs = f"shape ({x.shape[-1]}, states), a row for each channel of `x`"
    ok = transition.ndim == 2 and transition.shape[0] == x.shape[-1]
    require(ok, where, "transition", transition, needs)
    for name, rows in (("input_map", input_map), ("output_map", output_map)):
        shape = transition.shape
        require(rows.shape == shape, where, name, rows, f"shape {shape}, as `transition`")
    forms = get_args(Form)
    require(form is None or form in forms, where, "form", form, f"one of {forms}, or None")
    needs = "'recurrence' or None, as there is a `state` to go on from"
    require(state is None or form != "convolution", where, "form", form, needs)
    kind = _wide(transition, input_map, output_map)
    a, b, c = (each.astype(kind) for each in (transition, input_map, output_map))
    wide = accumulation_dtype(x.dtype)
    xs = x.astype(wide)
    if state is not None:
        require_inexact(where, state=state)
        shape = (*x.shape[:-2], *a.shape)
        require(state.shape == shape, where, "state", state, f"shape {shape}")
    if state is None and form != "recurrence":
        y, last = _convolve(xs, a, b, c)
    else:
        y, last = _recur(xs, a, b, c, state)
    if skip is not None:
        require_array(where, skip=skip)
        require(skip.shape == x.shape[-1:], where, "skip", skip, f"shape {x.shape[-1:]}")
        y = y + jnp.broadcast_to(skip.astype(wide), xs.shape) * xs
    return y.astype(x.dtype), last


def _convolve(xs, a, b, c):
    time = xs.shape[-2]
    # All Ā^t B̄, twice as many with each product, as for a dense system.
    power, columns = a[..., None], b[..., None]
    while columns.shape[-1] < time:
        columns = jnp.concatenate([columns, power * columns], axis=-1)
        power = power * power
    columns = columns[..., :time]
    kernel = _read(jnp.einsum("cn,cnt->tc", c, columns))
    # Padded to twice the time, so that the end does not wrap around onto the beginning.
    seen, heard = (jnp.fft.rfft(each, 2 * time, axis=-2) for each in (xs, kernel.astype(xs.dtype)))
    y = jnp.fft.irfft(seen * jnp.broadcast_to(heard, seen.shape), 2 * time, axis=-2)
    last = jnp.einsum("...tc,cnt->...cn", xs.astype(a.dtype), columns[..., ::-1])
    return y[..., :time, :].astype(xs.dtype), last


def _recur(xs, a, b, c, state):
    full = (*xs.shape, a.shape[-1])
    flat = (*xs.shape[:-1], a.size)
    drive = jnp.broadcast_to(b, full) * xs[..., None].astype(b.dtype)
    if state is not None:
        state = state.astype(a.dtype).reshape(*xs.shape[:-2], a.size)
    h = linear_recurrence(a.ravel(), drive.reshape(flat), state).reshape(full)
    return _read(jnp.einsum("...cn,cn->...c", h, c)).astype(xs.dtype), h[..., -1, :, :]


def _read(sums):
    """Give twice the real part of complex sums, in which each state stands for two."""
    return 2 * sums.real if jnp.iscomplexobj(sums) else sums


def _wide(*arrays):
    """Give the complex or real dtype in which to compute over these arrays, float32 or wider."""
    reals = (accumulation_dtype(jnp.finfo(array.dtype).dtype) for array in arrays)
    wide = max(reals, key=lambda dtype: dtype.itemsize)
    if any(jnp.iscomplexobj(array) for array in arrays):
        return jnp.dtype(jnp.complex128 if wide.itemsize > 4 else jnp.complex64)
    return wide


class S4D(nn.Module):
    r"""A diagonal state-space layer: systems with their own A and step for each channel.

    .. math:: y = W \, \mathrm{GELU}(\mathrm{ssm}(x)) + b

    Without a state the sequence is a convolution, from a state on it is a recurrence. The real
    parts of A are minus exponentials, so that it is stable however it is trained.

    Attributes:
      features: size of the output's last axis.
      states: N of each channel; complex ones, unless the spectrum is ``"real"``.
      spectrum: where A starts, as in :func:`s4d_transition`; it is trained.
      steps: least and largest Δ at the start, spread evenly in the logarithm; it is trained.
      discretization: as in :func:`s4d_discretize`.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of W.

    Differs: B stays 1, for outputs depend on B and C by their product alone.
    """

    features: int
    states: int = 32
    spectrum: Spectrum = "lin"
    steps: tuple[float, float] = (1e-3, 1e-1)
    discretization: Discretization = "zoh"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time channels"],
        state: Inexact[Array, "*batch channels states"] | None = None,
    ) -> tuple[Float[Array, "*batch time features"], Inexact[Array, "*batch channels states"]]:
        """Map a stretch of time from a state on; give the output and the state after it."""
        require_array("S4D", x=x)
        require_count("S4D", features=self.features, states=self.states)
        require_rank("S4D", "x", x, 2, "(*batch, time, channels)")
        low, high = self.steps
        require(0 < low < high, "S4D", "steps", self.steps, "0 < least < largest")
        start = s4d_transition(self.states, spectrum=self.spectrum)
        turns = jnp.iscomplexobj(start)
        shape, kept = (x.shape[-1], self.states), self.param_dtype

        def spread(key, shape, dtype):
            return jnp.log(low) + jnp.log(high / low) * jax.random.uniform(key, shape, dtype)

        def everywhere(row):
            return lambda _, shape, dtype: jnp.broadcast_to(row, shape).astype(dtype)

        log_step = self.param("log_step", spread, shape[:1], kept)
        log_rate = self.param("log_rate", everywhere(jnp.log(-start.real)), shape, kept)
        wide = accumulation_dtype(log_rate.dtype)
        transition = -jnp.exp(log_rate.astype(wide))
        # The variance of a complex normal number is that of both its parts.
        normal = nn.initializers.normal(math.sqrt(0.5) if turns else 1.0)
        output_map = self.param("output_map", normal, (*shape, 2 if turns else 1), kept)
        c = output_map[..., 0].astype(wide)
        if turns:
            frequency = self.param("frequency", everywhere(start.imag), shape, kept)
            transition = jax.lax.complex(transition, frequency.astype(wide))
            c = jax.lax.complex(c, output_map[..., 1].astype(wide))
        skip = self.param("skip", nn.initializers.ones, shape[:1], kept)
        # Powers of the transition multiply its rounding: it stays in float32.
        system = s4d_discretize(
            transition, jnp.exp(log_step.astype(wide)), method=self.discretization
        )
        x, skip = promote_dtype(x, skip, dtype=self.dtype)
        y, last = s4d(x, *system, c, skip, state)
        dense = nn.Dense(
            self.features,
            dtype=self.dtype,
            param_dtype=kept,
            kernel_init=self.kernel_init,
            name="outputs",
        )
        return dense(nn.gelu(y)), last
