r"""Scalable neural network kernels: layers that hold features of weights in place of weights.

.. math:: f(W^\top x) \approx Φ(x)^\top Ψ(W), \qquad y = Φ(x)^\top W' + b

W' has m rows, whatever the size of x. What follows is linear in W': a dense layer after it merges
with it, and a network of layers without activations between them is one such layer of its own
features, whose best W' for squared errors is a linear solve.

===========  ==============================================================
x            input, ``(*batch, inputs)``
Φ, Ψ         :func:`universal_phi`, :func:`universal_psi`; or :func:`relu_features` for both
W'           ``kernel``, ``(random_features, features)``
b            ``bias``, ``(features,)``
m            ``random_features``
===========  ==============================================================

The directions belong to the module's ``seed``, not to its parameters: they are drawn where they
are used, and never stored.

Source: "Scalable Neural Network Kernels" (2024).
"""

import functools
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers._ridge import HIGHEST, fit_ridge
from jaxnn.layers.feedforward import dense
from jaxnn.layers.kernel._features import (
    Spectrum,
    random_directions,
    relu_features,
    universal_phi,
    universal_psi,
)

DrawSpectrum = Callable[[Any, int], Spectrum]


def bundle(first: Mapping[str, jax.Array], second: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    r"""Merge a layer that is linear in its features with the dense layer after it.

    .. math:: (Φ^\top W'_1 + b_1)^\top W_2 + b_2 = Φ^\top (W'_1 W_2) + (W_2^\top b_1 + b_2)

    Nothing is lost. The weights of a nonlinear layer after it, f(W̃ᵀ Φ(x)) with W̃ this kernel, come
    apart again: ``universal_psi(kernel.T, directions)`` beside ``universal_phi`` of Φ(x).

    Args:
      first: ``kernel`` and perhaps ``bias`` of the layer below.
      second: those of the dense layer above.

    Returns:
      ``kernel``, ``(random_features, outputs)``, and ``bias``, unless neither has one.

    Raises:
      TypeError: a kernel is not an array of floating-point numbers.
      ValueError: the units of the first are not the inputs of the second.

    Example:
      >>> double = {"kernel": 2 * jnp.eye(2), "bias": jnp.ones(2)}
      >>> bundle(double, double)["bias"].tolist()
      [3.0, 3.0]
    """
    below, above = first["kernel"], second["kernel"]
    arrays: dict[str, Any] = {"first['kernel']": below, "second['kernel']": above}
    require_array("bundle", **arrays)
    require(below.ndim == 2, "bundle", "first['kernel']", below, "shape (random_features, units)")
    ok = above.ndim == 2 and above.shape[0] == below.shape[1]
    require(ok, "bundle", "second['kernel']", above, f"shape ({below.shape[1]}, outputs)")
    wide = accumulation_dtype(below.dtype)
    merged = {"kernel": jnp.dot(below, above, precision=HIGHEST, preferred_element_type=wide)}
    if "bias" in first:
        moved = jnp.dot(first["bias"], above, precision=HIGHEST, preferred_element_type=wide)
        merged["bias"] = moved + second["bias"].astype(wide) if "bias" in second else moved
    elif "bias" in second:
        merged["bias"] = second["bias"]
    return {name: value.astype(below.dtype) for name, value in merged.items()}


def fit_readout(
    values: Float[Array, "samples features"],
    y: Float[Array, "samples outputs"],
    *,
    ridge: float | Float[Array, ""] = 1.0,
) -> dict[str, jax.Array]:
    r"""Find the best linear parameters upon fixed features, at once.

    .. math:: \min_{W', b} \sum_n \|y_n - W'^\top Φ_n - b\|^2 + λ \|W'\|^2

    Args:
      values: Φ of each sample, e.g. ``module.apply({}, x, method="embed")`` of a
        :class:`BundledSNNK`.
      y: what to give for them; one-hot for classes.
      ridge: λ, at least 0; at 0 the features must be linearly independent on the samples.

    Returns:
      The parameters ``kernel`` and ``bias`` of the module, in the dtype of ``y``.

    Raises:
      TypeError: an array does not hold floating-point numbers.
      ValueError: shapes disagree, or ``ridge`` is below 0.

    Example:
      >>> x = jnp.arange(4.0)[:, None]
      >>> params = fit_readout(x, 2 * x + 1, ridge=0.0)
      >>> [f"{c:.3f}" for c in (params["kernel"][0, 0], params["bias"][0])]
      ['2.000', '1.000']
    """
    where = "fit_readout"
    require_array(where, values=values, y=y)
    ok = values.ndim == 2 and values.shape[0] > 0
    require(ok, where, "values", values, "shape (samples, features), with at least one sample")
    ok = y.ndim == 2 and y.shape[0] == values.shape[0]
    require(ok, where, "y", y, f"shape ({values.shape[0]}, outputs), for the samples of `values`")
    if isinstance(ridge, Real):
        ok = 0 <= float(ridge) < float("inf")
        require(ok, where, "ridge", ridge, "a finite number of at least 0")
    wide = accumulation_dtype(y.dtype)
    kernel, bias = _fit(values.astype(wide), y.astype(wide), jnp.asarray(ridge, wide))
    return {"kernel": kernel.astype(y.dtype), "bias": bias.astype(y.dtype)}


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
_fit = functools.partial(jax.jit, inline=True)(fit_ridge)


class SNNKDense(nn.Module):
    """A dense layer with its activation, in few parameters; see :mod:`jaxnn.layers.kernel`.

    Parameters are ``kernel`` and ``bias``.

    Attributes:
      features: size of the output's last axis.
      random_features: m, rows of the kernel.
      spectrum: of the activation, e.g. :func:`sine_spectrum`; ReLU features if ``None``.
      seed: of the directions and the spectrum.
      use_bias: whether to add ``bias``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``; features of a dense layer's weights if ``None``, so
        that the layer begins as an estimate of that layer.
      bias_init: initialiser of ``bias``.
    """

    features: int
    random_features: int
    spectrum: DrawSpectrum | None = None
    seed: int = 0
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer | None = None
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        where = "SNNKDense"
        _require_input(where, x)
        require_count(where, features=self.features, random_features=self.random_features)
        phi, psi = _draw(self.seed, x.shape[-1], self.random_features, self.spectrum)

        def weights(key, shape, dtype):
            lecun = nn.initializers.lecun_normal()
            return psi(lecun(key, (x.shape[-1], shape[1]), jnp.float32).T).T.astype(dtype)

        shape = (self.random_features, self.features)
        kernel = self.param("kernel", self.kernel_init or weights, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape[1:], self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return dense(phi(x), kernel, bias)


class SNNKAdapter(nn.Module):
    """What few parameters add to the output of a frozen layer: x + Φ(x)ᵀ W' + b, at first x.

    Parameters are ``kernel`` and ``bias``, both zero at first.

    Attributes:
      random_features: m, rows of the kernel.
      spectrum: of the activation, e.g. :func:`sine_spectrum`; ReLU features if ``None``.
      seed: of the directions and the spectrum.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
    """

    random_features: int
    spectrum: DrawSpectrum | None = None
    seed: int = 0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        """Map ``(*batch, features)`` to the same shape."""
        _require_input("SNNKAdapter", x)
        require_count("SNNKAdapter", random_features=self.random_features)
        zeros = nn.initializers.zeros_init()
        phi, _ = _draw(self.seed, x.shape[-1], self.random_features, self.spectrum)
        shape = (self.random_features, x.shape[-1])
        kernel = self.param("kernel", zeros, shape, self.param_dtype)
        bias = self.param("bias", zeros, shape[1:], self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return x + dense(phi(x), kernel, bias)


class BundledSNNK(nn.Module):
    """A network with all its layers bundled: features of features, then W' and b.

    Parameters are ``kernel`` and ``bias``; :func:`fit_readout` finds the best at once, from
    ``module.apply({}, x, method="embed")``.

    Attributes:
      features: size of the output's last axis.
      random_features: m of each layer, from the input on.
      spectrum: of every layer's activation; ReLU features if ``None``.
      seed: of the first layer's directions; the others have the numbers after it.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``.
      bias_init: initialiser of ``bias``.
    """

    features: int
    random_features: tuple[int, ...]
    spectrum: DrawSpectrum | None = None
    seed: int = 0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros_init()

    def embed(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch random"]:
        """Take the features of the features of ``(*batch, inputs)``; no parameters are needed."""
        where = "BundledSNNK"
        _require_input(where, x)
        counts = self.random_features
        require(len(counts) > 0, where, "random_features", counts, "at least one layer")
        for layer, count in enumerate(counts):
            require_count(where, random_features=count)
            x = _draw(self.seed + layer, x.shape[-1], count, self.spectrum)[0](x)
        return x

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        require_count("BundledSNNK", features=self.features)
        values = self.embed(x)
        shape = (values.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, shape[1:], self.param_dtype)
        values, kernel, bias = promote_dtype(values, kernel, bias, dtype=self.dtype)
        return dense(values, kernel, bias)


def _require_input(where: str, x: jax.Array) -> None:
    require_array(where, x=x)
    require_rank(where, "x", x, 1, "(*batch, inputs)")


def _draw(seed: int, inputs: int, count: int, draw_spectrum: DrawSpectrum | None):
    """Give the functions of inputs and of weights."""
    directions_key, spectrum_key = jax.random.split(jax.random.key(seed))
    directions = random_directions(directions_key, inputs, count)
    if draw_spectrum is None:
        return (lambda x: relu_features(x, directions),) * 2
    spectrum = draw_spectrum(spectrum_key, count)
    return (
        lambda x: universal_phi(x, directions, spectrum),
        lambda w: universal_psi(w, directions),
    )
