r"""Gated cells whose recurrent kernels are of low rank, plus a diagonal.

.. math:: K_g = P_g Q_g + \operatorname{diag}(v_g)

What passes a gated cell unchanged needs no kernel, so that the state may be wide while the
kernels, thin, have few parameters: 2 n d + n for each gate and not n². The input's products
come to the steps ready made, for they need not wait for the state.

===  ===============================================================================
h    ``state``, ``(*batch, units)``; of the LSTM (c, h)
P    ``down``, ``(gates, units, rank)``
Q    ``up``, ``(gates, rank, units)``
v    ``diagonal``, ``(gates, units)``
a    ``drive``, the input's products with their biases, ``(*batch, gates units)``
===  ===============================================================================

Source: "Low-rank passthrough neural networks" (2016).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype

Pair = tuple[Float[Array, "*batch units"], Float[Array, "*batch units"]]


def low_rank_products(
    x: Float[Array, "*batch units"],
    down: Float[Array, "gates units rank"],
    up: Float[Array, "gates rank units"],
    diagonal: Float[Array, "gates units"] | None = None,
) -> Float[Array, "*batch gates units"]:
    """Multiply by P Q + diag(v) for every gate, without ever making the full kernels.

    Args:
      x: rows to multiply.
      down: P.
      up: Q.
      diagonal: v; none if ``None``.

    Returns:
      x (P Q + diag(v)) for each gate, in the dtype of ``x``; summed in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> down, up = jnp.ones((1, 2, 1)), jnp.ones((1, 1, 2))
      >>> low_rank_products(jnp.array([1.0, 2.0]), down, up, jnp.full((1, 2), 10.0)).tolist()
      [[13.0, 23.0]]
    """
    where = "low_rank_products"
    require_array(where, x=x, down=down, up=up)
    require_rank(where, "x", x, 1, "(*batch, units)")
    units = x.shape[-1]
    ok = down.ndim == 3 and down.shape[1] == units
    require(ok, where, "down", down, f"shape (gates, {units}, rank)")
    gates, _, rank = down.shape
    require(up.shape == (gates, rank, units), where, "up", up, f"shape {(gates, rank, units)}")
    wide = accumulation_dtype(x.dtype)
    # All gates go down in one product of the state, and up in one of each gate.
    low = jnp.einsum("...n,gnd->...gd", x, down.astype(x.dtype), preferred_element_type=wide)
    y = jnp.einsum(
        "...gd,gdn->...gn", low.astype(x.dtype), up.astype(x.dtype), preferred_element_type=wide
    )
    if diagonal is not None:
        require_array(where, diagonal=diagonal)
        require(
            diagonal.shape == (gates, units), where, "diagonal", diagonal, f"shape {(gates, units)}"
        )
        v = jnp.broadcast_to(diagonal.astype(wide), y.shape)
        y = y + v * jnp.expand_dims(x.astype(wide), -2)
    return y.astype(x.dtype)


def low_rank_gru_step(
    state: Float[Array, "*batch units"],
    drive: Float[Array, "*batch gates_units"],
    down: Float[Array, "gates units rank"],
    up: Float[Array, "gates rank units"],
    diagonal: Float[Array, "gates units"] | None = None,
    bias: Float[Array, " units"] | None = None,
) -> tuple[Float[Array, "*batch units"], Float[Array, "*batch units"]]:
    r"""Take one step of a gated recurrent unit with recurrent kernels of low rank.

    .. math:: r = \sigma(a_r + h K_r), \quad z = \sigma(a_z + h K_z), \quad
        n = \tanh(a_n + r \odot (h K_n + b)), \quad h' = (1 - z) \odot n + z \odot h

    Args:
      state: h.
      drive: a of the gates r, z and n, one after the other.
      down: P of the three gates.
      up: Q of the three gates.
      diagonal: v of the three gates; none if ``None``.
      bias: b; zeros if ``None``.

    Returns:
      h' in the dtype of ``state`` as the state, and in that of ``drive`` as the output.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Source: "Low-rank passthrough neural networks" (2016); with K whole it is Flax's GRU.
    """
    where = "low_rank_gru_step"
    wide = _check_step(where, state, drive, down, 3)
    y = low_rank_products(state, down, up, diagonal).astype(wide)
    r_in, z_in, n_in = jnp.split(drive.astype(wide), 3, axis=-1)
    candidate = y[..., 2, :]
    if bias is not None:
        require_array(where, bias=bias)
        require(bias.shape == state.shape[-1:], where, "bias", bias, f"shape {state.shape[-1:]}")
        candidate = candidate + jnp.broadcast_to(bias.astype(wide), candidate.shape)
    r, z = jax.nn.sigmoid(r_in + y[..., 0, :]), jax.nn.sigmoid(z_in + y[..., 1, :])
    new = (1 - z) * jnp.tanh(n_in + r * candidate) + z * state.astype(wide)
    return new.astype(state.dtype), new.astype(drive.dtype)


def low_rank_lstm_step(
    state: Pair,
    drive: Float[Array, "*batch gates_units"],
    down: Float[Array, "gates units rank"],
    up: Float[Array, "gates rank units"],
    diagonal: Float[Array, "gates units"] | None = None,
) -> tuple[Pair, Float[Array, "*batch units"]]:
    r"""Take one step of a long short-term memory with recurrent kernels of low rank.

    .. math:: c' = \sigma(f) \odot c + \sigma(i) \odot \tanh(g), \quad
        h' = \sigma(o) \odot \tanh(c')

    with each of i, f, g and o the sum a + h K of its gate.

    Args:
      state: c and h.
      drive: a of the gates i, f, g and o, one after the other.
      down: P of the four gates.
      up: Q of the four gates.
      diagonal: v of the four gates; none if ``None``.

    Returns:
      c' and h' in the dtypes of ``state``, and h' in that of ``drive`` as the output.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Source: "Low-rank passthrough neural networks" (2016); with K whole it is Flax's LSTM.
    """
    where = "low_rank_lstm_step"
    c, h = state
    wide = _check_step(where, h, drive, down, 4)
    require(c.shape == h.shape, where, "state", c, f"shape {h.shape} of c, as of h")
    y = low_rank_products(h, down, up, diagonal).astype(wide)
    i, f, g, o = (a + y[..., n, :] for n, a in enumerate(jnp.split(drive.astype(wide), 4, axis=-1)))
    sigmoid = jax.nn.sigmoid
    cell = sigmoid(f) * c.astype(wide) + sigmoid(i) * jnp.tanh(g)
    new = sigmoid(o) * jnp.tanh(cell)
    return (cell.astype(c.dtype), new.astype(h.dtype)), new.astype(drive.dtype)


def _check_step(where: str, h: jax.Array, drive: jax.Array, down: jax.Array, gates: int) -> Dtype:
    require_array(where, state=h, drive=drive, down=down)
    require_rank(where, "state", h, 1, "(*batch, units)")
    shape = (*h.shape[:-1], gates * h.shape[-1])
    require(drive.shape == shape, where, "drive", drive, f"shape {shape}")
    needs = f"shape ({gates}, {h.shape[-1]}, rank)"
    require(down.ndim == 3 and down.shape[0] == gates, where, "down", down, needs)
    return accumulation_dtype(jnp.promote_types(h.dtype, drive.dtype))


class LowRankGRUCell(nn.RNNCellBase):
    """One step of a gated recurrent unit, for ``nn.RNN``; see :func:`low_rank_gru_step`.

    Attributes:
      features: units.
      rank: d, columns of P, at most ``features``.
      use_diagonal: whether to add diag(v), which starts at zero.
      dtype: compute in this dtype; ``None`` promotes input, state and parameters.
      param_dtype: dtype of the parameters and of the state at the start.
      kernel_init: initialiser of the input's kernel.
      recurrent_kernel_init: initialiser of P and Q of each gate; orthogonal ones make P Q as
        long as a vector that it does not annul.
    """

    features: int
    rank: int
    use_diagonal: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    recurrent_kernel_init: Initializer = nn.initializers.orthogonal()

    @nn.compact
    def __call__(
        self, carry: Float[Array, "*batch units"], inputs: Float[Array, "*batch inputs"]
    ) -> tuple[Float[Array, "*batch units"], Float[Array, "*batch units"]]:
        """Take the state and one step's input; return the next state and the output."""
        drive, down, up, diagonal = _parameters(self, inputs, 3)
        zeros = nn.initializers.zeros
        bias = self.param("recurrent_bias", zeros, (self.features,), self.param_dtype)
        return low_rank_gru_step(carry, drive, down, up, diagonal, bias)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> jax.Array:
        """Make the zero state for inputs of ``input_shape``; the key is not used."""
        return jnp.zeros((*input_shape[:-1], self.features), self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1


class LowRankLSTMCell(nn.RNNCellBase):
    """One step of a long short-term memory, for ``nn.RNN``; see :func:`low_rank_lstm_step`.

    Attributes:
      features: units.
      rank: d, columns of P, at most ``features``.
      use_diagonal: whether to add diag(v), which starts at zero.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype of the parameters and of the state at the start.
      kernel_init: initialiser of the input's kernel.
      recurrent_kernel_init: initialiser of P and Q of each gate.
    """

    features: int
    rank: int
    use_diagonal: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    recurrent_kernel_init: Initializer = nn.initializers.orthogonal()

    @nn.compact
    def __call__(
        self, carry: Pair, inputs: Float[Array, "*batch inputs"]
    ) -> tuple[Pair, Float[Array, "*batch units"]]:
        """Take the state and one step's input; return the next state and the output."""
        return low_rank_lstm_step(carry, *_parameters(self, inputs, 4))

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Pair:
        """Make the zero state for inputs of ``input_shape``; the key is not used."""
        zeros = jnp.zeros((*input_shape[:-1], self.features), self.param_dtype)
        return zeros, zeros

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1


def _parameters(
    cell: LowRankGRUCell | LowRankLSTMCell, inputs: jax.Array, gates: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """Own the parameters that both cells have; give the drive, P, Q and v."""
    where, n, d = type(cell).__name__, cell.features, cell.rank
    require_array(where, inputs=inputs)
    require_count(where, features=n, rank=d)
    require(d <= n, where, "rank", d, f"at most `features`, which is {n}")

    def each_gate(key, shape, dtype):
        # By themselves: together they would be the blocks of one orthogonal matrix.
        keys = jax.random.split(key, shape[0])
        return jnp.stack([cell.recurrent_kernel_init(k, shape[1:], dtype) for k in keys])

    kept = cell.param_dtype
    kernel = cell.param("input_kernel", cell.kernel_init, (inputs.shape[-1], gates * n), kept)
    bias = cell.param("bias", nn.initializers.zeros, (gates * n,), kept)
    down = cell.param("down", each_gate, (gates, n, d), kept)
    up = cell.param("up", each_gate, (gates, d, n), kept)
    diagonal = None
    if cell.use_diagonal:
        diagonal = cell.param("diagonal", nn.initializers.zeros, (gates, n), kept)
    inputs, kernel, bias, down, up, diagonal = promote_dtype(
        inputs, kernel, bias, down, up, diagonal, dtype=cell.dtype
    )
    wide = accumulation_dtype(inputs.dtype)
    drive = jnp.dot(inputs, kernel, preferred_element_type=wide)
    drive = drive + jnp.broadcast_to(bias.astype(wide), drive.shape)
    return drive.astype(inputs.dtype), down, up, diagonal
