r"""First-layer updates that move its outputs where their gradient points.

A first layer's inputs are data, whose strengths nobody chose: a pale image changes its weights
less than a bright one. Here the weights' gradient is replaced by that change of the weights which
brings the layer's outputs closest to a step along their own gradient, so that all examples pull
alike.

.. math::
    D = \arg\min_D \frac{1}{2b} \lVert X D - b\, G \rVert^2 + \frac{\lambda}{2} \lVert D \rVert^2
    = \Big(\frac{X^\top X}{b} + \lambda I\Big)^{-1} X^\top G

===  ===================================================================
X    ``x``, b rows of inputs, for a convolution its patches
G    the gradient of a mean over rows for the outputs X W
W    ``kernel``
λ    ``damping``
===  ===================================================================

Source: "TrAct: Making First-layer Pre-Activations Trainable" (2024), section 3.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def tract(
    kernel: Float[Array, "*inputs outputs"], x: Float[Array, "*rows n"], *, damping: float = 0.1
) -> Float[Array, "*inputs outputs"]:
    r"""Pass a first layer's kernel on, and have its gradient become that of trainable outputs.

    Forward it changes nothing. Backward the gradient :math:`X^\top G` that reaches the kernel
    becomes

    .. math:: \Big(\frac{X^\top X}{b} + \lambda I\Big)^{-1} X^\top G
        = X^\top \Big(\frac{X X^\top}{b} + \lambda I\Big)^{-1} G

    by whichever of the two systems is the smaller. Any optimiser takes it from there, with a
    learning rate of its own: the length is another.

    Args:
      kernel: W; all axes but the last are the inputs', n numbers.
      x: X, what the kernel is multiplied with. Its numbers stand in the order of the kernel's first
        axes; it has no gradient. Standardise inputs before.
      damping: λ.

    Returns:
      ``kernel``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the sizes disagree, or ``damping`` is not a finite number above zero.

    Example:
      >>> x = jnp.array([[1.0], [3.0]])  # outputs are to change alike; the mean square of x is 5
      >>> loss = lambda w: jnp.mean(x @ tract(w, x, damping=1.0))
      >>> jax.grad(loss)(jnp.zeros((1, 1))).round(4).tolist()  # 2 / (5 + 1)
      [[0.33329999446868896]]
    """
    where = "tract"
    require_array(where, kernel=kernel, x=x)
    require_rank(where, "kernel", kernel, 2, "(*inputs, outputs)")
    require_positive(where, damping=damping)
    n = math.prod(kernel.shape[:-1])
    ok = x.ndim > 0 and x.shape[-1] == n and x.size > 0
    require(ok, where, "x", x, f"a row or more of {n} numbers, the kernel's inputs")
    return _tract(float(damping), kernel, x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _tract(damping, kernel, x):
    del damping, x
    return kernel


def _forward(damping, kernel, x):
    del damping
    return kernel, x


def _backward(damping, x, gradient):
    wide = accumulation_dtype(gradient.dtype)
    g = gradient.reshape(x.shape[-1], -1).astype(wide)
    rows = x.reshape(-1, x.shape[-1]).astype(wide)
    b, n = rows.shape
    if n <= b:
        found = _solve(rows.T @ rows / b + damping * jnp.eye(n, dtype=wide), g)
    else:
        inner = _solve(rows @ rows.T + b * damping * jnp.eye(b, dtype=wide), rows @ g)
        found = (g - rows.T @ inner) / damping
    return found.reshape(gradient.shape).astype(gradient.dtype), None


_tract.defvjp(_forward, _backward)


def _solve(matrix: jax.Array, right: jax.Array) -> jax.Array:
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(matrix), right)
