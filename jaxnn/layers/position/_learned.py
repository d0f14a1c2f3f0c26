"""Learned positions: a table with one trained vector per position, added to the tokens.

Source: "Convolutional Sequence to Sequence Learning" (2017), section 3.1; used by BERT, GPT
and the Vision Transformer.
"""

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float, Integer

from jaxnn._check import require, require_array, require_positive, require_rank


class PositionEmbedding(nn.Module):
    """Add a trained vector to each position; the parameter is ``embedding``.

    Attributes:
      length: rows of the table.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
      embedding_init: initialiser of ``embedding``, ``(length, features)``.
      offset: row of position 0; those before it are for nobody, as in OPT.
    """

    length: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    embedding_init: Initializer = nn.initializers.normal(0.02)
    offset: int = 0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        positions: Integer[Array, "*position_batch time"] | None = None,
    ) -> Float[Array, "*batch time features"]:
        """Add positions 0, 1 ... to ``(*batch, time, features)``, or those given.

        ``positions`` is ``(time,)`` or ``(*batch, time)``. One past the table cannot be seen
        while compiling; its tokens become NaN.
        """
        where = "PositionEmbedding"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        require_positive(where, length=self.length)
        *batch, time, features = x.shape
        shape = (self.length, features)
        embedding = self.param("embedding", self.embedding_init, shape, self.param_dtype)
        x, embedding = promote_dtype(x, embedding, dtype=self.dtype)
        if positions is None:
            room = self.length - self.offset
            require(time <= room, where, "x", x, f"at most {room} time steps, `length`")
            added = embedding[self.offset : self.offset + time]
        else:
            require(
                positions.shape in ((time,), (*batch, time)),
                where,
                "positions",
                positions,
                f"shape {(time,)} or {(*batch, time)}, one per time step of `x`",
            )
            added = jnp.take(embedding, positions + self.offset, axis=0, mode="fill")
        return x + jnp.broadcast_to(added, x.shape)
