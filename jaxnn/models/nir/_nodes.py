r"""The nodes of a NIR graph as functions in discrete time.

======  =================================================================
x       a node's input, ``(batch, *shape)``, channels first
τ       ``tau``, ``tau_mem``, ``tau_syn``, in units of time
R       ``r``
Δ       ``dt``
θ       ``v_threshold``
v       membrane potential; j: synaptic current; both start at zero
======  =================================================================

.. math::
    v' = v + \frac{\Delta}{\tau} (v_{leak} - v + R x), \quad
    j' = j + \frac{\Delta}{\tau_{syn}} (w_{in} x - j)
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.spiking._reset import Reset
from jaxnn.layers.spiking._surrogate import SpikeFunction

SUPPORTED = (
    "Affine",
    "AvgPool2d",
    "Conv1d",
    "Conv2d",
    "CubaLI",
    "CubaLIF",
    "Delay",
    "Flatten",
    "I",
    "IF",
    "Input",
    "LI",
    "LIF",
    "Linear",
    "NIRGraph",
    "Output",
    "Scale",
    "SumPool2d",
    "Threshold",
)
# What of a node is trained; the constants of neurons are not.
WEIGHTS = {
    "Affine": ("weight", "bias"),
    "Conv1d": ("weight", "bias"),
    "Conv2d": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
}
FIRING = ("IF", "LIF", "CubaLIF")


class Node(NamedTuple):
    """A node in discrete time.

    Attributes:
      apply: ``(weights, x) -> y`` of a node without memory; ``None`` for others.
      init: ``shape -> state`` of one with memory.
      step: ``(state, x) -> (state, y)`` of one with memory.
      early: ``state -> y`` of a delay of at least one step, which needs no input for it.
      sequence: ``x -> y`` over all steps, time first, of one that can do better than a scan.
    """

    apply: Callable[..., jax.Array] | None = None
    init: Callable[..., Any] | None = None
    step: Callable[..., tuple[Any, jax.Array]] | None = None
    early: Callable[[Any], jax.Array] | None = None
    sequence: Callable[[jax.Array], jax.Array] | None = None


def weights_of(node: Any) -> dict[str, np.ndarray]:
    """Give the arrays of a node that are trained, in float32."""
    fields = WEIGHTS.get(type(node).__name__, ())
    values = {field: getattr(node, field) for field in fields}
    return {k: np.asarray(v, np.float32) for k, v in values.items() if v is not None}


class Options(NamedTuple):
    """How neurons are read; see :func:`from_nir`."""

    dt: float
    surrogate: SpikeFunction
    reset: Reset | None
    unit_gain: bool


def discretise(name: str, node: Any, options: Options) -> Node:
    """Make the function of a node, or say what is wrong with it."""
    kind = type(node).__name__
    if kind not in SUPPORTED:
        raise ValueError(
            f"from_nir: node {name!r} is of type {kind}; it needs one of {', '.join(SUPPORTED)}."
        )
    if kind in ("Input", "Output"):
        return Node(apply=lambda weights, x: x)
    if kind in ("Affine", "Linear"):
        return Node(apply=_affine)
    if kind == "Scale":
        return Node(apply=lambda weights, x: x * _like(weights["scale"], x, name, "scale"))
    if kind == "Threshold":
        fire = options.surrogate
        return Node(apply=lambda weights, x: fire(x - _like(node.threshold, x, name)))
    if kind == "Flatten":
        return Node(apply=lambda weights, x: _flatten(x, int(node.start_dim), int(node.end_dim)))
    if kind in ("Conv1d", "Conv2d"):
        return Node(apply=_convolution(node, 1 if kind == "Conv1d" else 2))
    if kind in ("SumPool2d", "AvgPool2d"):
        return Node(apply=_pool(node, mean=kind == "AvgPool2d"))
    if kind == "Delay":
        return _delay(name, node, options.dt)
    return _neuron(name, node, options)


def _neuron(name: str, node: Any, options: Options) -> Node:
    kind = type(node).__name__
    dt, surrogate, reset, unit_gain = options
    fires, cuba = kind in FIRING, kind.startswith("Cuba")
    tau = getattr(node, "tau_mem" if cuba else "tau", None)
    if tau is None:  # I and IF forget nothing
        decay, gain, offset = np.float64(1), dt * _wide(node.r), np.float64(0)
    else:
        rate = _rate(name, "tau_mem" if cuba else "tau", tau, dt)
        decay, gain, offset = 1 - rate, _wide(node.r) * rate, rate * _wide(node.v_leak)
    current_decay = current_gain = np.float64(1)
    if cuba:
        rate = _rate(name, "tau_syn", node.tau_syn, dt)
        current_decay, current_gain = 1 - rate, _wide(node.w_in) * rate
    if unit_gain:
        gain = current_gain = np.float64(1)

    def step(state, x):
        *current, v = state
        drive = x.astype(v.dtype)
        if cuba:
            drive = _like(current_gain, drive, name) * drive
            drive = _like(current_decay, drive, name) * current[0] + drive
            current = [drive]
        u = _like(decay, v, name) * v + (_like(gain, v, name) * drive + _like(offset, v, name))
        if not fires:
            return (*current, u), u.astype(x.dtype)
        theta = _like(node.v_threshold, v, name)
        spikes = surrogate(u - theta)
        if reset is None:
            v = u * (1 - spikes) + _like(node.v_reset, v, name) * spikes
        else:
            v = reset(u, spikes, theta)
        return (*current, v), spikes.astype(x.dtype)

    return Node(
        init=lambda shape, dtype: (jnp.zeros(shape, dtype),) * (2 if cuba else 1), step=step
    )


def _delay(name: str, node: Any, dt: float) -> Node:
    delay = _wide(node.delay)
    if not (np.isfinite(delay).all() and (delay >= 0).all()):
        raise ValueError(f"from_nir: node {name!r} has a delay below zero or not finite.")
    steps = np.rint(delay / dt).astype(int)
    longest = int(steps.max(initial=0))

    def read(past, back, times):
        back = _shaped(back, past.ndim - 2, past.shape[2:], name, "delay")[None, None]
        index = back + np.arange(times).reshape(-1, *(1,) * (past.ndim - 1))
        return jnp.take_along_axis(past, jnp.broadcast_to(index, (times, *past.shape[1:])), axis=0)

    def step(past, x):  # the past begins with the latest
        held = jnp.concatenate([x[None].astype(past.dtype), past])
        return held[:-1], read(held, steps, 1)[0].astype(x.dtype)

    def sequence(x):
        before = jnp.zeros((longest, *x.shape[1:]), x.dtype)
        return read(jnp.concatenate([before, x]), longest - steps, x.shape[0])

    return Node(
        init=lambda shape, dtype: jnp.zeros((longest, *shape), dtype),
        step=step,
        early=(lambda past: read(past, steps - 1, 1)[0]) if steps.min(initial=1) > 0 else None,
        sequence=sequence,
    )


def _affine(weights: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    # Axes before the last two of a weight are batched with those of the input.
    weight = weights["weight"]
    batch = tuple(range(weight.ndim - 2))
    contract = ((x.ndim - 1,), (weight.ndim - 1,))
    wide = accumulation_dtype(x.dtype)
    y = jax.lax.dot_general(
        x, weight, (contract, (tuple(i + 1 for i in batch), batch)), preferred_element_type=wide
    )
    if batch:  # dot_general puts the batched axes first
        y = jnp.moveaxis(y, len(batch), 0)
    if "bias" in weights:
        y = y + _like(weights["bias"], y, "Affine", "bias")
    return y.astype(x.dtype)


def _convolution(node: Any, spatial: int) -> Callable[..., jax.Array]:
    stride, dilation = _numbers(node.stride, spatial), _numbers(node.dilation, spatial)
    padding = node.padding
    if isinstance(padding, str):
        padding = padding.upper()
    else:
        padding = [(n, n) for n in _numbers(padding, spatial)]
    layout = ("NCH", "OIH", "NCH") if spatial == 1 else ("NCHW", "OIHW", "NCHW")

    def apply(weights, x):
        y = jax.lax.conv_general_dilated(
            x,
            weights["weight"],
            window_strides=stride,
            padding=padding,
            rhs_dilation=dilation,
            dimension_numbers=layout,
            feature_group_count=int(node.groups),
            preferred_element_type=accumulation_dtype(x.dtype),
        )
        if "bias" in weights:
            y = y + weights["bias"].reshape(1, -1, *(1,) * spatial)
        return y.astype(x.dtype)

    return apply


def _pool(node: Any, *, mean: bool) -> Callable[..., jax.Array]:
    window, stride = _numbers(node.kernel_size, 2), _numbers(node.stride, 2)
    padding = [(0, 0), (0, 0), *((n, n) for n in _numbers(node.padding, 2))]

    def apply(weights, x):
        zero = np.zeros((), x.dtype)
        y = jax.lax.reduce_window(x, zero, jax.lax.add, (1, 1, *window), (1, 1, *stride), padding)
        return y / math.prod(window) if mean else y

    return apply


def _flatten(x: jax.Array, start: int, end: int) -> jax.Array:
    shape = x.shape[1:]
    start, end = (i + len(shape) if i < 0 else i for i in (start, end))
    middle = math.prod(shape[start : end + 1])
    return x.reshape(x.shape[0], *shape[:start], middle, *shape[end + 1 :])


def _numbers(value: Any, count: int) -> tuple[int, ...]:
    numbers = [int(n) for n in np.ravel(np.asarray(value))]
    return tuple(numbers * count if len(numbers) == 1 else numbers)


def _wide(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


def _rate(name: str, field: str, tau: Any, dt: float) -> np.ndarray:
    tau = _wide(tau)
    # The smallest excess is the rounding of a decay of zero.
    if not (np.isfinite(tau).all() and (tau >= dt * (1 - 1e-6)).all()):
        raise ValueError(
            f"from_nir: node {name!r} has `{field}` down to {tau.min(initial=np.inf)}; it needs "
            f"finite time constants of at least `dt`, {dt}, or the step overshoots. The graph may "
            "be in another unit of time: pass the `dt` it was made with."
        )
    return np.minimum(dt / tau, 1)


def _shaped(value: Any, rank: int, shape: tuple[int, ...], name: str, field: str) -> Any:
    """Bring a node's constant to the rank of the data: one number, or one a unit."""
    if value.size == 1:
        return value.reshape((1,) * rank)
    if value.shape != shape:
        raise ValueError(
            f"NIRNetwork: node {name!r} has {field} of shape {value.shape} but gets data of shape "
            f"{shape}; it needs the same, or one number."
        )
    return value


def _like(value: Any, x: jax.Array, name: str, field: str = "constants") -> jax.Array:
    value = value if isinstance(value, jax.Array) else _wide(value)
    return jnp.asarray(_shaped(value, x.ndim - 1, x.shape[1:], name, field), x.dtype)[None]
