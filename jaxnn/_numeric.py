"""Numerical choices shared by every room."""

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def accumulation_dtype(dtype: DTypeLike) -> np.dtype:
    """Give the dtype that sums of ``dtype`` accumulate in: float32, or wider if it is wider."""
    return jnp.dtype(dtype if jnp.finfo(dtype).bits > 32 else jnp.float32)
