r"""Hierarchically gated recurrences, whose forget gates have a lower bound that grows with depth.

.. math:: f_t = \gamma + (1 - \gamma) \odot \sigma(z_t), \quad
    h_t = f_t \odot e^{i\theta} \odot h_{t-1} + (1 - f_t) \odot c_t

The lowest layer may forget all at once, an upper one keeps at least γ of its state at each step;
a layer's states turn by fixed angles, and how far back a state reaches is up to the input.

===========  ================================================================
c            ``candidates``, complex, kept as real parts then imaginary parts
z            ``gates``, the forget gates before their sigmoid
γ            ``bound``, in [0, 1), one row of :func:`forget_bounds`
θ            ``angles``
h            the states, complex
===========  ================================================================

Source: "Hierarchically Gated Recurrent Neural Network for Sequence Modeling" (2023).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Complex, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.normalization import LayerNorm
from jaxnn.layers.recurrent._linear import Method, linear_recurrence


def forget_bounds(logits: Float[Array, "layers units"]) -> Float[Array, "layers units"]:
    r"""Give the lower bounds of the forget gates of all layers of a network.

    .. math:: \gamma_k = \sum_{j < k} P_j, \quad P = \mathrm{softmax}(\Gamma) \text{ over layers}

    Zero in the first layer, growing with every further one, below one in the last, whatever the
    logits: each layer adds its share, and that of the last is left out.

    Args:
      logits: Γ, the same parameters for the whole network.

    Returns:
      γ, one row a layer.

    Raises:
      TypeError: ``logits`` is not an array of floating-point numbers.
      ValueError: ``logits`` does not have two axes.

    Differs: the paper leaves out the share of the first layer where this leaves out that of the
    last; one is the other with the rows of Γ moved by one.

    Example:
      >>> forget_bounds(jnp.zeros((4, 1)))[:, 0].tolist()
      [0.0, 0.25, 0.5, 0.75]
    """
    require_array("forget_bounds", logits=logits)
    require(logits.ndim == 2, "forget_bounds", "logits", logits, "shape (layers, units)")
    wide = logits.astype(accumulation_dtype(logits.dtype))
    shares = jax.nn.softmax(wide, axis=0)
    # Exclusive: sums of the rows before, not the inclusive sum less its own row, which rounds.
    sums = jnp.cumsum(shares[:-1], axis=0)
    return jnp.concatenate([jnp.zeros_like(shares[:1]), sums]).astype(logits.dtype)


def hierarchical_recurrence(
    candidates: Float[Array, "*batch time parts"],
    gates: Float[Array, "*batch time units"],
    bound: Float[Array, " units"] | None = None,
    angles: Float[Array, " units"] | None = None,
    state: Complex[Array, "*batch units"] | None = None,
    *,
    method: Method | None = None,
) -> tuple[Float[Array, "*batch time parts"], Complex[Array, "*batch units"]]:
    r"""Run the hierarchically gated recurrence over time.

    Args:
      candidates: c, the real parts of all units, then the imaginary ones: twice as many as units.
      gates: z; large values keep the state.
      bound: γ; zeros if ``None``: gates without a bound.
      angles: θ, by which the state turns at each step; none if ``None``.
      state: h before; zeros if ``None``.
      method: as in :func:`linear_recurrence`.

    Returns:
      h as real parts, then imaginary parts, in the dtype of ``candidates``; and h after the last
      step in complex64 or wider, from which the next stretch of time goes on. Every h is at most
      as large as the largest c, or the state before.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> candidates, gates = jnp.ones((2, 2)), jnp.zeros((2, 1))
      >>> hierarchical_recurrence(candidates, gates)[0].tolist()
      [[0.5, 0.5], [0.75, 0.75]]
    """
    where = "hierarchical_recurrence"
    require_array(where, candidates=candidates, gates=gates)
    require_rank(where, "gates", gates, 2, "(*batch, time, units)")
    units = gates.shape[-1]
    shape = (*gates.shape[:-1], 2 * units)
    needs = f"shape {shape}, twice as many parts as `gates` has units"
    require(candidates.shape == shape, where, "candidates", candidates, needs)
    wide = accumulation_dtype(candidates.dtype)
    z, c = gates.astype(wide), candidates.astype(wide)
    keep, take = jax.nn.sigmoid(z), jax.nn.sigmoid(-z)
    for name, row in (("bound", bound), ("angles", angles)):
        if row is not None:
            require_array(where, floating=True, **{name: row})
            require(row.shape == (units,), where, name, row, f"shape {(units,)}")
    if bound is not None:
        low = jnp.broadcast_to(bound.astype(wide), z.shape)
        # 1 - f as a product: the difference would round to zero where f is near one.
        keep, take = low + (1 - low) * keep, (1 - low) * take
    turn = jnp.zeros(units, wide) if angles is None else angles.astype(wide)
    cosine, sine = (jnp.broadcast_to(part, z.shape) for part in (jnp.cos(turn), jnp.sin(turn)))
    decay = jax.lax.complex(keep * cosine, keep * sine)
    if state is not None:
        require_array(where, floating=False, state=state)
        needs = f"shape {(*gates.shape[:-2], units)}"
        require(state.shape == (*gates.shape[:-2], units), where, "state", state, needs)
        state = state.astype(decay.dtype)
    drive = jax.lax.complex(take * c[..., :units], take * c[..., units:])
    h = linear_recurrence(decay, drive, state, method=method)
    packed = jnp.concatenate([h.real, h.imag], axis=-1)
    return packed.astype(candidates.dtype), h[..., -1, :]


class HGRN(nn.Module):
    r"""A token mixer around :func:`hierarchical_recurrence`, with an output norm and gate.

    .. math:: c = \mathrm{SiLU}(W_c x), \quad z = W_z x, \quad
        y = W_o \big(\mathrm{LayerNorm}([\Re h, \Im h]) \odot g(W_g x)\big)

    The bound belongs to the network and not to one layer: keep the logits of
    :func:`forget_bounds` beside the layers and give each its row at the call.

    Attributes:
      features: size of the output's last axis.
      units: complex states; as many as features if ``None``.
      base: angles at the start fall from 1 to 1 / base over the units, as in rotary embeddings.
      gate_fn: g.
      method: as in :func:`linear_recurrence`.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of all kernels.
    """

    features: int
    units: int | None = None
    base: float = 10_000.0
    gate_fn: Callable[[jax.Array], jax.Array] = nn.silu
    method: Method | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time inputs"],
        state: Complex[Array, "*batch units"] | None = None,
        *,
        bound: Float[Array, " units"] | None = None,
    ) -> tuple[Float[Array, "*batch time features"], Complex[Array, "*batch units"]]:
        """Map a stretch of time from a state on; give the output and the state after it.

        Args:
          x: any number of time steps, down to one.
          state: what the call before gave; zeros if ``None``.
          bound: γ of this layer; zeros if ``None``.

        Returns:
          The output and the state after the last step.
        """
        units = self.features if self.units is None else self.units
        require_array("HGRN", x=x)
        require_count("HGRN", features=self.features, units=units)
        require_rank("HGRN", "x", x, 2, "(*batch, time, inputs)")

        def dense(features, name):
            return nn.Dense(
                features,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                kernel_init=self.kernel_init,
                name=name,
            )

        def turns(_, shape, dtype):
            return self.base ** (-jnp.arange(shape[0]) / shape[0]).astype(dtype)

        angles = self.param("angles", turns, (units,), self.param_dtype)
        # One product for all that the input drives: candidates, forget gates, output gates.
        drive = dense(5 * units, "inputs")(x)
        candidates, gates, shown = jnp.split(drive, (2 * units, 3 * units), axis=-1)
        h, state = hierarchical_recurrence(
            nn.silu(candidates), gates, bound, angles, state, method=self.method
        )
        norm = LayerNorm(dtype=self.dtype, param_dtype=self.param_dtype, name="norm")
        return dense(self.features, "outputs")(norm(h) * self.gate_fn(shown)), state
