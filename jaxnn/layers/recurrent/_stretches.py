"""Long sequences in stretches: less memory for training, or a gradient that is cut.

Back-propagation through time keeps what every step computed. Run in stretches with
``checkpoint``, it keeps the states between them and computes the rest again, one stretch at a
time: with √T stretches of √T steps memory grows as √T for one more forward pass ("Training Deep
Nets with Sublinear Memory Cost", 2016). With ``truncate`` the gradient ends at each stretch's
beginning ("An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network
Trajectories", 1990).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count


def run_stretches(
    layer: Callable[[jax.Array, Any], tuple[jax.Array, Any]],
    x: Float[Array, "..."],
    state: Any = None,
    *,
    length: int,
    checkpoint: bool = True,
    truncate: bool = False,
    time_axis: int = -2,
) -> tuple[jax.Array, Any]:
    """Run a recurrent layer over one stretch of time after another.

    Args:
      layer: ``layer(x, state) -> (y, state)`` on a stretch, such as a recurrent module bound to
        its parameters, or a whole network of products and neurons; it must give the same for
        two stretches in a row as for both at once.
      x: the whole sequence, ``(*batch, time, inputs)`` unless ``time_axis`` says otherwise.
      state: before the first step; whatever ``layer`` takes, ``None`` too.
      length: steps a stretch; the last one has what is left.
      checkpoint: keep only the states between stretches for the backward pass, and compute
        what is inside them again.
      truncate: pass no gradient through the states between stretches.
      time_axis: where time is in ``x`` and in y; 0 saves transpositions.

    Returns:
      y of all steps, and the state after the last one.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: there is no such axis, or ``length`` is below 1.

    Example:
      >>> unit = LRU(2, states=3)
      >>> x = jnp.ones((100, 2))
      >>> variables = unit.init(jax.random.key(0), x)
      >>> layer = lambda x, state: unit.apply(variables, x, state)
      >>> y, _ = run_stretches(layer, x, length=30)
      >>> bool(jnp.allclose(y, layer(x, None)[0], atol=1e-5))
      True
    """
    where = "run_stretches"
    require_array(where, x=x)
    ok = -x.ndim <= time_axis < x.ndim
    require(ok, where, "time_axis", time_axis, f"an axis of `x`, which has {x.ndim}")
    require_count(where, length=length)

    def stretch(state, x):
        if truncate:
            state = jax.lax.stop_gradient(state)
        y, state = layer(jnp.moveaxis(x, 0, time_axis), state)
        return state, jnp.moveaxis(y, time_axis, 0)

    if checkpoint:
        stretch = jax.checkpoint(stretch, prevent_cse=False)
    sequence = jnp.moveaxis(x, time_axis, 0)
    parts = []
    if state is None:
        # The first stretch makes the state, in the form in which the others hand it on.
        state, y = stretch(None, sequence[:length])
        parts, sequence = [y], sequence[length:]
    count, left = divmod(sequence.shape[0], length)
    if count:
        whole = sequence[: count * length].reshape(count, length, *sequence.shape[1:])
        state, y = jax.lax.scan(stretch, state, whole)
        parts.append(y.reshape(count * length, *y.shape[2:]))
    if left:
        state, y = stretch(state, sequence[-left:])
        parts.append(y)
    y = parts[0] if len(parts) == 1 else jnp.concatenate(parts)
    return jnp.moveaxis(y, 0, time_axis), state
