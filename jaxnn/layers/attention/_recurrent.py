"""What attention mechanisms can offer for reading onward: a state of fixed size, or places."""

from typing import Any, Protocol, runtime_checkable

import jax
from flax.typing import Dtype


class Attention(Protocol):
    """What every attention function is."""

    def __call__(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        *,
        mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        is_causal: bool = False,
    ) -> jax.Array:
        """Attend as any attention function does."""
        ...


@runtime_checkable
class RecurrentAttention(Attention, Protocol):
    """Attention whose causal form can be read a few time steps at a time.

    Reading a sequence in pieces gives what the causal form gives on the whole, and the state
    between the pieces does not grow with what was read, so that generation costs the same for
    every token. ``isinstance`` tells whether an attention function has the methods.

    Example:
      >>> isinstance(LinearAttention(), RecurrentAttention)
      True
      >>> isinstance(dot_product_attention, RecurrentAttention)
      False
    """

    def initial_state(
        self,
        batch_shape: tuple[int, ...],
        key_heads: int,
        width: int,
        value_width: int,
        dtype: Dtype,
    ) -> Any:
        """Make the state before anything was read, a pytree of arrays.

        Args:
          batch_shape: the leading axes of the arrays to come.
          key_heads: heads of their keys and values.
          width: width of their queries and keys.
          value_width: width of their values.
          dtype: their dtype; the state itself is kept in float32 or wider.
        """
        ...

    def extend(
        self,
        state: Any,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        *,
        mask: jax.Array | None = None,
    ) -> tuple[jax.Array, Any]:
        """Read any number of further time steps, a whole prompt or one token.

        Args:
          state: what earlier steps left behind.
          query: ``(*batch, time, heads, width)``.
          key: ``(*batch, time, key_heads, width)``.
          value: ``(*batch, time, key_heads, value_width)``.
          mask: ``(*batch, time)``, True for real tokens; others leave the state as it was.

        Returns:
          The output, ``(*batch, time, heads, value_width)``, and the next state.
        """
        ...


@runtime_checkable
class PlacedAttention(Attention, Protocol):
    """Attention that depends on where queries and keys stand, and can be told.

    Other attention functions read on from kept keys under a mask alone. ``isinstance`` tells
    whether an attention function has the method.

    Example:
      >>> isinstance(SparseAttention(stride=4), PlacedAttention)
      True
    """

    def attend_at(
        self,
        places: jax.Array,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        *,
        mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        is_causal: bool = False,
    ) -> jax.Array:
        """Give what the causal form gives for some of the queries.

        Args:
          places: ``(queries,)``, integers, where the queries stand among the keys.
          query: ``(*batch, queries, heads, width)``.
          key: ``(*batch, keys, key_heads, width)``, all there are, in their order.
          value: ``(*batch, keys, key_heads, value_width)``.
          mask: True where a query may attend; keys behind it must be left out by it.
          bias: added to the logits.
          is_causal: False; what a query may see is in ``mask``.

        Returns:
          ``(*batch, queries, heads, value_width)``.
        """
        ...
