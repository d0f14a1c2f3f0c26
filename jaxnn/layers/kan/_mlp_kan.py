r"""A mixture of perceptrons and Kolmogorov-Arnold networks, of which each token takes two.

.. math::
    y = \sum_{e \in T} g_e E_e(x), \quad
    g_T = \mathrm{softmax}((x W)_T), \quad T = \text{the k largest entries of } x W

The first experts are perceptrons for representations, :math:`\mathrm{gelu}(x U + a) D + c`; the
others are two Kolmogorov-Arnold layers of reflectional switches, for functions:

.. math::
    h = b(\mathrm{LN}(x)) C, \quad y = b(\mathrm{LN}(h)) C', \quad
    b_m(x) = 1 - \tanh^2\Bigl(\frac{x - c_m}{h}\Bigr)

Softmax over all experts, then renormalising the k that are kept, is softmax over those k.
It lives beside the KAN layers because its experts are built of them and of
:func:`feed_forward`'s formula; it fits the ``feedforward`` slot of a transformer block.

===========  ===============================================================
x            input, ``(*batch, features)``
W            ``gate_kernel``, ``(features, experts)``
U, a         ``up_kernel`` (mlps, features, hidden), ``up_bias``
D, c         ``down_kernel`` (mlps, hidden, outputs), ``down_bias``
C, C'        ``inner`` (kans, functions, features, hidden), ``outer``
===========  ===============================================================

Source: "MLP-KAN: Unifying Deep Representation and Function Learning" (2024), and for its function
experts FasterKAN, without its learned grids; the layer normalisations here have no parameters.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.kan._families import switch_basis
from jaxnn.layers.kan._layer import Basis, kan_layer


def top_k_gates(logits: Float[Array, "*batch experts"], *, k: int = 2) -> Float[Array, "..."]:
    """Weigh the k likeliest experts of each token, and no others.

    Args:
      logits: any leading axes, then experts.
      k: number of experts with a weight above 0; of equal ones, those that come first.

    Returns:
      Weights of the shape and dtype of ``logits``; those of a token sum to 1. Gradients flow to
      the logits of its k experts.

    Raises:
      TypeError: ``logits`` is not a floating-point array.
      ValueError: ``k`` is not a whole number from 1 to the number of experts.

    Example:
      >>> top_k_gates(jnp.array([0.0, 1.0, 1.0, -9.0])).tolist()
      [0.0, 0.5, 0.5, 0.0]
    """
    where = "top_k_gates"
    require_array(where, logits=logits)
    require_rank(where, "logits", logits, 1, "(*batch, experts)")
    experts = logits.shape[-1]
    require_count(where, k=k)
    require(k <= experts, where, "k", k, f"at most {experts}, the number of experts")
    wide = logits.astype(accumulation_dtype(logits.dtype))
    values, chosen = jax.lax.top_k(wide, k)
    weights = jax.nn.softmax(values, axis=-1)
    places = jax.nn.one_hot(chosen, experts, dtype=weights.dtype)
    return jnp.sum(weights[..., None] * places, axis=-2).astype(logits.dtype)


def switch_kan(
    x: Float[Array, "*batch features"],
    inner: Float[Array, "functions features hidden"],
    outer: Float[Array, "functions hidden outputs"],
    *,
    basis: Basis = switch_basis,
    epsilon: float = 1e-5,
) -> Float[Array, "*batch outputs"]:
    """Apply two Kolmogorov-Arnold layers, each to its input normalised over the features.

    Args:
      x: any leading axes, then features.
      inner: C, coefficients of the first layer.
      outer: C', of the second.
      basis: as :func:`kan_layer` takes it.
      epsilon: added to the variance of the normalisations.

    Returns:
      An array in the dtype of ``x``.

    Raises:
      TypeError: an argument is not a floating-point array.
      ValueError: sizes disagree (raised by :func:`kan_layer`).
    """
    require_array("switch_kan", x=x, inner=inner, outer=outer)
    hidden = kan_layer(_normalized(x, epsilon), inner, basis=basis)
    return kan_layer(_normalized(hidden, epsilon), outer, basis=basis)


def _normalized(x: jax.Array, epsilon: float) -> jax.Array:
    wide = x.astype(accumulation_dtype(x.dtype))
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


class MLPKAN(nn.Module):
    """The mixture with its parameters, all experts of a kind stacked along a first axis.

    Every expert is computed for every token, in a few batched products, and weighed by gates of
    which all but ``k`` are 0: right for few experts on one device, where nothing is gained by
    sending tokens about; the cost is that of all experts. The gates are sown into
    ``intermediates`` as ``gates``, ``(*batch, experts)``, perceptrons first.

    Attributes:
      mlp_experts: number of perceptrons.
      kan_experts: number of Kolmogorov-Arnold networks.
      k: experts of each token.
      hidden_features: hidden width of the experts; half of the input's if ``None``.
      features: output width; the input's if ``None``.
      grid: number of switches on each edge.
      grid_range: where the first and the last have their centres.
      activation: of the perceptrons.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    mlp_experts: int = 4
    kan_experts: int = 4
    k: int = 2
    hidden_features: int | None = None
    features: int | None = None
    grid: int = 8
    grid_range: tuple[float, float] = (-2.0, 2.0)
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        where = "MLPKAN"
        require_array(where, x=x)
        require_rank(where, "x", x, 1, "(*batch, inputs)")
        for name in ("mlp_experts", "kan_experts"):
            count = getattr(self, name)
            require(isinstance(count, int) and count >= 0, where, name, count, "an integer >= 0")
        experts = self.mlp_experts + self.kan_experts
        require(experts > 0, where, "mlp_experts", self.mlp_experts, "an expert of either kind")
        require_count(where, k=self.k)
        require(self.k <= experts, where, "k", self.k, f"at most {experts}, the number of experts")
        width, inputs = self.hidden_features or max(x.shape[-1] // 2, 1), x.shape[-1]
        outputs = self.features or inputs
        rows = x.reshape(math.prod(x.shape[:-1]), inputs)
        drawn = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        kernel = self.param("gate_kernel", drawn, (inputs, experts), self.param_dtype)
        rows, kernel = promote_dtype(rows, kernel, dtype=self.dtype)
        wide = accumulation_dtype(rows.dtype)
        logits = jnp.dot(rows, kernel, preferred_element_type=wide)
        gates = top_k_gates(logits, k=self.k)
        self.sow("intermediates", "gates", gates.reshape(*x.shape[:-1], experts))
        answers = []
        if self.mlp_experts:
            answers.append(self._perceptrons(rows, width, outputs))
        if self.kan_experts:
            answers.append(self._switches(rows, width, outputs).astype(wide))
        y = jnp.einsum("ne,eno->no", gates, jnp.concatenate(answers))
        return y.astype(rows.dtype).reshape(*x.shape[:-1], outputs)

    def _perceptrons(self, x: jax.Array, width: int, outputs: int) -> jax.Array:
        experts, inputs = self.mlp_experts, x.shape[-1]
        drawn = nn.initializers.variance_scaling(1.0, "fan_in", "normal", batch_axis=0)
        zeros = nn.initializers.zeros
        shapes = {
            "up_kernel": (drawn, (experts, inputs, width)),
            "up_bias": (zeros, (experts, width)),
            "down_kernel": (drawn, (experts, width, outputs)),
            "down_bias": (zeros, (experts, outputs)),
        }
        values = [
            self.param(name, init, shape, self.param_dtype)
            for name, (init, shape) in shapes.items()
        ]
        x, up, a, down, c = promote_dtype(x, *values, dtype=x.dtype)
        wide = accumulation_dtype(x.dtype)
        hidden = jnp.einsum("ni,eih->enh", x, up, preferred_element_type=wide)
        hidden = self.activation(hidden + a.astype(wide)[:, None]).astype(x.dtype)
        y = jnp.einsum("enh,eho->eno", hidden, down, preferred_element_type=wide)
        return y + c.astype(wide)[:, None]

    def _switches(self, x: jax.Array, width: int, outputs: int) -> jax.Array:
        low, high = self.grid_range
        basis = functools.partial(switch_basis, grid=self.grid, low=low, high=high)
        shapes = {
            "inner": (self.kan_experts, self.grid, x.shape[-1], width),
            "outer": (self.kan_experts, self.grid, width, outputs),
        }
        # Of normalised inputs; a switch and its neighbours have squares of about 4 / 3 together.
        drawn = nn.initializers.variance_scaling(
            0.75 * self.grid, "fan_in", "normal", in_axis=(1, 2), batch_axis=0
        )
        values = [
            self.param(name, drawn, shape, self.param_dtype) for name, shape in shapes.items()
        ]
        x, inner, outer = promote_dtype(x, *values, dtype=x.dtype)
        return jax.vmap(functools.partial(switch_kan, x, basis=basis))(inner, outer)
