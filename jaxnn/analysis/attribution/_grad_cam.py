r"""Class activation maps: the channels of a layer, weighed by their mean gradients.

The value of the layer is the example, and the function is what the network does from there on;
``activations.cut`` gives both.

Source: "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization"
(2017), equations 1 and 2, and section 3.2 for the guided form.

=======  ====================================================
f        from the value of a layer to one number
A        the value, channels on its last axis
k        a channel; Z the positions
=======  ====================================================
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import scalar


def grad_cam(
    f: Callable[[jax.Array], jax.Array],
    value: Float[Array, "*positions channels"],
    *,
    rectify: bool = True,
) -> Float[Array, "*positions"]:
    r"""Attribute to the positions of a layer by Grad-CAM.

    .. math:: a = \mathrm{ReLU} \left( \sum_k α_k A^k \right), \quad
       α_k = \frac{1}{Z} \sum_{ij} \frac{\partial f(A)}{\partial A^k_{ij}}

    Of a linen model, at a layer and for class 3, f and A are
    ``lambda h: after(h[None], x[None])[0, 3]`` and ``before(x[None])[0]``, with
    ``before, after = activations.cut(model, variables, "Conv_1")``.

    Args:
      f: from the layer's value, for one example, to one number.
      value: A, the layer's value at the example, e.g. ``(height, width, channels)``.
      rectify: keep what speaks for the output alone, as the paper does.

    Returns:
      The map over the layer's positions.

    Raises:
      TypeError: ``value`` or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or ``value`` has no positions.

    Differs: captum's ``LayerGradCam`` does not rectify unless told to.

    Example:
      >>> f = lambda h: 2 * h[..., 0].mean() - h[..., 1].mean()
      >>> grad_cam(f, jnp.array([[3.0, 1.0], [1.0, 4.0]])).tolist()
      [2.5, 0.0]
    """
    where = "grad_cam"
    require_array(where, value=value)
    require_rank(where, "value", value, 2, "(*positions, channels)")
    wide = accumulation_dtype(value.dtype)
    slope = jax.grad(scalar(where, f))(value).astype(wide)
    weights = slope.reshape(-1, slope.shape[-1]).mean(0)
    cam = jnp.tensordot(value.astype(wide), weights, 1)
    return (jax.nn.relu(cam) if rectify else cam).astype(value.dtype)


def guided_grad_cam(
    cam: Float[Array, "..."],
    guided: Float[Array, "..."],
    *,
    method: Literal["linear", "nearest"] = "linear",
) -> Float[Array, "..."]:
    r"""Sharpen a map over a layer by an attribution to the entries of the example.

    .. math:: a = \mathrm{enlarge}(L) \odot g

    Args:
      cam: L, the map of :func:`grad_cam`.
      guided: g, an attribution to the example, whose leading axes are those of the map,
        enlarged; in the paper by guided backpropagation (``guided_backpropagation``).
      method: how the map is enlarged, as for ``jax.image.resize``; the paper's is linear.

    Returns:
      An array like ``guided``.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: ``guided`` has fewer axes than the map, or ``method`` is not known.

    Differs: captum's ``GuidedGradCam`` enlarges to the nearest position unless told otherwise.

    Example:
      >>> cam, guided = jnp.array([1.0, 0.0]), jnp.array([3.0, -1.0, 5.0, 2.0])
      >>> guided_grad_cam(cam, guided, method="nearest").tolist()
      [3.0, -1.0, 0.0, 0.0]
    """
    where = "guided_grad_cam"
    require_array(where, cam=cam, guided=guided)
    known = "one of linear, nearest"
    require(method in ("linear", "nearest"), where, "method", method, known)
    needs = f"the {cam.ndim} axes of `cam` or more"
    require(guided.ndim >= cam.ndim, where, "guided", guided, needs)
    large = jax.image.resize(cam, guided.shape[: cam.ndim], method)
    return guided * large.reshape(large.shape + (1,) * (guided.ndim - cam.ndim)).astype(
        guided.dtype
    )
