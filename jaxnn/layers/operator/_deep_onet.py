r"""The head of a DeepONet: a function's coefficients times basis functions of a place.

.. math::
    G(u)(y) = \sum_{k=1}^{p} b_k(u)\, t_k(y) + b_0

b is a network of u at fixed sensors (the branch), t one of the place y (the trunk).

===========  ======================================================
b            ``branch``, ``(*batch, outputs, p)``
t            ``trunk``, ``(points, outputs, p)``, or with the batch's axes before
b₀           ``bias``, ``(outputs,)``
===========  ======================================================

Source: "Learning nonlinear operators via DeepONet based on the universal approximation theorem
of operators" (2021), the unstacked form with bias.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def deep_onet(
    branch: Float[Array, "*batch outputs p"],
    trunk: Float[Array, "... points outputs p"],
    bias: Float[Array, " outputs"] | None = None,
) -> Float[Array, "*batch points outputs"]:
    r"""Evaluate functions with coefficients ``branch`` where basis functions are ``trunk``.

    Args:
      branch: coefficients b of each function.
      trunk: values t of the basis at each place, the same places for all functions, or with
        the leading axes of ``branch`` for places of their own.
      bias: b₀; none if ``None``.

    Returns:
      ``(*batch, points, outputs)`` in the dtype of ``branch``; sums are in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> places = jnp.linspace(0, 1, 3)  # 2 + 3 y, from coefficients of 1 and y
      >>> trunk = jnp.stack([jnp.ones(3), places], axis=-1)[:, None]
      >>> deep_onet(jnp.array([[2.0, 3.0]]), trunk)[:, 0].tolist()
      [2.0, 3.5, 5.0]
    """
    where = "deep_onet"
    require_array(where, branch=branch, trunk=trunk)
    require(branch.ndim >= 2, where, "branch", branch, "shape (*batch, outputs, p)")
    *batch, outputs, p = branch.shape
    own = trunk.ndim == branch.ndim + 1 and trunk.shape[:-3] == tuple(batch)
    ok = (own or trunk.ndim == 3) and trunk.shape[-2:] == (outputs, p)
    needs = f"shape (points, {outputs}, {p}), or the leading axes of `branch` before"
    require(ok, where, "trunk", trunk, needs)
    axes = "...qop" if own else "qop"
    wide = accumulation_dtype(branch.dtype)
    y = jnp.einsum(f"...op,{axes}->...qo", branch, trunk, preferred_element_type=wide)
    if bias is not None:
        require_array(where, bias=bias)
        require(bias.shape == (outputs,), where, "bias", bias, f"shape ({outputs},)")
        y = y + bias.astype(wide).reshape((1,) * (y.ndim - 1) + (outputs,))
    return y.astype(branch.dtype)
