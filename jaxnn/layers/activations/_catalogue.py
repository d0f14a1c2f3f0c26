"""The catalogue of activations by name, for fixed use and with trained parameters.

Source: "Three Decades of Activations: A Comprehensive Survey of 400 Activation Functions for
Neural Networks" (2024), whose names and formulas the rows follow, and a few papers since.
"""

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn.layers.activations import (
    _exponentials,
    _rectifiers,
    _self_gated,
    _shapes,
    _sigmoids,
)
from jaxnn.layers.activations._entry import Activation

Per = Literal["layer", "unit"]
KINDS = (_sigmoids, _self_gated, _rectifiers, _exponentials, _shapes)

CATALOGUE: Mapping[str, Activation] = MappingProxyType(
    {entry.name: entry for kind in KINDS for entry in kind.ROWS}
)


def activation(name: str, **parameters: float | jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Give a named activation as a function of one array, its parameters fixed.

    It goes into any ``activation`` slot. ``CATALOGUE`` maps all names to their entries.

    Args:
      name: a name of the catalogue.
      parameters: values of the activation's parameters; the defaults for those not given.

    Returns:
      A function from an array to one of the same shape and dtype.

    Raises:
      ValueError: there is no such name or no such parameter.

    Example:
      >>> activation("leaky_relu", slope=0.5)(jnp.array([-2.0, 3.0])).tolist()
      [-1.0, 3.0]
    """
    entry = _find("activation", name)
    entry.check(parameters)
    return functools.partial(entry, **parameters)


class Adaptive(nn.Module):
    """A named activation whose parameters are trained, under their own names.

    An instance goes into an ``activation`` slot: ``FeedForward(activation=Adaptive("swish"))``.
    One instance is one set of parameters wherever it is used; for a set of its own in each
    block, make it where the block is made, with ``parent=None``, as for
    :class:`~jaxnn.layers.activations.PolyReLU`.

    Attributes:
      activation: a name of the catalogue, or an entry of it or of your own.
      per: one set of parameters for the ``"layer"``, or one for each ``"unit"`` of the last axis.
      train: the parameters that are trained; those its source trains if ``None``, or all of
        them where that is none. The others keep their values.
      start: values to start from, or to keep, where they differ from the published ones.
      param_dtype: dtype the parameters are kept in.
    """

    activation: str | Activation
    per: Per = "layer"
    train: tuple[str, ...] | None = None
    start: Mapping[str, float] = dataclasses.field(default_factory=dict)
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map an array to one of its shape and dtype."""
        where = "Adaptive"
        require_array(where, x=x)
        require(self.per in get_args(Per), where, "per", self.per, '"layer" or "unit"')
        entry = self.activation
        if not isinstance(entry, Activation):
            entry = _find(where, entry)
        entry.check(tuple(self.start))
        train = self.train
        if train is None:
            train = entry.trained or tuple(entry.parameters)
        require(len(train) > 0, where, "activation", entry.name, "one that has parameters")
        entry.check(train)
        shape = ()
        if self.per == "unit":
            require_rank(where, "x", x, 1, "(*batch, units)")
            shape = x.shape[-1:]
        values: dict[str, float | jax.Array] = dict(self.start)
        for name in train:
            init = nn.initializers.constant(values.get(name, entry.parameters[name]))
            values[name] = self.param(name, init, shape, self.param_dtype)
        return entry(x, **values)


def _find(where, name):
    near = difflib.get_close_matches(str(name), CATALOGUE, n=3, cutoff=0.5)
    hint = f"Nearest: {', '.join(near)}." if near else ""
    argument = "name" if where == "activation" else "activation"
    require(name in CATALOGUE, where, argument, name, "a name in CATALOGUE", hint)
    return CATALOGUE[name]
