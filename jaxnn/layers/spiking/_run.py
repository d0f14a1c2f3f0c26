"""Whole sequences: one scan for every step function of the family.

What does not depend on the recurrence, the matrix products above all, is done for all time
steps at once before the scan, which then only moves element-wise state: a step gets its drive
ready made.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive


def run(
    step: Callable[..., tuple[Any, Any]],
    state: Any,
    inputs: Float[Array, "..."],
    *params: Any,
    time_axis: int = -2,
    truncate: int | None = None,
    record: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """Run a step function over the time axis of its inputs.

    Args:
      step: ``step(state, x, *params) -> (state, y)``; bind its options by
        ``functools.partial``, and save memory for time by ``jax.checkpoint(step)``.
      state: before the first step.
      inputs: what the steps consume, ``(*batch, time, units)`` unless ``time_axis`` says
        otherwise.
      *params: passed on to every step, such as the decay.
      time_axis: where time is in ``inputs``, and where it goes in the outputs.
      truncate: cut the gradient through the state before every so many steps (truncated
        backpropagation through time); never if ``None``. Values do not change.
      record: also return the state after every step.
      unroll: steps a loop iteration; above 1 measured slower on CPUs, try it on accelerators.

    Returns:
      The last state, and the outputs with time at ``time_axis``; with ``record``, in place of
      the outputs the pair of outputs and states, each state leaf with time at ``time_axis``.

    Raises:
      TypeError: ``inputs`` is not an array of floating-point numbers.
      ValueError: there is no such axis, or ``truncate`` is below 1.

    Example:
      >>> drive = jnp.full((1, 5, 1), 0.5)
      >>> _, spikes = run(integrate_step, leaky_init((1, 1)), drive)
      >>> spikes[0, :, 0].tolist()
      [0.0, 0.0, 1.0, 0.0, 1.0]
    """
    require_array("run", inputs=inputs)
    ok = -inputs.ndim <= time_axis < inputs.ndim
    require(ok, "run", "time_axis", time_axis, f"an axis of `inputs`, which has {inputs.ndim}")
    if truncate is not None:
        require_positive("run", truncate=truncate)
    sequence = jnp.moveaxis(inputs, time_axis, 0)

    def body(carry, scanned):
        time, x = scanned
        if truncate is not None:
            carry = jax.tree.map(lambda leaf: _cut(leaf, time % truncate == 0), carry)
        carry, y = step(carry, x, *params)
        return carry, (y, carry) if record else y

    times = jnp.arange(sequence.shape[0])
    state, outputs = jax.lax.scan(body, state, (times, sequence), unroll=unroll)
    return state, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, time_axis), outputs)


def _cut(leaf: jax.Array, now: jax.Array) -> jax.Array:
    return jnp.where(now, jax.lax.stop_gradient(leaf), leaf)
