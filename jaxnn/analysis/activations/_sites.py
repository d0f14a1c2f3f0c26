r"""Slopes at the values of a model, and what it does without each of them.

Source: "Locating and Editing Factual Associations in GPT" (2022) for the replacement of one
value at a time, there called causal tracing.

=====  ====================================================
m      ``metric`` of the model's outputs
h_s    the value at site s: a name and, along ``axes``, an index
h'_s   its replacement
=====  ====================================================
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, UInt32

from jaxnn._check import require, require_array
from jaxnn.analysis._function import chunked_map, scalar
from jaxnn.analysis.activations._intermediates import (
    Applied,
    Model,
    Patch,
    apply,
    require_known,
)


def sites(
    model: Model,
    variables: Mapping[str, Any],
    *args: Any,
    method: Callable[..., Any] | str | None = None,
    rngs: Any = None,
    **kwargs: Any,
) -> dict[str, jax.ShapeDtypeStruct]:
    """List the intermediate values that can be replaced, without computing any.

    Those that are only sown cannot, and what lies inside ``nn.scan`` only for all steps alike:
    neither is listed.

    Args:
      model: any linen module, or a function ``f(variables, *args, tap)``.
      variables: its variables, as for ``model.apply``, or their shapes.
      *args: the model's inputs.
      method: the model's method to apply, if not ``__call__``.
      rngs: random keys for the model, e.g. ``{"dropout": key}``.
      **kwargs: further inputs of the model.

    Returns:
      Name to shape and dtype, in the order of :func:`capture`.

    Raises:
      TypeError: ``model`` is neither of the two.

    Example:
      >>> model = nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(2)])
      >>> variables = model.init(jax.random.key(0), jnp.ones((1, 4)))
      >>> {name: site.shape for name, site in sites(model, variables, jnp.ones((1, 4))).items()}
      {'layers_0': (1, 3), 'layers_2': (1, 2)}
    """
    options = {"method": method, "rngs": rngs, **kwargs}

    def run(variables: Mapping[str, Any], *args: Any) -> Applied:
        return apply("sites", model, variables, args, {}, True, options)

    return _sites(run, variables, *args)[0]


def _sites(
    run: Callable[..., Applied], *args: Any
) -> tuple[dict[str, jax.ShapeDtypeStruct], list[str]]:
    """Give the replaceable values by name, and the names of all."""
    # Shapes are static: they travel beside what is traced; the order, which a dictionary of
    # traced values loses, too.
    seen: list[Applied] = []

    def values(*args: Any) -> dict[str, jax.Array]:
        seen.append(run(*args))
        return seen[0].values

    known = jax.eval_shape(values, *args)
    shapes, names = seen[0].shapes, list(seen[0].values)
    whole = {name: known[name] for name in names if shapes.get(name) == known[name].shape}
    return whole, names


class Gradients(NamedTuple):
    """What :func:`gradients` gives.

    Attributes:
      metric: of the outputs, one number.
      values: by name.
      gradients: of the metric with respect to each value, under the same names.
    """

    metric: jax.Array
    values: dict[str, jax.Array]
    gradients: dict[str, jax.Array]


def gradients(
    model: Model,
    variables: Mapping[str, Any],
    *args: Any,
    metric: Callable[[Any], jax.Array],
    names: Iterable[str] | Callable[[str], bool] | None = None,
    patches: Mapping[str, Patch] | None = None,
    method: Callable[..., Any] | str | None = None,
    rngs: Any = None,
    **kwargs: Any,
) -> Gradients:
    r"""Differentiate one number of the outputs with respect to intermediate values.

    All of them in one backward pass. The slope times a change, summed, is the first-order
    estimate of what :func:`activation_patching` measures.

    Args:
      model: any linen module, or a function ``f(variables, *args, tap)``.
      variables: its variables, as for ``model.apply``.
      *args: the model's inputs.
      metric: the model's outputs to one number.
      names: of the values, listed or chosen by a predicate; if ``None``, of all that are
        floating and that a patch can replace, but for those inside ``nn.scan``.
      patches: replacements made on the way, as in :func:`patch`.
      method: the model's method to apply, if not ``__call__``.
      rngs: random keys for the model, e.g. ``{"dropout": key}``.
      **kwargs: further inputs of the model.

    Returns:
      The metric, the values and their gradients.

    Raises:
      TypeError: ``model`` is neither of the two, or the metric is not floating.
      ValueError: a name does not exist or lies inside ``nn.scan``; a patch does not fit; or the
        metric is more than one number.

    Example:
      >>> model = nn.Sequential([nn.Dense(3), jnp.tanh, nn.Dense(1, use_bias=False)])
      >>> variables = model.init(jax.random.key(0), jnp.ones(4))
      >>> result = gradients(model, variables, jnp.ones(4), metric=jnp.sum, names=["layers_0"])
      >>> slope = 1 - jnp.tanh(result.values["layers_0"]) ** 2
      >>> want = slope * variables["params"]["layers_2"]["kernel"][:, 0]
      >>> bool(jnp.allclose(result.gradients["layers_0"], want))
      True
    """
    where = "gradients"
    given = dict(patches or {})
    options = {"method": method, "rngs": rngs, **kwargs}

    def run(patches: Mapping[str, Patch]) -> Applied:
        return apply(where, model, variables, args, patches, True, options)

    whole, known = _sites(lambda: run(given))
    chosen = _choose(where, whole, known, names)
    deltas = {name: jnp.zeros(whole[name].shape, whole[name].dtype) for name in chosen}

    def moved(deltas: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        shifts = {name: _shift(given.get(name), delta) for name, delta in deltas.items()}
        applied = run({**given, **shifts})
        return scalar(where, metric)(applied.outputs), applied.values

    (number, values), slopes = jax.value_and_grad(moved, has_aux=True)(deltas)
    return Gradients(number, {name: values[name] for name in chosen}, slopes)


def ablation(
    values: Mapping[str, jax.Array],
    how: Literal["zero", "mean", "resample"] = "zero",
    *,
    axis: int | tuple[int, ...] = 0,
    key: PRNGKeyArray | UInt32[jax.Array, "2"] | None = None,
) -> dict[str, jax.Array]:
    """Make replacements of values that take away what tells one example from another.

    Args:
      values: by name, as :func:`capture` gives them.
      how: ``"zero"``; ``"mean"`` over ``axis``; or ``"resample"``, the values of other
        examples, in an order drawn along ``axis``, the same for all names.
      axis: of the examples; for the mean perhaps several, e.g. ``(0, 1)`` for places too.
      key: random key, for ``"resample"`` alone.

    Returns:
      A dictionary of arrays of the same names, shapes and dtypes, for :func:`patch` and
      :func:`activation_patching`.

    Raises:
      TypeError: a value is not an array of floats.
      ValueError: ``how`` is none of the three; ``axis`` does not fit; ``key`` is missing or
        given in vain.

    Example:
      >>> values = {"h": jnp.array([[1.0, 2.0], [3.0, 6.0]])}
      >>> ablation(values, "mean")["h"].tolist()
      [[2.0, 4.0], [2.0, 4.0]]
    """
    where = "ablation"
    for name, value in values.items():
        require_array(where, floating=True, **{f"values[{name!r}]": value})
    require(how in ("zero", "mean", "resample"), where, "how", how, "one of zero, mean, resample")
    needs = "a key if `how` is 'resample', and none otherwise"
    require((key is not None) == (how == "resample"), where, "key", key, needs)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for name, value in values.items():
        ok = all(-value.ndim <= a < value.ndim for a in axes)
        require(ok, where, "axis", axis, f"axes of `{name}`, of shape {value.shape}")
    if how == "zero":
        return {name: jnp.zeros_like(value) for name, value in values.items()}
    if how == "mean":
        return {
            name: jnp.broadcast_to(jnp.mean(value, axes, keepdims=True), value.shape)
            for name, value in values.items()
        }
    require(len(axes) == 1, where, "axis", axis, "one axis to resample along")
    assert key is not None
    lengths = {value.shape[axes[0]] for value in values.values()}
    needs = "values with one number of examples along it"
    require(len(lengths) <= 1, where, "axis", axis, f"{needs}, not {sorted(lengths)}")
    order = jax.random.permutation(key, lengths.pop() if lengths else 0)
    return {name: jnp.take(value, order, axis=axes[0]) for name, value in values.items()}


def activation_patching(
    model: Model,
    variables: Mapping[str, Any],
    *args: Any,
    replacements: Mapping[str, jax.Array],
    metric: Callable[[Any], jax.Array],
    axes: int | tuple[int, ...] | Mapping[str, int | tuple[int, ...]] = (),
    batch_size: int | None = None,
    method: Callable[..., Any] | str | None = None,
    rngs: Any = None,
    **kwargs: Any,
) -> dict[str, jax.Array]:
    r"""Measure the outputs with one value replaced, for every value, in one compiled program.

    .. math:: e_s = m(\text{model with } h_s = h'_s \text{ and all else computed from it})

    With values of another input it is activation patching: which of them carry what the two
    inputs differ in. With those of :func:`ablation` it is an ablation study: what is missed.

    Args:
      model: any linen module, or a function ``f(variables, *args, tap)``.
      variables: its variables, as for ``model.apply``.
      *args: the model's inputs.
      replacements: name to array of the value's shape: :func:`capture` on other inputs,
        restricted to ``names``, or :func:`ablation`.
      metric: the model's outputs to one number.
      axes: of the values, along which they are replaced index by index: ``1`` for the places of
        ``(batch, time, width)``; or name to axes. The whole value at once by default.
      batch_size: changed models run at once; ``None`` takes 5.
      method: the model's method to apply, if not ``__call__``.
      rngs: random keys for the model, e.g. ``{"dropout": key}``.
      **kwargs: further inputs of the model.

    Returns:
      For each name the metric, an array with one axis for each of ``axes``.

    Raises:
      TypeError: ``model`` is neither of the two, or a replacement is not an array.
      ValueError: a path does not exist (the nearest are listed); a replacement or its axes do
        not fit; or the metric is more than one number.

    Example:
      >>> model = nn.Sequential([nn.Dense(3), jnp.tanh, nn.Dense(1, use_bias=False)])
      >>> variables = model.init(jax.random.key(0), jnp.ones((2, 4)))
      >>> _, values = capture(model, variables, jnp.ones((2, 4)), names=["layers_0"])
      >>> options = {"replacements": ablation(values), "metric": lambda y: y[1, 0]}
      >>> effects = activation_patching(model, variables, jnp.ones((2, 4)), axes=0, **options)
      >>> (effects["layers_0"] == 0).tolist()  # only its own example misses the hidden layer
      [False, True]
    """
    where = "activation_patching"
    for name, value in replacements.items():
        require_array(where, floating=False, **{f"replacements[{name!r}]": value})
    along = {name: _axes_of(where, name, value, axes) for name, value in replacements.items()}
    grids = {name: tuple(replacements[name].shape[a] for a in along[name]) for name in along}
    sites = np.concatenate(
        [
            np.stack([np.full(math.prod(grid), site), np.arange(math.prod(grid))], -1)
            for site, grid in enumerate(grids.values())
        ]
        or [np.zeros((0, 2))]
    ).astype(np.int32)
    if not len(sites):
        return {name: jnp.zeros(grid) for name, grid in grids.items()}
    options = {"method": method, "rngs": rngs, **kwargs}

    def effect(site_and_index: jax.Array) -> jax.Array:
        site, index = site_and_index[0], site_and_index[1]

        def replacement(i: int, name: str) -> Patch:
            new = replacements[name]
            chosen = _select(new.shape, along[name], index) & (site == i)
            return lambda old: jnp.where(chosen, fit(where, name, new, old), old)

        patches = {name: replacement(i, name) for i, name in enumerate(replacements)}
        run = apply(where, model, variables, args, patches, False, options, "replacements")
        return scalar(where, metric)(run.outputs)

    effects = chunked_map(where, effect, jnp.asarray(sites), batch_size)
    ends = np.cumsum([math.prod(grid) for grid in grids.values()])[:-1]
    parts = jnp.split(effects, ends)
    return {
        name: part.reshape(grid) for (name, grid), part in zip(grids.items(), parts, strict=True)
    }


def _choose(
    where: str,
    whole: Mapping[str, jax.ShapeDtypeStruct],
    known: list[str],
    names: Iterable[str] | Callable[[str], bool] | None,
) -> list[str]:
    """List the names to differentiate at."""
    floating = [n for n, site in whole.items() if jnp.issubdtype(site.dtype, jnp.floating)]
    if names is None:
        return floating
    if callable(names):
        return [name for name in floating if names(name)]
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        require_known(where, "names", name, known)
        needs = "a floating value that a module returns, outside nn.scan"
        require(name in floating, where, "names", name, needs)
    return listed


def _shift(patch: Patch | None, delta: jax.Array) -> Patch:
    """Make the patch that adds ``delta`` to the value, or to what replaces it."""

    def shifted(value: jax.Array) -> jax.Array:
        if patch is not None:
            value = jnp.asarray(patch(value) if callable(patch) else patch, value.dtype)
        return value + delta

    return shifted


def _axes_of(where: str, name: str, value: jax.Array, axes: Any) -> tuple[int, ...]:
    """Give the axes of one name, counted from the front."""
    if isinstance(axes, Mapping):
        axes = axes.get(name, ())
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    ok = all(isinstance(a, int) and -value.ndim <= a < value.ndim for a in axes)
    front = tuple(a % value.ndim for a in axes) if ok else ()
    needs = f"different axes of `{name}`, of shape {value.shape}"
    require(ok and len(set(front)) == len(axes), where, "axes", axes, needs)
    return front


def _select(shape: tuple[int, ...], axes: tuple[int, ...], index: jax.Array) -> jax.Array:
    """Say which entries have the flat ``index`` along ``axes``."""
    grid = tuple(shape[a] for a in axes)
    chosen = jnp.ones((1,) * len(shape), bool)
    for axis, at in zip(axes, jnp.unravel_index(index, grid) if grid else (), strict=True):
        entries = np.arange(shape[axis], dtype=np.int32).reshape(
            -1, *(1,) * (len(shape) - axis - 1)
        )
        chosen = chosen & (jnp.asarray(entries)[(None,) * axis] == at)
    return chosen


def fit(where: str, name: str, new: jax.Array, old: jax.Array) -> jax.Array:
    """Give the replacement in the dtype of the value, which must have its shape."""
    argument = f"replacements[{name!r}]"
    require(new.shape == old.shape, where, argument, new, f"the value's shape {old.shape}")
    return jnp.asarray(new, old.dtype)
