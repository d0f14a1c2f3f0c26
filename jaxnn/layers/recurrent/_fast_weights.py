r"""Fast weights: matrices that the input writes to, and one that writes to itself.

The delta rule replaces what a matrix W gives for a key, by a rate, with a wanted value:

.. math:: W_t = W_{t-1} + \beta_t (v_t - W_{t-1} k_t) k_t^\top, \quad y_t = W_t q_t

A self-referential matrix is its own slow network: what it gives for an input holds the output,
the key and the query of its own change, and the rates of it.

.. math::
    [y_t, k_t, q_t, \beta_t] = W_{t-1} \phi(x_t), \quad
    W_t = W_{t-1} + \sigma(\beta_t) (W_{t-1} \phi(q_t) - W_{t-1} \phi(k_t)) \phi(k_t)^\top

=====  ===========================================================================
W      ``state``, ``(*batch, heads, rows, width)``, float32 or wider
x      input, ``(*batch, time, heads, width)``
k q v  ``key``, ``query``, ``value``
β      ``rate`` of the delta rule; the last four of W's rows give the logits of
       the rates at which its rows of y, k, q and β change
φ      ``feature_map``
=====  ===========================================================================

Nothing bounds a self-referential W: on random inputs it was seen to grow a hundredfold in 16,384
steps, and its outputs with it.

Sources: "A Modern Self-Referential Weight Matrix That Learns to Modify Itself" (2022), section
3; its delta rule is that of "Linear Transformers Are Secretly Fast Weight Programmers" (2021).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype

FeatureMap = Callable[[jax.Array], jax.Array]
RATES = 4  # of the rows of y, k, q and of these rates themselves


def delta_rule_step(
    state: Float[Array, "*batch values keys"],
    key: Float[Array, "*batch keys"],
    value: Float[Array, "*batch values"],
    query: Float[Array, "*batch keys"],
    rate: Float[Array, "*batch"],
) -> tuple[Float[Array, "*batch values keys"], Float[Array, "*batch values"]]:
    """Write a value to a matrix of fast weights by the delta rule, then read it by a query.

    Args:
      state: W.
      key: k, its features; of length 1 for W k to become v where the rate is 1.
      value: v.
      query: q, its features.
      rate: β, from 0, which writes nothing, to 1.

    Returns:
      The matrix after the write, in the dtype of ``state``; y in that of ``value``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> key, value = jnp.array([0.6, 0.8]), jnp.array([3.0])
      >>> state, y = delta_rule_step(jnp.ones((1, 2)), key, value, key, jnp.array(1.0))
      >>> y.round(5).tolist()
      [3.0]
    """
    where = "delta_rule_step"
    require_array(where, state=state, key=key, value=value, query=query, rate=rate)
    require_rank(where, "state", state, 2, "(*batch, values, keys)")
    *batch, values, keys = state.shape
    sizes = {"key": (key, (keys,)), "query": (query, (keys,)), "value": (value, (values,))}
    for name, (x, tail) in {**sizes, "rate": (rate, ())}.items():
        shape = (*batch, *tail)
        require(x.shape == shape, where, name, x, f"shape {shape}")
    wide = accumulation_dtype(state.dtype)
    w, k, v, q = (x.astype(wide) for x in (state, key, value, query))
    change = rate.astype(wide)[..., None] * (v - _times(w, k))
    w = w + change[..., None] * k[..., None, :]
    return w.astype(state.dtype), _times(w, q).astype(value.dtype)


def self_referential_step(
    state: Float[Array, "*batch rows width"],
    x: Float[Array, "*batch width"],
    *,
    feature_map: FeatureMap = jax.nn.softmax,
) -> tuple[Float[Array, "*batch rows width"], Float[Array, "*batch features"]]:
    """Let a matrix map an input, and change itself as it says.

    Args:
      state: W, with rows for y, for k and q, of ``width`` each, and for four rates.
      x: one input for each matrix.
      feature_map: φ, on the last axis.

    Returns:
      The matrix after its change, in the dtype of ``state``; y, made by the matrix before, in
      that of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Source: "A Modern Self-Referential Weight Matrix That Learns to Modify Itself" (2022),
    equations 5 to 8.
    """
    where = "self_referential_step"
    require_array(where, state=state, x=x)
    require_rank(where, "state", state, 2, "(*batch, rows, width)")
    *batch, rows, width = state.shape
    require(x.shape == (*batch, width), where, "x", x, f"shape {(*batch, width)}")
    outputs = rows - 2 * width - RATES
    needs = f"more than 2 x {width} + {RATES} rows: those of y, k, q and the rates"
    require(outputs > 0, where, "state", state, needs)
    wide = accumulation_dtype(state.dtype)
    w = state.astype(wide)
    y, k, q, rates = jnp.split(
        _times(w, feature_map(x.astype(wide))),
        (outputs, outputs + width, outputs + 2 * width),
        axis=-1,
    )
    k, q = feature_map(k), feature_map(q)
    blocks = jnp.repeat(
        jax.nn.sigmoid(rates),
        jnp.array([outputs, width, width, RATES]),
        axis=-1,
        total_repeat_length=rows,
    )
    # W φ(q) - W φ(k), in one product.
    change = blocks * _times(w, q - k)
    w = w + change[..., None] * k[..., None, :]
    return w.astype(state.dtype), y.astype(x.dtype)


def _times(w: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.einsum("...ij,...j->...i", w, x)


def delta_rule(
    key: Float[Array, "*batch time heads keys"],
    value: Float[Array, "*batch time heads values"],
    query: Float[Array, "*batch time heads keys"],
    rate: Float[Array, "*batch time heads"],
    state: Float[Array, "*batch heads values keys"] | None = None,
) -> tuple[Float[Array, "*batch time heads values"], Float[Array, "*batch heads values keys"]]:
    """Run :func:`delta_rule_step` over time.

    Args:
      key: k of every step.
      value: v.
      query: q.
      rate: β.
      state: W before; zeros if ``None``.

    Returns:
      y in the dtype of ``value``, and W after the last step in float32 or wider, from which
      the next stretch of time goes on.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    where = "delta_rule"
    require_array(where, key=key, value=value, query=query, rate=rate)
    require_rank(where, "key", key, 3, "(*batch, time, heads, keys)")
    shape = key.shape
    tails = {"value": (value, value.shape[-1:]), "query": (query, shape[-1:]), "rate": (rate, ())}
    for name, (x, tail) in tails.items():
        needs = (*shape[:-1], *tail)
        require(x.shape == needs, where, name, x, f"shape {needs}, as `key`")
    wide = accumulation_dtype(value.dtype)
    before = (*shape[:-3], shape[-2], value.shape[-1], shape[-1])
    if state is None:
        state = jnp.zeros(before, wide)
    require(state.shape == before, where, "state", state, f"shape {before}")
    time = len(shape) - 3

    def step(state, now):
        return delta_rule_step(state, *now)

    by_time = tuple(jnp.moveaxis(x, time, 0) for x in (key, value, query, rate))
    state, y = lax.scan(step, state.astype(wide), by_time)
    return jnp.moveaxis(y, 0, time), state


def self_referential(
    x: Float[Array, "*batch time heads width"],
    state: Float[Array, "*batch heads rows width"],
    *,
    feature_map: FeatureMap = jax.nn.softmax,
) -> tuple[Float[Array, "*batch time heads features"], Float[Array, "*batch heads rows width"]]:
    """Run :func:`self_referential_step` over time.

    Args:
      x: inputs of every step.
      state: W before.
      feature_map: φ, on the last axis.

    Returns:
      y in the dtype of ``x``, and W after the last step in float32 or wider, from which the
      next stretch of time goes on.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    where = "self_referential"
    require_array(where, x=x, state=state)
    require_rank(where, "x", x, 3, "(*batch, time, heads, width)")
    *batch, _, heads, width = x.shape
    ok = state.ndim == x.ndim and (*state.shape[:-2], state.shape[-1]) == (*batch, heads, width)
    needs = f"shape {(*batch, heads, 'rows', width)}"
    require(ok, where, "state", state, needs)
    time = x.ndim - 3

    def step(state, now):
        return self_referential_step(state, now, feature_map=feature_map)

    wide = accumulation_dtype(state.dtype)
    state, y = lax.scan(step, state.astype(wide), jnp.moveaxis(x, time, 0))
    return jnp.moveaxis(y, 0, time), state


class DeltaNet(nn.Module):
    """Heads of fast weights, written by the delta rule; see :func:`delta_rule`.

    Attributes:
      features: size of the output's last axis.
      num_heads: heads, whose keys and values have ``head_width`` entries each.
      head_width: as said.
      feature_map: φ of keys and queries.
      dtype: compute in this dtype; ``None`` promotes input and parameters. W stays in float32.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of both kernels.
    """

    features: int
    num_heads: int = 1
    head_width: int = 16
    feature_map: FeatureMap = jax.nn.softmax
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time inputs"],
        state: Float[Array, "*batch heads values keys"] | None = None,
    ) -> tuple[Float[Array, "*batch time features"], Float[Array, "*batch heads values keys"]]:
        """Map a stretch of time from a state on; give the output and the state after it."""
        require_array("DeltaNet", x=x)
        require_rank("DeltaNet", "x", x, 2, "(*batch, time, inputs)")
        heads, width = self.num_heads, self.head_width
        require_count("DeltaNet", features=self.features, num_heads=heads, head_width=width)
        shape = (x.shape[-1], heads * (3 * width + 1))
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        out = self.param(
            "out_kernel", self.kernel_init, (heads * width, self.features), self.param_dtype
        )
        x, kernel, out = promote_dtype(x, kernel, out, dtype=self.dtype)
        parts = jnp.dot(x, kernel).reshape(*x.shape[:-1], heads, 3 * width + 1)
        key, query, value, rate = jnp.split(parts, (width, 2 * width, 3 * width), axis=-1)
        y, state = delta_rule(
            self.feature_map(key),
            value,
            self.feature_map(query),
            jax.nn.sigmoid(rate[..., 0]),
            state,
        )
        return jnp.dot(y.reshape(*x.shape[:-1], heads * width), out), state


class SelfReferential(nn.Module):
    """Heads of self-referential weights, each on its part of x; see :func:`self_referential`.

    Attributes:
      features: size of the output's last axis, a multiple of the heads.
      num_heads: heads; they divide the inputs too.
      rate_logit: σ⁻¹ of the rates at the start, exact where φ(x) sums to 1, as softmax does.
      feature_map: φ.
      dtype: dtype of inputs and outputs; ``None`` keeps the input's. W stays in float32.
      param_dtype: dtype the parameters are kept in.
      weights_init: initialiser of W at the start but for the rates' rows, called for one head
        with the shape ``(width, rows)``.
    """

    features: int
    num_heads: int = 1
    rate_logit: float = -1.0
    feature_map: FeatureMap = jax.nn.softmax
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    weights_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time inputs"],
        state: Float[Array, "*batch heads rows width"] | None = None,
    ) -> tuple[Float[Array, "*batch time features"], Float[Array, "*batch heads rows width"]]:
        """Map a stretch of time from a state on; give the output and the state after it.

        The state is W itself; ``None`` starts from the learned one.
        """
        where, heads = "SelfReferential", self.num_heads
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, inputs)")
        require_count(where, features=self.features, num_heads=heads)
        ok = x.shape[-1] % heads == 0
        require(ok, where, "x", x, f"a last axis that `num_heads` = {heads} divides")
        needs = f"a multiple of `num_heads`, {heads}"
        require(self.features % heads == 0, where, "features", self.features, needs)
        width = x.shape[-1] // heads
        rows = self.features // heads + 2 * width

        def start(key, shape, dtype):
            keys = jax.random.split(key, heads)
            w = [self.weights_init(k, (width, rows), dtype).T for k in keys]
            return jnp.pad(
                jnp.stack(w), ((0, 0), (0, RATES), (0, 0)), constant_values=self.rate_logit
            )

        weights = self.param("weights", start, (heads, rows + RATES, width), self.param_dtype)
        if state is None:
            state = jnp.broadcast_to(weights, (*x.shape[:-2], *weights.shape))
        if self.dtype is not None:
            x = x.astype(self.dtype)
        y, state = self_referential(
            x.reshape(*x.shape[:-1], heads, width), state, feature_map=self.feature_map
        )
        return y.reshape(*x.shape[:-1], self.features), state
