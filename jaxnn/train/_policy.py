"""Mixed precision: which dtype parameters, computation and outputs have."""

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import PyTree

T = TypeVar("T", bound=PyTree)


@dataclasses.dataclass(frozen=True)
class Policy:
    """Compute in one dtype, keep parameters and losses in another.

    Parameters stay as the model made them (float32); copies in ``compute`` are used forward
    and backward, and outputs come back in ``output`` before the loss. Integer arrays are never
    cast. bfloat16 has float32's range, so no loss scaling is needed.

    Attributes:
      compute: dtype of activations and matrix products.
      output: dtype of the model's outputs as the loss sees them.

    Source: "Mixed Precision Training" (2017), section 3.1.
    """

    compute: DTypeLike = jnp.bfloat16
    output: DTypeLike = jnp.float32

    def to_compute(self, tree: T) -> T:
        """Cast the floating-point leaves to the computation dtype."""
        return _cast(tree, self.compute)

    def to_output(self, tree: T) -> T:
        """Cast the floating-point leaves to the output dtype."""
        return _cast(tree, self.output)


def _cast(tree: T, dtype: DTypeLike) -> T:
    def cast(leaf: Any) -> Any:  # also NumPy's
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
