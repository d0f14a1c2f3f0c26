r"""B-cosification: the parameters of a trained network as those of a B-cos network.

For a first layer that sees :math:`[x, 1 - x]` instead of x, halves of its weights do:

.. math:: \tfrac{w}{2} \cdot x - \tfrac{w}{2} \cdot (1 - x) + \tfrac{1}{2} \sum_i w_i = w \cdot x

=====  ==========================================
w      weights of a unit of the first layer
x      input; its channels are the last axis
=====  ==========================================

Source: "B-cosification: Transforming Deep Neural Networks to be Inherently Interpretable"
(2024), section 3.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import describe, require, require_array, require_rank


def complement_encoding(x: Float[Array, "*batch channels"]) -> Float[Array, "*batch twice"]:
    """Put 1 - x behind x, along the last axis.

    So a dark place has a direction too, and not only a smaller length, and the sum of a pixel's
    encoding is one of its color's.

    Args:
      x: any leading axes, then channels; values in [0, 1].

    Returns:
      An array of twice as many channels.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``x`` has no axis.

    Example:
      >>> complement_encoding(jnp.array([1.0, 0.25])).tolist()
      [1.0, 0.25, 0.0, 0.75]
    """
    require_array("complement_encoding", x=x)
    require_rank("complement_encoding", "x", x, 1, "(*batch, channels)")
    return jnp.concatenate([x, 1 - x], axis=-1)


def bcosify(
    params: Mapping[str, Any],
    first: str,
    *,
    channels: int | None = None,
    keep_bias: bool = False,
) -> dict[str, Any]:
    """Turn a trained network's parameters into those of its B-cos twin.

    The twin has :class:`BcosDense` and :class:`BcosConv` of the same names, with
    ``normalize=False``, where the network has dense layers and convolutions, and reads inputs
    that :func:`complement_encoding` has encoded. With ``power=1`` and biases it is the same
    function; raising ``power`` to 2, without biases, and a short training are the paper's recipe.

    Args:
      params: nested dictionaries; each layer's holds ``kernel``, ``(..., inputs, outputs)``, and
        perhaps ``bias``.
      first: path of the layer that sees the encoded input, such as ``"dense_0"`` or
        ``"stem/conv"``.
      channels: of the input before it is encoded; needed where ``first`` reads a flattened
        image, whose channels vary fastest. All inputs of ``first`` if ``None``.
      keep_bias: whether to keep biases, that of ``first`` with what the encoding takes; else
        they are left out.

    Returns:
      New parameters; what is not a layer with a ``kernel`` is as it was.

    Raises:
      TypeError: ``params`` is not a dictionary.
      ValueError: there is no such layer, it has no bias to keep, or ``channels`` does not divide
        its inputs.

    Example:
      >>> params = {"dense_0": {"kernel": jnp.array([[4.0], [2.0]]), "bias": jnp.zeros(1)}}
      >>> bcosify(params, "dense_0")["dense_0"]["kernel"].ravel().tolist()
      [2.0, 1.0, -2.0, -1.0]
    """
    where = "bcosify"
    if not isinstance(params, Mapping):
        raise TypeError(f"{where}: `params` is {describe(params)}; it needs nested dictionaries.")
    layers = _layers(params)
    require(first in layers, where, "first", first, f"one of the layers {sorted(layers)}")
    kernel = layers[first]["kernel"]
    inputs, outputs = kernel.shape[-2:]
    group = inputs if channels is None else channels
    fits = isinstance(group, int) and group > 0 and inputs % group == 0
    require(fits, where, "channels", channels, f"a divisor of the {inputs} inputs of {first!r}")
    ok = not keep_bias or "bias" in layers[first]
    require(ok, where, "keep_bias", keep_bias, f"a bias in {first!r}; it takes up the encoding's")

    def change(path: str, tree: Mapping[str, Any]) -> dict[str, Any]:
        new = {
            name: change(f"{path}/{name}" if path else name, value)
            if isinstance(value, Mapping)
            else value
            for name, value in tree.items()
        }
        if path == first:
            halves = kernel.reshape(*kernel.shape[:-2], inputs // group, group, outputs) / 2
            both = jnp.concatenate([halves, -halves], axis=-2)
            new["kernel"] = both.reshape(*kernel.shape[:-2], 2 * inputs, outputs)
            if keep_bias:
                new["bias"] = tree["bias"] + jnp.sum(kernel.reshape(-1, outputs), axis=0) / 2
        if path in layers and not keep_bias:
            new.pop("bias", None)
        return new

    return change("", params)


def _layers(tree: Mapping[str, Any], path: str = "") -> dict[str, Mapping[str, jax.Array]]:
    """Find the dictionaries with a kernel of at least two axes, by path."""
    found: dict[str, Any] = {}
    if getattr(tree.get("kernel"), "ndim", 0) >= 2:
        found[path] = tree
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _layers(value, f"{path}/{name}" if path else name)
    return found
