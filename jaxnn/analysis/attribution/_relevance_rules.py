r"""The rules by which a layer hands the relevance of its outputs down to its inputs.

All have one form: contributions z to each output, and relevance in proportion to them,

.. math:: R_j = \sum_k \frac{z_{jk}}{\sum_j z_{jk}} R_k

Sources: "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
Propagation" (2015) for ε and αβ; "Explaining NonLinear Classification Decisions with Deep Taylor
Decomposition" (2017) for z+, zB and w²; "Layer-Wise Relevance Propagation: An Overview" (2019)
for γ.

=====  ====================================================
x_j    inputs of the layer
w, b   its kernel and bias; w⁺ and w⁻ their parts above and below zero
z_jk   contribution of input j to output k
R      relevance
=====  ====================================================
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Params = Mapping[str, jax.Array]
TINY = 1e-9


class Layer(NamedTuple):
    """A layer with a kernel as it was called.

    Attributes:
      run: its outputs, of parameters and input.
      params: ``kernel`` and perhaps ``bias``.
      x: its input.
    """

    run: Callable[[Params, jax.Array], jax.Array]
    params: Params
    x: jax.Array


# From the relevance of a layer's outputs, that of its input.
LayerRule = Callable[[Layer, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class EpsilonRule:
    """Contributions ``x_j w_jk``, over their sum with the bias, moved away from zero.

    What the bias contributes is lost, as is a share that grows with ``epsilon``. With a small
    one in all layers of a network of ReLUs without biases it is input times gradient.

    Attributes:
      epsilon: added to the size of the sum.
    """

    epsilon: float = 1e-6

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        return share(layer, [(layer.x, layer.params)], relevance, self.epsilon)


@dataclasses.dataclass(frozen=True)
class GammaRule:
    """Contributions ``x_j (w_jk + gamma w_jk⁺)``: those of positive weights count for more.

    The bias keeps its weight, as in captum.

    Attributes:
      gamma: how much more.
    """

    gamma: float = 0.25

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        params = _changed(layer.params, lambda w: w + self.gamma * positive(w), lambda b: b)
        return share(layer, [(layer.x, params)], relevance)


@dataclasses.dataclass(frozen=True)
class AlphaBetaRule:
    """Positive contributions times ``alpha`` minus negative ones times ``beta``, each over its sum.

    A positive bias counts among the positive, a negative among the negative contributions.
    Relevance is kept where ``alpha - beta = 1`` and there is no bias.

    Attributes:
      alpha: weight of what speaks for an output.
      beta: weight of what speaks against it.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        x, params = layer.x, layer.params
        helping = [
            (positive(x), _changed(params, positive, positive)),
            (negative(x), _changed(params, negative)),
        ]
        shares = self.alpha * share(layer, helping, relevance)
        if self.beta == 0:
            return shares
        hindering = [
            (positive(x), _changed(params, negative, negative)),
            (negative(x), _changed(params, positive)),
        ]
        return shares - self.beta * share(layer, hindering, relevance)


@dataclasses.dataclass(frozen=True)
class ZPlusRule:
    """Positive contributions only: deep Taylor decomposition between layers of ReLUs."""

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        return AlphaBetaRule(1.0, 0.0)(layer, relevance)


@dataclasses.dataclass(frozen=True)
class ZBoxRule:
    """Contributions ``x_j w_jk - low w_jk⁺ - high w_jk⁻``, for a first layer on bounded inputs.

    Attributes:
      low: least value of an input, such as a black pixel's.
      high: largest value.
    """

    low: float = 0.0
    high: float = 1.0

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        x, params = layer.x, layer.params
        terms = [
            (x, _changed(params, lambda w: w)),
            (jnp.full_like(x, self.low), _changed(params, lambda w: -positive(w))),
            (jnp.full_like(x, self.high), _changed(params, lambda w: -negative(w))),
        ]
        return share(layer, terms, relevance)


@dataclasses.dataclass(frozen=True)
class WSquareRule:
    """Contributions ``w_jk²``, whatever the input: for a first layer on unbounded inputs."""

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        terms = [(jnp.ones_like(layer.x), _changed(layer.params, jnp.square))]
        return share(layer, terms, relevance)


@dataclasses.dataclass(frozen=True)
class FlatRule:
    """Equal contributions of all inputs that an output sees."""

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        terms = [(jnp.ones_like(layer.x), _changed(layer.params, jnp.ones_like))]
        return share(layer, terms, relevance)


@dataclasses.dataclass(frozen=True)
class IdentityRule:
    """Relevance unchanged, past a layer whose output has the shape of its input."""

    def __call__(self, layer: Layer, relevance: Float[Array, "..."], /) -> Float[Array, "..."]:
        if relevance.shape != layer.x.shape:
            raise ValueError(
                f"IdentityRule: the layer's output has shape {relevance.shape}, its input "
                f"{layer.x.shape}; it needs equal shapes. Give this layer another rule."
            )
        return relevance


def share(
    layer: Layer,
    terms: list[tuple[jax.Array, Params]],
    relevance: jax.Array,
    epsilon: float = TINY,
) -> jax.Array:
    """Divide relevance in proportion to contributions.

    Args:
      layer: the layer.
      terms: inputs and parameters whose products, added up, are the contributions.
      relevance: of the outputs.
      epsilon: added to the size of the sum of contributions.
    """
    runs = [jax.vjp(functools.partial(layer.run, params), x) for x, params in terms]
    total = functools.reduce(jnp.add, [outputs for outputs, _ in runs])
    ratio = relevance / stabilized(total, epsilon)
    shares = [x * pull(ratio)[0] for (x, _), (_, pull) in zip(terms, runs, strict=True)]
    return functools.reduce(jnp.add, shares)


def stabilized(z: jax.Array, epsilon: float) -> jax.Array:
    """Move numbers away from zero; zero itself up."""
    return z + jnp.where(z < 0, -epsilon, epsilon).astype(z.dtype)


def positive(w: jax.Array) -> jax.Array:
    """Keep what is above zero."""
    return jnp.maximum(w, 0)


def negative(w: jax.Array) -> jax.Array:
    """Keep what is below zero."""
    return jnp.minimum(w, 0)


def _changed(
    params: Params,
    kernel: Callable[[jax.Array], jax.Array],
    bias: Callable[[jax.Array], jax.Array] = jnp.zeros_like,
) -> Params:
    """Apply functions to kernel and bias; the bias becomes zero if none is given."""
    return {name: (kernel if name == "kernel" else bias)(w) for name, w in params.items()}
