r"""One form for linear attention, selective state spaces and gated linear recurrences.

.. math:: h_t = \Lambda_t \odot h_{t-1} + B_t \odot u_t, \quad y_t = C_t h_t + d \odot u_t

Every channel has a state of N numbers. What is called an attention, a state space or a recurrent
network differs in how Λ, B and C are made of the input: a function for each makes the
:class:`DynamicalSystem`, :func:`dynamical_system` runs them all.

=====================  ==============  ===================  ============
system                 Λ               B                    C
=====================  ==============  ===================  ============
linear attention       f η₋ / η        i φ(k) / η           φ(q)
selective state space  exp(Δ A)        Δ b                  c
gated, quasi-LSTM      σ(f)            σ(i)                 σ(o)
gated, RG-LRU          a = ρ^(c σ(r))  √(1 - a²) σ(i)       1
=====================  ==============  ===================  ============

===========  ================================================================
u            ``u``, ``(*batch, time, channels)``: values of an attention
Λ, B, C      of the system, ``(*batch, time, channels, N)``; channels or N, or both, may be 1 where
             they are all alike
d            ``skip``, ``(channels,)``
h            the state, ``(*batch, channels, N)``
===========  ================================================================

Sources: "Understanding the differences in Foundation Models: Attention, State Space Models, and
Recurrent Neural Networks" (2024). The attention is that of "Transformers are RNNs: Fast
Autoregressive Transformers with Linear Attention" (2020), with forget gates that of "xLSTM:
Extended Long Short-Term Memory" (2024); the state space is "Mamba: Linear-Time Sequence Modeling
with Selective State Spaces" (2023), RG-LRU "Griffin: Mixing Gated Linear Recurrences with Local
Attention for Efficient Language Models" (2024).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.recurrent._linear import Method, linear_recurrence

FeatureMap = Callable[[jax.Array], jax.Array]


class DynamicalSystem(NamedTuple):
    """A diagonal linear system that changes with time.

    Attributes:
      transition: Λ.
      input_map: B.
      output_map: C.
    """

    transition: Float[Array, "*batch time channels states"]
    input_map: Float[Array, "*batch time channels states"]
    output_map: Float[Array, "*batch time channels states"]


def dynamical_system(
    u: Float[Array, "*batch time channels"],
    system: DynamicalSystem,
    skip: Float[Array, " channels"] | None = None,
    state: Float[Array, "*batch channels states"] | None = None,
    *,
    method: Method | None = None,
) -> tuple[Float[Array, "*batch time channels"], Float[Array, "*batch channels states"]]:
    r"""Run a diagonal linear system over time.

    Args:
      u: any number of time steps, down to one.
      system: Λ, B and C.
      skip: d; none if ``None``.
      state: h before; zeros if ``None``.
      method: as in :func:`linear_recurrence`.

    Returns:
      y in the dtype of ``u``, and h after the last step in float32 or wider, from which the next
      stretch of time goes on.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> one = jnp.ones((3, 1, 1))
      >>> system = DynamicalSystem(one / 2, one, one)
      >>> dynamical_system(jnp.ones((3, 1)), system)[0].tolist()
      [[1.0], [1.5], [1.75]]
    """
    where = "dynamical_system"
    require_array(where, u=u)
    require_rank(where, "u", u, 2, "(*batch, time, channels)")
    for name, array in system._asdict().items():
        require_array(where, floating=True, **{f"system.{name}": array})
    full = (*u.shape, max(array.shape[-1] for array in system))
    for name, array in system._asdict().items():
        ok = array.ndim == len(full) and all(
            have in (1, want) if axis >= u.ndim - 1 else have == want
            for axis, (have, want) in enumerate(zip(array.shape, full, strict=True))
        )
        needs = f"shape {full}, with 1 for the last two sizes where all are alike"
        require(ok, where, f"system.{name}", array, needs)
    return run_system(where, u, system, skip, state, method)


def run_system(
    where: str,
    u: jax.Array,
    system: DynamicalSystem,
    skip: jax.Array | None,
    state: jax.Array | None,
    method: Method | None,
) -> tuple[jax.Array, jax.Array]:
    """Run a system whose shapes fit those of ``u``; ``where`` is what errors name."""
    full = (*u.shape, max(array.shape[-1] for array in system))
    states = full[-1]
    wide = accumulation_dtype(u.dtype)
    us = u.astype(wide)
    decay, entry, reading = (jnp.broadcast_to(array.astype(wide), full) for array in system)
    flat = (*u.shape[:-1], u.shape[-1] * states)
    if state is not None:
        require_array(where, state=state)
        shape = (*u.shape[:-2], u.shape[-1], states)
        require(state.shape == shape, where, "state", state, f"shape {shape}")
        state = state.astype(wide).reshape(*shape[:-2], flat[-1])
    drive = entry * us[..., None]
    h = linear_recurrence(decay.reshape(flat), drive.reshape(flat), state, method=method)
    h = h.reshape(full)
    y = jnp.sum(reading * h, axis=-1)
    if skip is not None:
        require_array(where, skip=skip)
        require(skip.shape == u.shape[-1:], where, "skip", skip, f"shape {u.shape[-1:]}")
        y = y + jnp.broadcast_to(skip.astype(wide), u.shape) * us
    return y.astype(u.dtype), h[..., -1, :, :]


def taylor_features(x: Float[Array, "*batch width"], order: int) -> Float[Array, "*batch features"]:
    r"""Give features whose products are the Taylor polynomial of the exponential.

    .. math:: \phi(q)^\top \phi(k) = \sum_{p=0}^{P} \frac{(q^\top k)^p}{p!}, \quad
        \phi(x) = \Big(1, x, \frac{x \otimes x}{\sqrt{2!}}, \dots\Big)

    A linear attention with them is softmax attention in the limit of large orders.

    Args:
      x: queries or keys, already scaled.
      order: P.

    Returns:
      All products of up to P entries of x, ``1 + width + ... + width ** order`` of them.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``order`` is not a whole number above zero, or x has no axis.

    Example:
      >>> print(taylor_features(jnp.array([2.0]), 2).round(2))
      [1.   2.   2.83]
    """
    require_array("taylor_features", x=x)
    require_count("taylor_features", order=order)
    require_rank("taylor_features", "x", x, 1, "(*batch, width)")
    power = jnp.ones((*x.shape[:-1], 1), x.dtype)
    parts = [power]
    for p in range(1, order + 1):
        power = power[..., :, None] * x[..., None, :] / math.sqrt(p)
        power = power.reshape(*x.shape[:-1], -1)
        parts.append(power)
    return jnp.concatenate(parts, axis=-1)


def attention_normalizer(
    query: Float[Array, "*batch time width"],
    key: Float[Array, "*batch time width"],
    *,
    feature_map: FeatureMap,
    forget: Float[Array, "*batch time"] | None = None,
    take: Float[Array, "*batch time"] | None = None,
    method: Method | None = None,
) -> Float[Array, "*batch time"]:
    r"""Give the sum of each query's weights, by which causal linear attention is divided.

    .. math:: \eta_t = \phi(q_t)^\top n_t, \quad n_t = f_t n_{t-1} + i_t \phi(k_t)

    Args:
      query: q.
      key: k.
      feature_map: φ, on the last axis, in float32 or wider.
      forget: f, as in :func:`attention_system`.
      take: i, likewise.
      method: as in :func:`linear_recurrence`.

    Returns:
      η in float32 or wider; xLSTM divides by ``jnp.maximum(jnp.abs(η), 1)``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> one = jnp.ones((3, 1))
      >>> attention_normalizer(one, one, feature_map=jnp.abs).tolist()
      [1.0, 2.0, 3.0]
    """
    where = "attention_normalizer"
    a, b, f, i = _attention(where, query, key, feature_map, forget, take)
    decay = jnp.broadcast_to(f[..., None], b.shape)
    sums = linear_recurrence(decay, i[..., None] * b, method=method)
    return jnp.sum(a * sums, axis=-1)


def attention_system(
    query: Float[Array, "*batch time width"],
    key: Float[Array, "*batch time width"],
    normalizer: Float[Array, "*batch time"] | None = None,
    *,
    feature_map: FeatureMap,
    forget: Float[Array, "*batch time"] | None = None,
    take: Float[Array, "*batch time"] | None = None,
    before: Float[Array, "*batch"] | None = None,
) -> DynamicalSystem:
    r"""Write causal linear attention of one head as a system whose input are the values.

    .. math:: \Lambda_t = f_t \frac{\eta_{t-1}}{\eta_t}, \quad
        B_t = \frac{i_t}{\eta_t} \phi(k_t), \quad C_t = \phi(q_t)

    so that the state is Σ φ(k) v, already divided by η.

    Args:
      query: q.
      key: k.
      normalizer: η, nowhere zero: :func:`attention_normalizer` for the attention whose weights sum
        to one, any other numbers, such as the exponential of a projection of the input, or
        ``None`` for ones.
      feature_map: φ, on the last axis, in float32 or wider.
      forget: f, which make it gated linear attention; ones if ``None``.
      take: i; ones if ``None``.
      before: η of the step before the first, where the system goes on from a state that is not
        zero; that of the first step if ``None``.

    Returns:
      The system of all channels, in float32 or wider: N is the number of features.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> one = jnp.ones((3, 1))
      >>> system = attention_system(one, one, jnp.array([1.0, 2.0, 3.0]), feature_map=jnp.abs)
      >>> dynamical_system(jnp.array([[1.0], [2.0], [6.0]]), system)[0].tolist()
      [[1.0], [1.5], [3.0]]
    """
    where = "attention_system"
    a, b, f, i = _attention(where, query, key, feature_map, forget, take)
    if normalizer is None:
        require(before is None, where, "before", before, "None, as there is no `normalizer`")
        decay, entry = f, i
    else:
        eta = _gates(where, query, "normalizer", normalizer).astype(f.dtype)
        first = eta[..., :1]
        if before is not None:
            require_array(where, before=before)
            shape = query.shape[:-2]
            require(before.shape == shape, where, "before", before, f"shape {shape}")
            first = before.astype(f.dtype)[..., None]
        past = jnp.concatenate([first, eta[..., :-1]], axis=-1)
        decay, entry = f * (past / eta), i / eta
    return DynamicalSystem(
        decay[..., None, None], (entry[..., None] * b)[..., None, :], a[..., None, :]
    )


def _attention(where, query, key, feature_map, forget, take):
    """Give the features of queries and keys, and both gates, in float32 or wider."""
    require_array(where, query=query, key=key)
    require_rank(where, "query", query, 2, "(*batch, time, width)")
    require(key.shape == query.shape, where, "key", key, f"shape {query.shape}, as `query`")
    wide = accumulation_dtype(query.dtype)
    a, b = (feature_map(x.astype(wide)) for x in (query, key))
    for name, gate in (("forget", forget), ("take", take)):
        if gate is not None:
            _gates(where, query, name, gate)
    one = jnp.ones(query.shape[:-1], wide)
    f, i = (one if gate is None else gate.astype(wide) for gate in (forget, take))
    return a, b, f, i


def _gates(where, query, name, gate):
    require_array(where, floating=True, **{name: gate})
    shape = query.shape[:-1]
    require(gate.shape == shape, where, name, gate, f"shape {shape}, a number a time step")
    return gate


def selective_system(
    step: Float[Array, "*batch time channels"],
    rate: Float[Array, "channels states"],
    input_map: Float[Array, "*batch time states"],
    output_map: Float[Array, "*batch time states"],
) -> DynamicalSystem:
    r"""Write a selective state space as a system: :func:`selective_state_space` runs the same.

    .. math:: \Lambda_t = e^{\Delta_t A}, \quad B_t = \Delta_t b_t, \quad C_t = c_t

    Args:
      step: Δ, above zero.
      rate: A, below zero.
      input_map: b, for all channels.
      output_map: c, for all channels.

    Returns:
      The system, in float32 or wider. One Δ sets both how much is kept and how much taken up.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    where = "selective_system"
    require_array(where, step=step, rate=rate, input_map=input_map, output_map=output_map)
    require_rank(where, "step", step, 2, "(*batch, time, channels)")
    channels = step.shape[-1]
    ok = rate.ndim == 2 and rate.shape[0] == channels
    require(ok, where, "rate", rate, f"shape {(channels, 'states')}")
    shape = (*step.shape[:-1], rate.shape[1])
    for name, rows in (("input_map", input_map), ("output_map", output_map)):
        require(rows.shape == shape, where, name, rows, f"shape {shape}")
    wide = accumulation_dtype(step.dtype)
    delta, a, b, c = (each.astype(wide) for each in (step, rate, input_map, output_map))
    decay = jnp.exp(delta[..., None] * jnp.broadcast_to(a, (*step.shape, a.shape[1])))
    return DynamicalSystem(decay, delta[..., None] * b[..., None, :], c[..., None, :])


def gated_system(
    forget: Float[Array, "*batch time channels"],
    take: Float[Array, "*batch time channels"],
    give: Float[Array, "*batch time channels"],
) -> DynamicalSystem:
    r"""Write a quasi-LSTM as a system: three gates that see the input and not the state.

    .. math:: \Lambda_t = \sigma(f_t), \quad B_t = \sigma(i_t), \quad C_t = \sigma(o_t)

    Args:
      forget: f, before its sigmoid.
      take: i, likewise.
      give: o, likewise.

    Returns:
      The system, in float32 or wider, with one state a channel.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    where = "gated_system"
    require_array(where, forget=forget, take=take, give=give)
    require_rank(where, "forget", forget, 2, "(*batch, time, channels)")
    for name, gate in (("take", take), ("give", give)):
        require(gate.shape == forget.shape, where, name, gate, f"shape {forget.shape}")
    wide = accumulation_dtype(forget.dtype)
    gates = (jax.nn.sigmoid(gate.astype(wide))[..., None] for gate in (forget, take, give))
    return DynamicalSystem(*gates)


def real_gated_system(
    forget: Float[Array, "*batch time channels"],
    take: Float[Array, "*batch time channels"],
    rate: Float[Array, " channels"],
    *,
    power: float = 8.0,
) -> DynamicalSystem:
    r"""Write RG-LRU as a system: a linear recurrent unit, real, with gates.

    .. math:: \Lambda_t = a_t = \sigma(\rho)^{c \, \sigma(r_t)}, \quad
        B_t = \sqrt{1 - a_t^2} \, \sigma(i_t), \quad C_t = 1

    so that states of white inputs keep their variance, however long they are kept.

    Args:
      forget: r, before its sigmoid; large values forget.
      take: i, likewise.
      rate: ρ, trained, one a channel.
      power: c.

    Returns:
      The system, in float32 or wider, with one state a channel.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, or ``power`` is not above zero.
    """
    where = "real_gated_system"
    require_array(where, forget=forget, take=take, rate=rate)
    require_rank(where, "forget", forget, 2, "(*batch, time, channels)")
    require(take.shape == forget.shape, where, "take", take, f"shape {forget.shape}")
    require(rate.shape == forget.shape[-1:], where, "rate", rate, f"shape {forget.shape[-1:]}")
    require_positive(where, power=power)
    wide = accumulation_dtype(forget.dtype)
    slow = jnp.broadcast_to(jax.nn.log_sigmoid(rate.astype(wide)), forget.shape)
    log_decay = power * jax.nn.sigmoid(forget.astype(wide)) * slow
    # 1 - a² without cancellation for slow channels; its root has no slope where a is 1.
    room = jnp.maximum(-jnp.expm1(2 * log_decay), jnp.finfo(wide).tiny)
    entry = jnp.sqrt(room) * jax.nn.sigmoid(take.astype(wide))
    decay = jnp.exp(log_decay)
    return DynamicalSystem(decay[..., None], entry[..., None], jnp.ones_like(decay)[..., None])
