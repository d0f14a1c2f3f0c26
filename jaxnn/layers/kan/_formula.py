r"""Turn a trained network into formulas: a table of fits, formulas on the edges, an expression.

Three steps, each of which can be looked at and overruled: :func:`symbolic_table` fits every
function of a library to every edge; :func:`symbolize` puts the chosen ones on the edges of a
network whose affine numbers can be trained on; :func:`formula` writes it out through sympy.

===========  =================================================================
a, b, c, d   ``(inputs, outputs)``: an edge is c f(a x + b) + d
f            one function of the library for each edge
===========  =================================================================

Source: "KAN: Kolmogorov-Arnold Networks" (2024), section 2.5.1 (symbolification).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn.layers.kan._edges import natural
from jaxnn.layers.kan._layer import edge_functions
from jaxnn.layers.kan._observe import Path, Variables, flatten, observe
from jaxnn.layers.kan._symbolic import (
    Symbol,
    SymbolicFit,
    rank_symbols,
    search,
    symbolic_library,
)

REMOVED = "0"  # the name of an edge that is not there
Names = tuple[tuple[str, ...], ...]  # a function of the library for each input and output


class EdgeFits(NamedTuple):
    """The fits of one layer.

    Attributes:
      library: the functions tried, by name.
      fits: a, b, c, d and R² as arrays ``(inputs, outputs, functions)``, in the library's order.
      ranked: for each edge the indices of the functions, the best first, same shape.
      active: whether the edge is there, ``(inputs, outputs)``.
    """

    library: Mapping[str, Symbol]
    fits: SymbolicFit
    ranked: np.ndarray
    active: np.ndarray

    def best(self, i: int, j: int, top: int = 5) -> list[tuple[str, float]]:
        """Give the best functions of edge (i, j) as pairs of name and R²."""
        names = list(self.library)
        return [(names[f], float(self.fits.r2[i, j, f])) for f in self.ranked[i, j, :top]]


def symbolic_table(
    model: nn.Module,
    variables: Variables,
    x: Array,
    *,
    library: Mapping[str, Symbol] | None = None,
    threshold: float = 0.01,
    points: int = 101,
    floor: float = 1e-5,
    reach: float = 10.0,
    resolution: int = 41,
    rounds: int = 4,
    **options: Any,
) -> dict[str, EdgeFits]:
    """Fit every function of a library to every edge of every KAN layer.

    Args:
      model: a linen module with KAN layers inside.
      variables: its variables.
      x: a batch of its inputs; edges are fitted over the range of what arrives at them.
      library: names to functions; :func:`symbolic_library` if ``None``.
      threshold: an edge whose mean magnitude on the data is no more than this is taken as
        removed, as is one that a mask removes.
      points: where edges are sampled, evenly over that range.
      floor: see :func:`suggest_symbolic`; the others see :func:`fit_symbolic`.
      reach: largest a and b.
      resolution: of the search.
      rounds: of the search.
      **options: passed on to ``model.apply``.

    Returns:
      For each layer, by its path joined with ``/``, the fits; ``table["layers_0"].best(0, 1)``
      are the best for the edge from input 0 to output 1.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: the model has no KAN layer.
    """
    library = symbolic_library() if library is None else dict(library)
    symbols = list(library.values())
    functions = tuple(symbol.function for symbol in symbols)
    table = {}
    for path, (seen, inputs) in observe("symbolic_table", model, variables, x, **options).items():
        parameters = _masked(variables, path, seen.parameters)
        on_edges = partial(edge_functions, basis=seen.basis, base=seen.layer.base)
        steps = jnp.linspace(0, 1, points, dtype=inputs.dtype)[:, None]
        low, high = jnp.min(inputs, axis=0)[None], jnp.max(inputs, axis=0)[None]
        xs = low * (1 - steps) + high * steps
        ys = on_edges(xs, **parameters)
        curves = jnp.moveaxis(ys, 0, -1).reshape(-1, points)
        places = jnp.repeat(xs.T, ys.shape[-1], axis=0)
        fits = _search_edges(places, curves, functions, float(reach), resolution, rounds)
        fits = SymbolicFit(*(value.reshape(*ys.shape[1:], -1) for value in fits))
        scores = jnp.mean(jnp.abs(on_edges(inputs, **parameters)), axis=0)
        table["/".join(path)] = EdgeFits(
            library,
            fits,
            rank_symbols(np.asarray(fits.r2), symbols, floor),
            np.asarray(scores > threshold),
        )
    return table


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _search_edges(xs, ys, functions, reach, resolution, rounds):
    # One edge after the other: the search of one already fills the machine, and its memory.
    return jax.lax.map(lambda xy: search(*xy, functions, reach, resolution, rounds), (xs, ys))


def _masked(variables: Variables, path: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    mask = flatten(variables).get(("mask", *path, "edges"))
    if mask is None:
        return parameters
    return {name: value * mask.astype(value.dtype) for name, value in parameters.items()}


class SymbolicLayer(nn.Module):
    r"""A layer whose edges are known functions: y_j = Σ_i c_ij f_ij(a_ij x_i + b_ij) + d_ij.

    Attributes:
      symbols: for each input, for each output, the name of f; ``"0"`` for no edge.
      library: the functions by name; :func:`symbolic_library` of all if ``None``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.

    The parameters ``a``, ``b``, ``c``, ``d`` have the shape ``(inputs, outputs)`` and start at
    1, 0, 1 and 0; :func:`symbolize` sets them.
    """

    symbols: Names
    library: Mapping[str, Symbol] | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, outputs)``."""
        where = "SymbolicLayer"
        require_array(where, x=x)
        require_rank(where, "x", x, 1, "(*batch, inputs)")
        library = symbolic_library("full") if self.library is None else self.library
        names = np.array(self.symbols)
        needs = f"a row of names for each of the {x.shape[-1]} inputs of `x`"
        require(names.ndim == 2 and len(names) == x.shape[-1], where, "symbols", names.shape, needs)
        unknown = set(names.ravel()) - {*library, REMOVED}
        require(not unknown, where, "symbols", unknown, "names of the library")
        starts = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.0}
        numbers = [
            self.param(name, nn.initializers.constant(start), names.shape, self.param_dtype)
            for name, start in starts.items()
        ]
        x, a, b, c, d = promote_dtype(x, *numbers, dtype=self.dtype)
        y = jnp.zeros((*x.shape[:-1], names.shape[1]), x.dtype)
        for name in sorted(set(names.ravel()) - {REMOVED}):
            # Only where it stands: a logarithm is never asked for the numbers of other edges.
            i, j = np.nonzero(names == name)
            a_, b_, c_, d_ = (_broadcast(v[i, j], x.ndim) for v in (a, b, c, d))
            y = y.at[..., j].add(c_ * library[name].function(a_ * x[..., i] + b_) + d_)
        return y


def _broadcast(v: jax.Array, ndim: int) -> jax.Array:
    return v.reshape((1,) * (ndim - 1) + v.shape)


def symbolize(
    model: nn.Module,
    variables: Variables,
    table: Mapping[str, EdgeFits],
    *,
    fixed: Mapping[tuple[str, int, int], str] | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Replace every edge by the best function of a table, or by one that is named.

    Args:
      model: the network, with a ``layer`` slot as ``models.KAN`` has.
      variables: its variables.
      table: from :func:`symbolic_table`, for all of its KAN layers.
      fixed: ``{("layers_0", 1, 0): "sin"}`` puts a sine from input 1 to output 0 of the first
        layer, and ``"0"`` removes that edge.

    Returns:
      The network with :class:`SymbolicLayer` in the slot and its variables: train on with them
      to polish the numbers, write them out with :func:`formula`.

    Raises:
      ValueError: the model has no ``layer`` slot, or ``fixed`` names an edge or a function that
        the table has not.
    """
    where, fixed = "symbolize", dict(fixed or {})
    slot = type(model).__name__
    require(hasattr(model, "layer"), where, "model", slot, "a `layer` slot, as models.KAN has")
    names, params = {}, dict(variables["params"])
    for path, edges in table.items():
        library = list(edges.library)
        shape = edges.active.shape
        chosen = np.where(edges.active, edges.ranked[..., 0], -1)
        for (at_path, i, j), name in fixed.items():
            if at_path == path:
                inside = 0 <= i < shape[0] and 0 <= j < shape[1]
                require(inside, where, "fixed", (at_path, i, j), f"an edge of its {shape}")
                known = name in (*library, REMOVED)
                require(known, where, "fixed", name, f"one of {[*library, REMOVED]}")
                chosen[i, j] = -1 if name == REMOVED else library.index(name)
        at = np.maximum(chosen, 0)[..., None]
        numbers = (np.take_along_axis(np.asarray(v), at, axis=2)[..., 0] for v in edges.fits[:4])
        params = _set(
            params,
            tuple(path.split("/")),
            {
                name: jnp.asarray(np.where(chosen >= 0, value, 0.0), jnp.float32)
                for name, value in zip("abcd", numbers, strict=True)
            },
        )
        names[path] = tuple(
            tuple(REMOVED if f < 0 else library[f] for f in row) for row in chosen.tolist()
        )
    wrong = {edge[0] for edge in fixed} - set(table)
    require(not wrong, where, "fixed", wrong, f"layers of the table: {list(table)}")
    library = next(iter(table.values())).library

    def layer(features: int, *, name: str, dtype: Any = None, **_: Any) -> SymbolicLayer:
        del features  # the table has it
        return SymbolicLayer(names[name], library=library, dtype=dtype, name=name)

    return model.clone(layer=layer), {"params": params}


def _set(tree: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    head, *rest = path
    return {**tree, head: _set(tree[head], tuple(rest), value) if rest else value}


def formula(
    model: nn.Module,
    variables: Variables,
    names: Sequence[str] | None = None,
    *,
    digits: int | None = 4,
) -> list[Any]:
    """Write a symbolic network out as expressions, one for each output.

    Args:
      model: from :func:`symbolize`; its layers follow each other.
      variables: of it.
      names: of the inputs; ``x_1``, ``x_2`` ... if ``None``.
      digits: significant digits that numbers are rounded to; ``None`` leaves them.

    Returns:
      Expressions of sympy: ``print(...)`` or ``sympy.latex(...)`` them.

    Raises:
      ImportError: sympy is not installed; it comes with the extra ``symbolic``.
      ValueError: the model is not of symbolic layers, or the names are not one for each input.
    """
    where = "formula"
    try:
        import sympy  # a large package that only this needs
        from sympy.parsing.sympy_parser import parse_expr
    except ImportError as error:
        needs = "formula: sympy is needed to write formulas; install jaxnn[symbolic]."
        raise ImportError(needs) from error
    layers = _symbolic_layers(where, model, variables)
    inputs = len(layers[0][0].symbols)
    names = [f"x_{i + 1}" for i in range(inputs)] if names is None else list(names)
    require(len(names) == inputs, where, "names", names, f"a name for each of {inputs} inputs")

    def number(value: Any) -> Any:
        return sympy.Float(float(value), digits) if digits else sympy.Float(float(value))

    values = [sympy.Symbol(name) for name in names]
    span, onto = getattr(model, "input_range", None), getattr(model, "grid_range", None)
    if span is not None and onto is not None:
        slope = (onto[1] - onto[0]) / (span[1] - span[0])
        values = [number(slope) * v + number(onto[0] - slope * span[0]) for v in values]
    for layer, numbers in layers:
        library = symbolic_library("full") if layer.library is None else layer.library
        sums = [sympy.Integer(0)] * len(layer.symbols[0])
        for i, row in enumerate(layer.symbols):
            for j, name in enumerate(row):
                if name == REMOVED:
                    continue
                a, b, c, d = (number(numbers[k][i, j]) for k in "abcd")
                inner = a * values[i] + b
                text = library[name].expression
                z = sympy.Symbol("z")
                outer = parse_expr(text, local_dict={"z": z}) if text else sympy.Function(name)(z)
                sums[j] = sums[j] + c * outer.subs(z, inner) + d
        values = sums
    return [sympy.N(value, digits) if digits else value for value in values]


def _symbolic_layers(where: str, model: nn.Module, variables: Variables) -> list[Any]:
    """Give the symbolic layers in the order of their names, each with its parameters."""
    make, params = getattr(model, "layer", None), variables["params"]
    names = sorted(params, key=lambda name: natural((name,)))
    made = [make(0, name=name) for name in names] if callable(make) else []
    ok = bool(made) and all(isinstance(layer, SymbolicLayer) for layer in made)
    require(ok, where, "model", type(model).__name__, "a network from `symbolize`")
    return [(layer, params[name]) for layer, name in zip(made, names, strict=True)]
