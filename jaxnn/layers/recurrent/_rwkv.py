r"""Time and channel mixing of RWKV-4, with any number of perspectives on time.

.. math:: y_t = \frac{\sum_{s<t} e^{-(t-1-s)w + k_s} v_s + e^{u + k_t} v_t}
        {\sum_{s<t} e^{-(t-1-s)w + k_s} + e^{u + k_t}}, \quad
    \tilde x_t = \mu \odot x_t + (1 - \mu) \odot x_{t-1}

Perspectives are streams beside each other that share every kernel, decay and bonus, and differ
in μ alone, so that each looks back in its own measure.

===  ===========================================================================
k v  ``key``, ``value``, ``(*batch, time, units)``
w    ``decay``, ``(units,)``, above zero: the rate of forgetting
u    ``bonus``, ``(units,)``: of the present step
x    input, ``(*batch, time, units)``; ``(*batch, perspectives, time, units)``
μ    ``mix``, ``(units,)``; ``(perspectives, units)``
===  ===========================================================================

Sums are kept beside the largest exponent in them, so that none overflows.

Sources: "Enhancing Transformer RNNs with Multiple Temporal Perspectives" (2024), section 3;
"RWKV: Reinventing RNNs for the Transformer Era" (2023), section 3 and appendix E.
"""

from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.recurrent._linear import Method

Sums = tuple[jax.Array, ...]  # the log of a stretch's decay, then as WKVState
EMPTY = -1e30  # exponent of a sum of nothing; finite, so that differences of two are zero


class WKVState(NamedTuple):
    """Sums over the past, both divided by e to the power of ``exponent``.

    Attributes:
      numerator: of values, ``(*batch, units)``.
      denominator: of weights, likewise.
      exponent: the largest, likewise.
    """

    numerator: jax.Array
    denominator: jax.Array
    exponent: jax.Array


class TimeMixState(NamedTuple):
    """What :class:`RWKVTimeMix` keeps of the past.

    Attributes:
      last: the input of the last step.
      sums: the sums of :func:`wkv`.
    """

    last: jax.Array
    sums: WKVState


def wkv(
    key: Float[Array, "*batch time units"],
    value: Float[Array, "*batch time units"],
    decay: Float[Array, " units"],
    bonus: Float[Array, " units"],
    state: WKVState | None = None,
    *,
    method: Method | None = None,
) -> tuple[Float[Array, "*batch time units"], WKVState]:
    """Average the values of the past and the present, weighted by keys and by age.

    Args:
      key: k, the exponents of the weights.
      value: v.
      decay: w; the weight of what is one step older is less by the factor e^-w.
      bonus: u.
      state: sums over the steps before; of none if ``None``.
      method: as in :func:`linear_recurrence`.

    Returns:
      y in the dtype of ``value``, and the sums after the last step in float32 or wider, from
      which the next stretch of time goes on.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or the method is unknown.

    Example:
      >>> values, none = jnp.array([[1.0], [2.0], [6.0]]), jnp.zeros(1)
      >>> y, _ = wkv(jnp.zeros((3, 1)), values, none, none)
      >>> y.tolist()
      [[1.0], [1.5], [3.0]]
    """
    where = "wkv"
    require_array(where, key=key, value=value, decay=decay, bonus=bonus)
    require_rank(where, "key", key, 2, "(*batch, time, units)")
    units = key.shape[-1:]
    require(value.shape == key.shape, where, "value", value, f"shape {key.shape}, as `key`")
    require(decay.shape == units, where, "decay", decay, f"shape {units}")
    require(bonus.shape == units, where, "bonus", bonus, f"shape {units}")
    known = method is None or method in get_args(Method)
    require(known, where, "method", method, f"one of {get_args(Method)}, or None")
    wide = accumulation_dtype(value.dtype)
    k, v = (jnp.moveaxis(x.astype(wide), -2, 0) for x in (key, value))
    w, u = (jnp.broadcast_to(x.astype(wide), k.shape) for x in (decay, bonus))
    shape = k.shape[1:]
    if state is None:
        zeros = jnp.zeros(shape, wide)
        state = WKVState(zeros, zeros, jnp.full(shape, EMPTY, wide))
    for name, x in state._asdict().items():
        require(x.shape == shape, where, f"state.{name}", x, f"shape {shape}")
    start = (jnp.zeros(shape, wide), *(x.astype(wide) for x in state))
    steps = (-w, v, jnp.ones_like(v), k)
    if method is None:
        method = "scan" if jax.default_backend() == "cpu" else "associative"
    if method == "associative":
        every = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, steps)
        after = lax.associative_scan(_join, every)
        before = jax.tree.map(lambda x: x[:-1], after)
        last = jax.tree.map(lambda x: x[-1], after)
    else:
        last, before = lax.scan(lambda h, now: (_join(h, now), h), start, steps)
    # The present is joined to the past as it stands, which has aged up to one step ago.
    _, numerator, denominator, _ = _join(before, (jnp.zeros_like(w), v, jnp.ones_like(v), u + k))
    y = jnp.moveaxis(numerator / denominator, 0, -2).astype(value.dtype)
    return y, WKVState(*last[1:])


def _join(first: Sums, second: Sums) -> Sums:
    """Join the sums of two stretches of time; each begins with the log of its own decay."""
    aged = first[3] + second[0]
    most = jnp.maximum(aged, second[3])
    old, new = jnp.exp(aged - most), jnp.exp(second[3] - most)
    numerator, denominator = (old * first[i] + new * second[i] for i in (1, 2))
    return first[0] + second[0], numerator, denominator, most


def mix_perspectives(
    x: Float[Array, "*batch perspectives time units"],
    outputs: Float[Array, "*batch perspectives time features"],
    kernel: Float[Array, "units perspectives"],
) -> Float[Array, "*batch time features"]:
    """Add the outputs of all perspectives, weighted by a softmax of their mean.

    Args:
      x: what the streams hold.
      outputs: what was made of each, such as logits.
      kernel: C, from the streams' mean to the logits of their weights.

    Returns:
      Σ_i softmax(mean(x) C)_i outputs_i, in the dtype of ``outputs``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    where = "mix_perspectives"
    require_array(where, x=x, outputs=outputs, kernel=kernel)
    require_rank(where, "x", x, 3, "(*batch, perspectives, time, units)")
    shape = (x.shape[-1], x.shape[-3])
    require(kernel.shape == shape, where, "kernel", kernel, f"shape {shape}")
    ok = outputs.shape[:-1] == x.shape[:-1]
    require(ok, where, "outputs", outputs, f"shape {(*x.shape[:-1], 'features')}")
    wide = accumulation_dtype(outputs.dtype)
    weights = jax.nn.softmax(jnp.mean(x.astype(wide), axis=-3) @ kernel.astype(wide), axis=-1)
    return jnp.einsum("...tp,...ptf->...tf", weights, outputs.astype(wide)).astype(outputs.dtype)


class RWKVTimeMix(nn.Module):
    r"""Mix over time: W_o (σ(r) y), y of :func:`wkv` of keys and values of shifted inputs.

    Attributes:
      features: size of the output's last axis; that of the inputs, if ``None``.
      perspectives: P streams on the axis before time, that differ in μ alone; ``None`` for one,
        without such an axis.
      depth: of the layer in its network, from 0 to 1; where decays and μ start depends on it.
      spread: standard deviation of the streams' μ about the first one's at the start; without
        it they would stay the same.
      method: as in :func:`linear_recurrence`.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of the four kernels.
    """

    features: int | None = None
    perspectives: int | None = None
    depth: float = 0.0
    spread: float = 0.1
    method: Method | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch time units"], state: TimeMixState | None = None
    ) -> tuple[Float[Array, "*batch time features"], TimeMixState]:
        """Map a stretch of time from a state on; give the output and the state after it."""
        _check_inputs(self, x)
        units, kept = x.shape[-1], self.param_dtype
        features = units if self.features is None else self.features
        require_count("RWKVTimeMix", features=features)
        channel = jnp.arange(units) / max(units - 1, 1)

        def speeds(_, shape, dtype):
            return (-5 + 8 * channel ** (0.7 + 1.3 * self.depth)).astype(dtype)

        def first(_, shape, dtype):
            # A zigzag keeps neighbours apart.
            return jnp.log(0.3).astype(dtype) + 0.5 * ((jnp.arange(units) + 1) % 3 - 1).astype(
                dtype
            )

        speed = self.param("log_decay", speeds, (units,), kept)
        bonus = self.param("bonus", first, (units,), kept)
        shapes = {"key": units, "value": units, "receptance": units, "out": features}
        kernels = [
            self.param(f"{name}_kernel", self.kernel_init, (units, size), kept)
            for name, size in shapes.items()
        ]
        ramp = (jnp.arange(units) / units) ** (1 - self.depth)
        mixes = {"key": ramp, "value": ramp + 0.3 * self.depth, "receptance": 0.5 * ramp}
        mixes = [_mix(self, name, center) for name, center in mixes.items()]
        x, *arrays = promote_dtype(x, *kernels, *mixes, dtype=self.dtype)
        kernels, mixes = arrays[:4], arrays[4:]
        last = None if state is None else state.last
        before = _shift(x, last)
        k, v, r = (
            jnp.dot(_blend(x, before, mix), kernel)
            for mix, kernel in zip(mixes, kernels[:3], strict=True)
        )
        decay = jnp.exp(speed.astype(accumulation_dtype(speed.dtype)))
        sums = None if state is None else state.sums
        y, sums = wkv(k, v, decay, bonus, sums, method=self.method)
        return jnp.dot(jax.nn.sigmoid(r) * y, kernels[3]), TimeMixState(x[..., -1, :], sums)


class RWKVChannelMix(nn.Module):
    """Mix over channels: σ(r) W_v relu(W_k x̃)², with r and x̃ of shifted inputs.

    Attributes:
      hidden: width between the two kernels; four times that of the inputs, if ``None``.
      perspectives: as in :class:`RWKVTimeMix`.
      depth: as there.
      spread: as there.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of the three kernels.
    """

    hidden: int | None = None
    perspectives: int | None = None
    depth: float = 0.0
    spread: float = 0.1
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time units"],
        state: Float[Array, "*streams units"] | None = None,
    ) -> tuple[Float[Array, "*batch time units"], Float[Array, "*streams units"]]:
        """Map a stretch of time from a state on; the state is the input of the last step."""
        _check_inputs(self, x)
        units, kept = x.shape[-1], self.param_dtype
        hidden = 4 * units if self.hidden is None else self.hidden
        require_count("RWKVChannelMix", hidden=hidden)
        shapes = {"key": (units, hidden), "value": (hidden, units), "receptance": (units, units)}
        kernels = [
            self.param(f"{name}_kernel", self.kernel_init, shape, kept)
            for name, shape in shapes.items()
        ]
        ramp = (jnp.arange(units) / units) ** (1 - self.depth)
        mixes = [_mix(self, name, ramp) for name in ("key", "receptance")]
        x, key, value, receptance, *mixes = promote_dtype(x, *kernels, *mixes, dtype=self.dtype)
        before = _shift(x, state)
        k = jnp.square(jax.nn.relu(jnp.dot(_blend(x, before, mixes[0]), key)))
        r = jax.nn.sigmoid(jnp.dot(_blend(x, before, mixes[1]), receptance))
        return r * jnp.dot(k, value), x[..., -1, :]


def _check_inputs(layer: RWKVTimeMix | RWKVChannelMix, x: jax.Array) -> None:
    where, streams = type(layer).__name__, layer.perspectives
    require_array(where, x=x)
    require(0 <= layer.depth <= 1, where, "depth", layer.depth, "a number from 0 to 1")
    if streams is None:
        require_rank(where, "x", x, 2, "(*batch, time, units)")
    else:
        require_count(where, perspectives=streams)
        ok = x.ndim >= 3 and x.shape[-3] == streams
        require(ok, where, "x", x, f"shape (*batch, {streams}, time, units)")


def _mix(layer: RWKVTimeMix | RWKVChannelMix, name: str, center: jax.Array) -> jax.Array:
    """Own the μ of one kind, of every stream."""

    def start(key, shape, dtype):
        streams = jnp.broadcast_to(center.astype(dtype), shape)
        if len(shape) == 1:
            return streams
        return streams.at[1:].add(layer.spread * jax.random.normal(key, shape, dtype)[1:])

    streams = () if layer.perspectives is None else (layer.perspectives,)
    return layer.param(f"{name}_mix", start, (*streams, *center.shape), layer.param_dtype)


def _shift(x: jax.Array, last: jax.Array | None) -> jax.Array:
    """Give the step before each step."""
    first = jnp.zeros_like(x[..., :1, :]) if last is None else last[..., None, :].astype(x.dtype)
    return jnp.concatenate([first, x[..., :-1, :]], axis=-2)


def _blend(x: jax.Array, before: jax.Array, mix: jax.Array) -> jax.Array:
    mix = jnp.broadcast_to(mix[..., None, :] if mix.ndim == 2 else mix, x.shape)
    return mix * x + (1 - mix) * before
