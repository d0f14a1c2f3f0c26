r"""Logits by angle: classes are directions, and lengths of features or weights count for nothing.

======  ===============================================================
x       the representation, ``(*batch, inputs)``
w_c     prototype of class c, a column of ``kernel``
θ_c     angle between them
s       ``scale``
======  ===============================================================

Source: "NormFace: L2 Hypersphere Embedding for Face Verification" (2017); "Hyperspherical embedding
for novel class classification" (2021).
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype, unit_vectors


def cosine_logits(
    x: Float[Array, "*batch inputs"],
    kernel: Float[Array, "inputs classes"],
    *,
    scale: float = 1.0,
) -> Float[Array, "*batch classes"]:
    r"""Give the cosine of the angle to each class's prototype, times a scale.

    .. math:: z_c = s \cos \theta_c = s \, \frac{x}{\lVert x \rVert} \cdot
        \frac{w_c}{\lVert w_c \rVert}

    Their cross-entropy is the normalised softmax loss. A class never seen in training is told by
    the same cosines, to the mean of a few of its embeddings.

    Args:
      x: any leading axes, then features.
      kernel: the prototypes as columns, in the layout of :func:`dense`; of any length.
      scale: s; of logits that lie in [-1, 1] no softmax is sure, so 16 to 64 for training.

    Returns:
      Logits in [-s, s], in the dtype of ``x``. A zero vector has cosine 0 and no gradient.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the inner sizes disagree, or ``scale`` is not positive.

    Example:
      >>> cosine_logits(jnp.array([3.0, 4.0]), jnp.array([[2.0, 0.0], [0.0, -1.0]])).tolist()
      [0.6000000238418579, -0.800000011920929]
    """
    where = "cosine_logits"
    require_array(where, x=x, kernel=kernel)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    require(kernel.ndim == 2, where, "kernel", kernel, "shape (inputs, classes)")
    inputs, classes = kernel.shape
    needs = f"a last axis of {inputs}, the rows of `kernel`"
    require(x.shape[-1] == inputs, where, "x", x, needs)
    require_positive(where, scale=scale)
    wide = accumulation_dtype(x.dtype)
    rows, columns = x.reshape(math.prod(x.shape[:-1]), inputs).astype(wide), kernel.astype(wide)
    cosines = jnp.dot(unit_vectors(rows), unit_vectors(columns, axis=0), precision="highest")
    return (scale * cosines).astype(x.dtype).reshape(*x.shape[:-1], classes)


class CosineHead(nn.Module):
    """A layer of class prototypes, ``kernel``, and their :func:`cosine_logits`.

    It stands where a linear layer to logits stands, as the ``dense`` of a head: called as
    ``CosineHead(features, name=..., dtype=..., param_dtype=...)``.

    Attributes:
      features: number of classes.
      scale: s, the largest logit; 1 for a loss that scales by itself.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``.
    """

    features: int
    scale: float = 16.0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch features"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        require_array("CosineHead", x=x)
        require_count("CosineHead", features=self.features)
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return cosine_logits(x, kernel, scale=self.scale)
