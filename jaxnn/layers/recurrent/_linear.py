r"""The linear recurrence with a diagonal transition, which a whole family is made of.

.. math:: h_t = a_t \odot h_{t-1} + b_t

Linear recurrent units, diagonal state spaces, gated and selective ones differ in how a and b are
made of the input. The derivative is a recurrence again, in the tangents, and its transpose one
that runs backward; so one rule serves forward and reverse mode and their compositions, and the
states are all that is kept for it:

.. math:: dh_t = a_t \odot dh_{t-1} + (da_t \odot h_{t-1} + db_t)

===========  ================================================================
a            ``decay``, real or complex
b            ``inputs``
h            the states
===========  ================================================================
"""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Inexact

from jaxnn._check import require, require_inexact, require_rank
from jaxnn._numeric import accumulation_dtype

Method = Literal["scan", "associative"]
Sequence = Inexact[Array, "*batch time units"]


def linear_recurrence(
    decay: Sequence | Inexact[Array, " units"],
    inputs: Sequence,
    initial: Inexact[Array, "*batch units"] | None = None,
    *,
    reverse: bool = False,
    method: Method | None = None,
) -> Sequence:
    r"""Run h_t = a_t h_{t-1} + b_t over time, for every unit by itself.

    Args:
      decay: a, of every step, or ``(units,)`` if it is the same at all times.
      inputs: b.
      initial: h before the first step; zeros if ``None``.
      reverse: whether time runs from the last step to the first.
      method: ``"scan"`` goes step by step; ``"associative"`` joins pairs of steps, in
        log₂(time) rounds, which occupy an accelerator at all times at once. ``None`` picks the
        first on CPUs, where the second moves more memory and was measured slower, and the
        second elsewhere.

    Returns:
      All states h, in the dtype of ``inputs`` and ``decay`` promoted; computed in float32 or
      wider.

    Raises:
      TypeError: an argument is not an array of floating-point or complex numbers.
      ValueError: shapes disagree, or the method is unknown.

    Source: "Parallelizing Linear Recurrent Neural Nets Over Sequence Length" (2018).

    Example:
      >>> linear_recurrence(jnp.full(1, 0.5), jnp.ones((3, 1))).tolist()
      [[1.0], [1.5], [1.75]]
    """
    where = "linear_recurrence"
    arrays = {"decay": decay, "inputs": inputs}
    if initial is not None:
        arrays["initial"] = initial
    require_inexact(where, **arrays)
    require_rank(where, "inputs", inputs, 2, "(*batch, time, units)")
    units = inputs.shape[-1:]
    needs = f"shape {inputs.shape}, as `inputs`, or {units}"
    require(decay.shape in (inputs.shape, units), where, "decay", decay, needs)
    require(
        method is None or method in get_args(Method),
        where,
        "method",
        method,
        f"one of {get_args(Method)}, or None",
    )
    dtype = jnp.promote_types(decay.dtype, inputs.dtype)
    if initial is not None:
        dtype = jnp.promote_types(dtype, initial.dtype)
    wide = dtype if jnp.issubdtype(dtype, jnp.complexfloating) else accumulation_dtype(dtype)
    a, b = jnp.broadcast_to(decay, inputs.shape).astype(wide), inputs.astype(wide)
    if initial is not None:
        shape = (*inputs.shape[:-2], *units)
        require(initial.shape == shape, where, "initial", initial, f"shape {shape}")
        first = -1 if reverse else 0
        b = b.at[..., first, :].add(a[..., first, :] * initial.astype(wide))
    if method is None:
        method = "scan" if jax.default_backend() == "cpu" else "associative"
    states = _recur(reverse, method, jnp.moveaxis(a, -2, 0), jnp.moveaxis(b, -2, 0))
    return jnp.moveaxis(states, 0, -2).astype(dtype)


def linear_recurrence_step(
    state: Inexact[Array, "*batch units"],
    inputs: Inexact[Array, "*batch units"],
    decay: Inexact[Array, "*batch units"] | Inexact[Array, " units"],
) -> tuple[Inexact[Array, "*batch units"], Inexact[Array, "*batch units"]]:
    """Take one step of :func:`linear_recurrence`, as a step function of a recurrent family.

    Args:
      state: h before.
      inputs: b.
      decay: a.

    Returns:
      h after, as the state and as the output.

    Raises:
      ValueError: shapes disagree.

    Example:
      >>> linear_recurrence_step(jnp.ones(1), jnp.ones(1), jnp.full(1, 0.5))[0].tolist()
      [1.5]
    """
    where = "linear_recurrence_step"
    require(inputs.shape == state.shape, where, "inputs", inputs, f"shape {state.shape}")
    needs = f"shape {state.shape}, as `state`, or {state.shape[-1:]}"
    require(decay.shape in (state.shape, state.shape[-1:]), where, "decay", decay, needs)
    state = jnp.broadcast_to(decay, state.shape) * state + inputs
    return state, state


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _recur(reverse, method, decay, inputs):
    if method == "associative":
        return lax.associative_scan(_join, (decay, inputs), reverse=reverse)[1]

    def step(state, now):
        state = now[0] * state + now[1]
        return state, state

    start = jnp.zeros_like(inputs[0])
    return lax.scan(step, start, (decay, inputs), reverse=reverse)[1]


@_recur.defjvp
def _recur_jvp(reverse, method, primals, tangents):
    (decay, inputs), (ddecay, dinputs) = primals, tangents
    states = _recur(reverse, method, decay, inputs)
    before = jnp.zeros_like(states[:1])
    parts = (states[1:], before) if reverse else (before, states[:-1])
    change = ddecay * jnp.concatenate(parts) + dinputs
    return states, _recur(reverse, method, decay, change)


def _join(first, second):
    """Compose h -> a h + b of two stretches of time, the first the earlier in its direction."""
    return first[0] * second[0], second[0] * first[1] + second[1]
