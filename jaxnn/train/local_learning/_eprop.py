r"""Eligibility propagation: the gradient of a recurrent network, gathered while it runs.

.. math::
    z_t, h_t = f(h_{t-1}, x_t W + z_{t-1} R + b), \quad y_t = \kappa y_{t-1} + z_t U + c, \quad
    E = \sum_t \ell(y_t, y^*_t)

The gradient of E splits into what each synapse knows at each step, its eligibility trace e, and
what comes back from the readout, the learning signal L:

.. math::
    \varepsilon_t^{ij} = \frac{\partial h_t^j}{\partial h_{t-1}^j} \varepsilon_{t-1}^{ij}
    + \frac{\partial h_t^j}{\partial i_t^j} p_t^i, \quad
    e_t^{ij} = \frac{\partial z_t^j}{\partial h_{t-1}^j} \varepsilon_{t-1}^{ij}
    + \frac{\partial z_t^j}{\partial i_t^j} p_t^i, \quad
    \Delta_{ij} = \sum_t L_t^j \sum_{s \le t} \kappa^{t-s} e_s^{ij}

with p what the synapse carries (an input or a spike of the step before). This is
back-propagation through time, less the paths by which a spike reaches other units' future: it
is exact without recurrent weights. It needs no past, so memory does not grow with time.

===  ======================================================================
x    ``inputs``, ``(time, *batch, inputs)``
h    ``state``, a pytree of arrays ``(*batch, units)``, each unit its own
W    ``params.input``, ``(inputs, units)``
R    ``params.recurrent``, ``(units, units)``
b    ``params.bias``, ``(units,)``
U    ``params.readout``, ``(units, outputs)``
c    ``params.readout_bias``, ``(outputs,)``
κ    ``readout_decay``
L    learning signal, ∂ℓ/∂y B with B the transpose of U, or ``feedback``
===  ======================================================================

Source: "A Solution to the Learning Dilemma for Recurrent Networks of Spiking Neurons" (2020);
the readout's transpose is its symmetric e-prop, another ``feedback`` its random one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array


class RecurrentParams(NamedTuple):
    """Parameters of one recurrent layer and its leaky readout; also the form of their gradients.

    Attributes:
      input: W, ``(inputs, units)``.
      recurrent: R, ``(units, units)``; a unit's connection to itself is used like the others.
      bias: b, ``(units,)``.
      readout: U, ``(units, outputs)``.
      readout_bias: c, ``(outputs,)``.
    """

    input: jax.Array
    recurrent: jax.Array
    bias: jax.Array
    readout: jax.Array
    readout_bias: jax.Array


class Eprop(NamedTuple):
    """What :func:`eprop` returns.

    Attributes:
      loss: sum of the loss over time and examples.
      outputs: y, ``(time, *batch, outputs)``.
      spikes: z, ``(time, *batch, units)``.
      state: h after the last step.
    """

    loss: jax.Array
    outputs: jax.Array
    spikes: jax.Array
    state: Any


class _Carry(NamedTuple):
    state: Any
    spikes: jax.Array
    eligibility: list[jax.Array]  # of each floating-point leaf, (*batch, sources, units)
    filtered: jax.Array  # spikes' eligibility, low-pass filtered, in the same shape
    seen: jax.Array  # what the readout integrates: spikes and a one, (*batch, units + 1)
    loss: jax.Array
    synapses: jax.Array  # gradient of W, R and b below each other, (sources, units)
    readout: jax.Array  # and of U and c, (units + 1, outputs)


def eprop(
    step: Callable[[Any, jax.Array], tuple[Any, jax.Array]],
    loss: Callable[[jax.Array, Any], jax.Array],
    params: RecurrentParams,
    state: Any,
    inputs: Float[Array, "time *batch inputs"],
    targets: Any,
    *,
    readout_decay: float = 0.9,
    feedback: Float[Array, "outputs units"] | None = None,
) -> tuple[Eprop, RecurrentParams]:
    """Run a recurrent network and gather its e-prop gradients on the way.

    Memory: the eligibility of every synapse of every example, ``batch x (inputs + units) x
    units`` for each leaf of the state, however long the sequence.

    Args:
      step: ``step(state, drive) -> (state, spikes)`` of units that know only their own state,
        such as ``functools.partial(spiking.leaky_step, decay=0.9)``; differentiated one step
        at a time, so that its surrogate and its reset are what back-propagation would see.
      loss: ``(y_t, target_t) -> value per example``, or any shape that is summed.
      params: the layer's and the readout's; their gradients have the same form.
      state: of the units before the first step. Leaves that are not floating-point, such as
        counters, are carried and take no part in the gradient.
      inputs: x, time first.
      targets: a pytree with time first; one step of it is given to ``loss``.
      readout_decay: κ in [0, 1); 0 reads the spikes of the step alone.
      feedback: B, what carries errors back in place of the readout's transpose; fixed random
        weights make it local.

    Returns:
      What happened, and the gradients of the summed loss. Those of the readout are exact.

    Raises:
      TypeError: ``inputs`` or a parameter is not an array of floating-point numbers.
      ValueError: sizes disagree, or ``readout_decay`` is outside [0, 1).

    Example:
      >>> key = jax.random.key(0)
      >>> kernels = [jax.random.normal(key, shape) for shape in ((3, 4), (4, 4), (4, 2))]
      >>> w, r, u = kernels
      >>> params = RecurrentParams(w, r, jnp.zeros(4), u, jnp.zeros(2))
      >>> units = lambda v, drive: (0.9 * v + drive, jnp.tanh(0.9 * v + drive))
      >>> square = lambda y, target: jnp.sum((y - target) ** 2)
      >>> x, target = jnp.ones((5, 3)), jnp.zeros((5, 2))
      >>> run, gradients = eprop(units, square, params, jnp.zeros(4), x, target)
      >>> run.outputs.shape, gradients.recurrent.shape
      ((5, 2), (4, 4))
    """
    where = "eprop"
    require_array(where, inputs=inputs, **params._asdict())
    _check(where, params, inputs, feedback)
    ok = 0 <= readout_decay < 1
    require(ok, where, "readout_decay", readout_decay, "a number in [0, 1)")
    batch, units = inputs.shape[1:-1], params.readout.shape[0]
    synapses = jnp.concatenate([params.input, params.recurrent, params.bias[None]])
    readout = jnp.concatenate([params.readout, params.readout_bias[None]])
    back = params.readout.T if feedback is None else feedback
    leaves, tree = jax.tree.flatten(state)
    own = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    one = jnp.ones((*batch, 1), inputs.dtype)

    def advance(carry: _Carry, now: tuple[jax.Array, Any]) -> tuple[_Carry, Any]:
        x, target = now
        source = jnp.concatenate([x, carry.spikes, one], axis=-1)
        before = jax.tree.leaves(carry.state)

        def unit_step(drive: jax.Array, *values: jax.Array) -> Any:
            full = list(before)
            for i, value in zip(own, values, strict=True):
                full[i] = value
            after, spikes = step(jax.tree.unflatten(tree, full), drive)
            flat = jax.tree.leaves(after)
            return [*(flat[i] for i in own), spikes], flat

        (*_, spikes), slopes, after = _slopes(
            unit_step, source @ synapses, *(before[i] for i in own)
        )
        # Each leaf, and the spikes, hand on the eligibility of the leaves before.
        *eligibility, trace = (
            entry[..., None, :] * source[..., None]
            + sum(a[..., None, :] * e for a, e in zip(into, carry.eligibility, strict=True))
            for entry, *into in slopes
        )
        filtered = readout_decay * carry.filtered + trace
        seen = readout_decay * carry.seen + jnp.concatenate([spikes, one], axis=-1)
        y = seen @ readout
        value, error = jax.value_and_grad(lambda y: jnp.sum(loss(y, target)))(y)
        carry = _Carry(
            state=jax.tree.unflatten(tree, after),
            spikes=spikes,
            eligibility=eligibility,
            filtered=filtered,
            seen=seen,
            loss=carry.loss + value,
            synapses=carry.synapses + jnp.einsum("...su,...u->su", filtered, error @ back),
            readout=carry.readout + jnp.einsum("...u,...o->uo", seen, error),
        )
        return carry, (y, spikes)

    shape = (*batch, *synapses.shape)
    wide = inputs.dtype
    start = _Carry(
        state=state,
        spikes=jnp.zeros((*batch, units), wide),
        eligibility=[jnp.zeros(shape, wide) for _ in own],
        filtered=jnp.zeros(shape, wide),
        seen=jnp.zeros((*batch, units + 1), wide),
        loss=jnp.zeros((), wide),
        synapses=jnp.zeros_like(synapses),
        readout=jnp.zeros_like(readout),
    )
    end, (y, spikes) = jax.lax.scan(advance, start, (inputs, targets))
    width = inputs.shape[-1]
    gradients = RecurrentParams(
        input=end.synapses[:width],
        recurrent=end.synapses[width:-1],
        bias=end.synapses[-1],
        readout=end.readout[:-1],
        readout_bias=end.readout[-1],
    )
    return Eprop(end.loss, y, spikes, end.state), gradients


def _slopes(function: Callable[..., Any], *values: jax.Array) -> Any:
    """Differentiate element-wise functions: outputs, d outputs / d values, and what comes along."""
    outputs, tangent, aux = jax.linearize(function, *values, has_aux=True)
    columns = []
    for i in range(len(values)):
        direction = [
            jnp.ones_like(v) if i == k else jnp.zeros_like(v) for k, v in enumerate(values)
        ]
        columns.append(tangent(*direction))
    return outputs, list(zip(*columns, strict=True)), aux


def _check(where: str, params: RecurrentParams, inputs: jax.Array, feedback: Any) -> None:
    require(inputs.ndim >= 2, where, "inputs", inputs, "shape (time, *batch, inputs)")
    ok = params.readout.ndim == 2
    require(ok, where, "params.readout", params.readout, "shape (units, outputs)")
    units, outputs = params.readout.shape
    shapes = {
        "input": (inputs.shape[-1], units),
        "recurrent": (units, units),
        "bias": (units,),
        "readout": (units, outputs),
        "readout_bias": (outputs,),
    }
    for name, shape in shapes.items():
        value = getattr(params, name)
        require(value.shape == shape, where, f"params.{name}", value, f"shape {shape}")
    if feedback is not None:
        require_array(where, feedback=feedback)
        shape = (outputs, units)
        require(feedback.shape == shape, where, "feedback", feedback, f"shape {shape}")
