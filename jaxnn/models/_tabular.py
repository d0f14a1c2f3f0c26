"""Transformers over tables: among the fields of a row, and among the rows of a whole table.

Sources: "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks"
(2018); "Self-Attention Between Datapoints: Going Beyond Individual Input-Output Pairs in Deep
Learning" (2021).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn.layers.attention import InteractingLayer
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.normalization import LayerNorm
from jaxnn.models._block import TransformerBlock


class FieldEmbedding(nn.Module):
    """One vector for each field of a row.

    A category has a vector of its own, a row of the parameter ``table``; a number multiplies
    the vector of its field, a row of ``directions``.

    Attributes:
      categories: number of categories of each field, 0 for a number.
      features: width of the vectors.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    categories: Sequence[int]
    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch fields"]) -> Float[Array, "*batch fields features"]:
        """Map ``(*batch, fields)``, categories being whole numbers, to a vector for each.

        A category that its field does not have cannot be seen while compiling; it becomes NaN.
        """
        where = "FieldEmbedding"
        check_columns(where, "categories", self.categories)
        require_array(where, x=x)
        fields = len(self.categories)
        require(
            x.ndim >= 1 and x.shape[-1] == fields, where, "x", x, f"{fields} fields, its last axis"
        )
        dtype = self.dtype or x.dtype
        init = nn.initializers.normal(self.features**-0.5)
        numbers = [i for i, k in enumerate(self.categories) if k == 0]
        named = [i for i, k in enumerate(self.categories) if k > 0]
        parts = []
        if numbers:
            shape = (len(numbers), self.features)
            directions = self.param("directions", init, shape, self.param_dtype).astype(dtype)
            values = x[..., jnp.array(numbers)].astype(dtype)
            parts.append(
                values[..., None] * jnp.broadcast_to(directions, (*values.shape, self.features))
            )
        if named:
            sizes = [self.categories[i] for i in named]
            table = self.param("table", init, (sum(sizes), self.features), self.param_dtype)
            starts = jnp.array([sum(sizes[:i]) for i in range(len(sizes))])
            ids = x[..., jnp.array(named)].astype(jnp.int32)
            known = (ids >= 0) & (ids < jnp.broadcast_to(jnp.array(sizes), ids.shape))
            rows = jnp.where(known, ids + jnp.broadcast_to(starts, ids.shape), sum(sizes))
            parts.append(jnp.take(table.astype(dtype), rows, axis=0, mode="fill"))
        order = jnp.argsort(jnp.array([*numbers, *named]))
        return jnp.take(jnp.concatenate(parts, axis=-2), order, axis=-2)


class AutoInt(nn.Module):
    """Rows of a table to logits, by layers in which the fields of a row attend to each other.

    Submodules are ``fields``, ``layers_0`` ... and ``head``. Each layer lets interactions of one
    more field form; none leaves a linear model.

    Attributes:
      categories: number of categories of each field, 0 for a number.
      outputs: number of logits.
      features: width of a field's vector.
      depth: number of interacting layers.
      num_heads: heads of each layer.
      layer_features: width of a layer's outputs, all heads together.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    categories: Sequence[int]
    outputs: int = 1
    features: int = 16
    depth: int = 3
    num_heads: int = 2
    layer_features: int = 64
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch fields"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, fields)`` to ``(*batch, outputs)``."""
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = FieldEmbedding(self.categories, self.features, name="fields", **options)(x)
        for i in range(self.depth):
            x = InteractingLayer(
                self.num_heads, self.layer_features, name=f"layers_{i}", **options
            )(x)
        x = x.reshape(*x.shape[:-2], -1)
        return Dense(self.outputs, name="head", **options)(x)


class NonParametricTransformer(nn.Module):
    """A whole table to predictions of its hidden entries, by attention between its rows.

    Every second block attends between rows (the vectors of a row's columns side by side), the
    others between the columns within each row. Training rows, with their targets, are an input
    like the rows asked about, whose targets are hidden. The order of rows does not matter.

    Submodules are the blocks ``rows_0``, ``within_0`` ... and ``norm``. Columns of k categories
    (0: of numbers) share the parameters ``embed_k_kernel``, ``embed_k_bias``, ``heads_k_kernel``
    and ``heads_k_bias``, whose first axis is over them; ``column`` tells columns apart.

    Attributes:
      columns: number of categories of each column, targets included; 0 for a number.
      features: width of a column's vector.
      depth: number of pairs of blocks.
      num_heads: heads of each block.
      between_rows: whether the blocks that attend between rows are there; without them each row
        is seen alone.
      block: factory of the blocks, called as ``block(num_heads, name=..., dtype=...,
        param_dtype=...)``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    columns: Sequence[int]
    features: int = 16
    depth: int = 2
    num_heads: int = 4
    between_rows: bool = True
    block: Callable[..., nn.Module] = TransformerBlock
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch rows columns"],
        hidden: Bool[Array, "*batch rows columns"],
        deterministic: bool | None = None,
    ) -> list[Float[Array, "*batch rows _"]]:
        """Map a table ``(*batch, rows, columns)`` to predictions for each column.

        ``hidden`` is True for entries that the model may not see. A column of k categories gets
        logits ``(*batch, rows, k)``, a number ``(*batch, rows, 1)``.
        """
        where = "NonParametricTransformer"
        check_columns(where, "columns", self.columns)
        require_positive(where, features=self.features, depth=self.depth)
        require_array(where, x=x)
        count = len(self.columns)
        require(
            x.ndim >= 2 and x.shape[-1] == count, where, "x", x, f"{count} columns, its last axis"
        )
        require_array(where, floating=False, hidden=hidden)
        require(
            hidden.shape == x.shape and hidden.dtype == jnp.bool_,
            where,
            "hidden",
            hidden,
            f"booleans of shape {x.shape}, as `x`",
        )
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        said: dict[str, Any] = {} if deterministic is None else {"deterministic": deterministic}
        h = self._embed(x, hidden)
        init = nn.initializers.normal(0.02)
        column = self.param("column", init, (count, self.features), self.param_dtype)
        h = h + jnp.broadcast_to(column.astype(h.dtype), h.shape)
        make = functools.partial(self.block, self.num_heads, **options)
        for i in range(self.depth):
            if self.between_rows:
                rows = h.reshape(*h.shape[:-2], count * self.features)
                between: Any = make(name=f"rows_{i}")
                h = between(rows, **said).reshape(h.shape)
            within: Any = make(name=f"within_{i}")
            h = within(h, **said)
        h = LayerNorm(name="norm", **options)(h)
        return self._predict(h)

    def _groups(self) -> dict[int, list[int]]:
        """Give the columns of each number of categories: one product serves all of them."""
        groups: dict[int, list[int]] = {}
        for i, kinds in enumerate(self.columns):
            groups.setdefault(kinds, []).append(i)
        return groups

    def _embed(self, x: jax.Array, hidden: jax.Array) -> jax.Array:
        """Give each entry its vector, ``(*batch, rows, columns, features)``."""
        parts, order = [], []
        for kinds, members in self._groups().items():
            some = jnp.array(members)
            entries = _encode(x[..., some], hidden[..., some], kinds)
            parts.append(self._each(f"embed_{kinds}", entries, self.features))
            order += members
        return jnp.take(jnp.concatenate(parts, axis=-2), jnp.argsort(jnp.array(order)), axis=-2)

    def _predict(self, h: jax.Array) -> list[jax.Array]:
        """Give each column's predictions, in order."""
        found: dict[int, jax.Array] = {}
        for kinds, members in self._groups().items():
            y = self._each(f"heads_{kinds}", h[..., jnp.array(members), :], max(kinds, 1))
            found |= {i: y[..., place, :] for place, i in enumerate(members)}
        return [found[i] for i in range(len(self.columns))]

    def _each(self, name: str, x: jax.Array, features: int) -> jax.Array:
        """Apply to every column, the last axis but one, an affine map of its own."""
        columns, inputs = x.shape[-2:]
        # The axis of columns is no part of a map's fan-in.
        init = nn.initializers.lecun_normal(batch_axis=0)
        kernel = self.param(f"{name}_kernel", init, (columns, inputs, features), self.param_dtype)
        zeros = nn.initializers.zeros_init()
        bias = self.param(f"{name}_bias", zeros, (columns, features), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = jnp.einsum("...ci,cif->...cf", x, kernel)
        return y + jnp.broadcast_to(bias, y.shape)


def _encode(values: jax.Array, hidden: jax.Array, kinds: int) -> jax.Array:
    """Give a column's entries as one-hot rows or numbers, zeros where hidden, and a flag."""
    flag = hidden.astype(values.dtype)[..., None]
    if kinds:
        entry = jax.nn.one_hot(values.astype(jnp.int32), kinds, dtype=values.dtype)
    else:
        entry = values[..., None]
    # A choice and not a product: what is hidden may be NaN.
    entry = jnp.where(jnp.broadcast_to(flag > 0, entry.shape), jnp.zeros_like(entry), entry)
    return jnp.concatenate([entry, flag], axis=-1)


def check_columns(where: str, argument: str, columns: Sequence[int]) -> None:
    """Raise unless ``columns`` are numbers of categories, 0 for a number."""
    require(
        len(columns) > 0 and all(isinstance(k, int) and k >= 0 for k in columns),
        where,
        argument,
        columns,
        "a number of categories for each column, 0 for one of numbers",
    )
