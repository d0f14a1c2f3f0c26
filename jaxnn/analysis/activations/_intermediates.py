"""Capture and replacement of intermediate values, by one interceptor of all module calls.

Everything happens while the model is traced, so it works under ``jit``, ``vmap`` and ``grad``,
and a compiled program computes only what its outputs need.

A model of another kind is a function ``f(variables, *args, tap)`` that hands each value worth a
name to ``tap`` and goes on with what it returns: ``hidden = tap("hidden", jnp.tanh(x @ w))``. It
may not do so inside ``lax.scan``, whose values cannot leave by themselves.

Inside ``nn.scan`` and ``nn.vmap`` a path names the value of one step. It is captured, stacked,
where the transform lets the collection out (``variable_axes={"intermediates": 0}``); a patch
acts on every step, and calls within a step cannot be told apart by number. Inside ``nn.jit``
flax may reuse a trace and never ask; the path is then reported as unknown.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnn._check import require, require_array

Patch = jax.Array | Callable[[jax.Array], jax.Array]
Model = nn.Module | Callable[..., Any]


def capture(
    model: Model,
    variables: Mapping[str, Any],
    *args: Any,
    names: Iterable[str] | Callable[[str], bool] | None = None,
    patches: Mapping[str, Patch] | None = None,
    method: Callable[..., Any] | str | None = None,
    rngs: Any = None,
    **kwargs: Any,
) -> tuple[Any, dict[str, jax.Array]]:
    """Apply a model and return its intermediate values by name.

    Args:
      model: any linen module, or a function ``f(variables, *args, tap)``.
      variables: its variables, as for ``model.apply``.
      *args: the model's inputs.
      names: which values to return, listed or chosen by a predicate of the name; all if
        ``None``. Under ``jit`` what is not returned is not stored.
      patches: replacements made on the way, as in :func:`patch`.
      method: the model's method to apply, if not ``__call__``.
      rngs: random keys for the model, e.g. ``{"dropout": key}``.
      **kwargs: further inputs of the model.

    Returns:
      The model's outputs, and a dictionary of arrays, in the order in which the modules
      first return, all calls of one together (sorted, as every dictionary that leaves ``jit``).
      The output of the whole model is not repeated in it.

    Raises:
      TypeError: ``model`` is neither of the two, or a patch is not an array or function.
      ValueError: a name or path does not exist (the nearest that do are listed), or a patch
        does not fit.

    Example:
      >>> model = nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(2)])
      >>> variables = model.init(jax.random.key(0), jnp.ones((1, 4)))
      >>> logits, values = capture(model, variables, jnp.ones((1, 4)))
      >>> {name: value.shape for name, value in values.items()}
      {'layers_0': (1, 3), 'layers_2': (1, 2)}
    """
    options = {"method": method, "rngs": rngs, **kwargs}
    outputs, values, _ = apply("capture", model, variables, args, patches or {}, True, options)
    if names is None:
        return outputs, values
    if callable(names):
        return outputs, {name: value for name, value in values.items() if names(name)}
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        require_known("capture", "names", name, values)
    return outputs, {name: values[name] for name in names}


def patch(
    model: Model,
    variables: Mapping[str, Any],
    *args: Any,
    patches: Mapping[str, Patch],
    method: Callable[..., Any] | str | None = None,
    rngs: Any = None,
    **kwargs: Any,
) -> Any:
    """Apply a model with some intermediate values replaced.

    Args:
      model: any linen module, or a function ``f(variables, *args, tap)``.
      variables: its variables, as for ``model.apply``.
      *args: the model's inputs.
      patches: name to replacement: an array of the value's shape, or a function of the value
        that returns one, e.g. ``{"blocks_0/attention": jnp.zeros_like}``. For a module called
        several times its path replaces every call's value, ``"path:1"`` the second's only.
      method: the model's method to apply, if not ``__call__``.
      rngs: random keys for the model, e.g. ``{"dropout": key}``.
      **kwargs: further inputs of the model.

    Returns:
      The model's outputs. Gradients flow through the replacements; they are cast to the dtype
      of the values replaced. Values that are sown, not returned, cannot be replaced.

    Raises:
      TypeError: ``model`` is neither of the two, or a patch is not an array or function.
      ValueError: a path does not exist (the nearest that do are listed), or a patch does not
        fit.

    Example:
      >>> model = nn.Sequential([nn.Dense(3), nn.Dense(2)])
      >>> variables = model.init(jax.random.key(0), jnp.ones((1, 4)))
      >>> patch(model, variables, jnp.ones((1, 4)), patches={"layers_0": jnp.zeros_like}).tolist()
      [[0.0, 0.0]]
    """
    options = {"method": method, "rngs": rngs, **kwargs}
    return apply("patch", model, variables, args, patches, False, options).outputs


def cut(
    model: Model,
    variables: Mapping[str, Any],
    name: str,
    *,
    method: Callable[..., Any] | str | None = None,
    rngs: Any = None,
    **kwargs: Any,
) -> tuple[Callable[..., jax.Array], Callable[..., Any]]:
    """Cut a model in two functions at one of its intermediate values.

    Args:
      model: any linen module, or a function ``f(variables, *args, tap)``.
      variables: its variables, as for ``model.apply``.
      name: the value to cut at.
      method: the model's method to apply, if not ``__call__``.
      rngs: random keys for the model, e.g. ``{"dropout": key}``.
      **kwargs: further inputs of the model.

    Returns:
      ``before(*args)``, from the model's inputs to the value, and ``after(value, *args)``,
      from the value (and the inputs, should some path lead around it) to the outputs:
      ``after(before(x), x)`` is the model. Under ``jit`` neither computes the other's part.

    Raises:
      TypeError: ``model`` is neither of the two.
      ValueError: there is no such name (when a function is called; the nearest are listed).

    Example:
      >>> model = nn.Sequential([nn.Dense(3), jnp.sin, nn.Dense(1, use_bias=False)])
      >>> variables = model.init(jax.random.key(0), jnp.ones(4))
      >>> before, after = cut(model, variables, "layers_0")
      >>> h = before(jnp.ones(4))
      >>> slope = jax.grad(lambda h: after(h, jnp.ones(4))[0])(h)
      >>> want = jnp.cos(h) * variables["params"]["layers_2"]["kernel"][:, 0]
      >>> bool(jnp.allclose(slope, want))
      True
    """
    _require_model("cut", model)
    options = {"method": method, "rngs": rngs, **kwargs}

    def before(*args: Any) -> jax.Array:
        values = apply("cut", model, variables, args, {}, True, options).values
        require_known("cut", "name", name, values)
        return values[name]

    def after(value: jax.Array, *args: Any) -> Any:
        patches = {name: value}
        return apply("cut", model, variables, args, patches, False, options, "name").outputs

    return before, after


class Applied(NamedTuple):
    """What one application of a model gave.

    Attributes:
      outputs: of the model.
      values: captured, by name; empty unless they were asked for.
      shapes: of every value that can be replaced, by name, as it is when it is replaced: inside
        ``nn.scan``, one step's.
    """

    outputs: Any
    values: dict[str, jax.Array]
    shapes: dict[str, tuple[int, ...]]


def apply(
    where: str,
    model: Model,
    variables: Mapping[str, Any],
    args: tuple[Any, ...],
    patches: Mapping[str, Patch],
    capturing: bool,
    options: dict[str, Any],
    argument: str = "patches",
    before: bool = False,
) -> Applied:
    """Apply the model, replacing and perhaps capturing values, ``before`` they are replaced."""
    _require_model(where, model)
    if isinstance(model, nn.Module):
        applied, calls = _apply_module(
            where, model, variables, args, patches, capturing, options, before
        )
    else:
        applied, calls = _apply_function(where, model, variables, args, patches, options, before)
    for name in patches:
        require_known(where, argument, name, applied.shapes)
        path, numbered, _ = name.partition(":")
        needs = "no number, for nn.scan or another transform traces this module several times"
        require(not numbered or calls[path] == 1, where, argument, name, needs)
    return applied if capturing else applied._replace(values={})


def _apply_function(
    where: str,
    f: Callable[..., Any],
    variables: Mapping[str, Any],
    args: tuple[Any, ...],
    patches: Mapping[str, Patch],
    options: dict[str, Any],
    before: bool,
) -> tuple[Applied, dict[str, int]]:
    """Call a function with a tap that replaces and captures."""
    taken: dict[str, list[jax.Array]] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def tap(name: str, value: jax.Array) -> jax.Array:
        calls = taken.setdefault(name, [])
        own = value
        for known in (name, f"{name}:{len(calls)}"):
            shapes[known] = value.shape
            if known in patches:
                value = _replace(where, known, patches[known], value)
        calls.append(own if before else value)
        return value

    options = {key: value for key, value in options.items() if value is not None}
    require("method" not in options, where, "method", options.get("method"), "a linen module")
    outputs = f(variables, *args, tap=tap, **options)
    values = {
        name if len(calls) == 1 else f"{name}:{index}": value
        for name, calls in taken.items()
        for index, value in enumerate(calls)
    }
    return Applied(outputs, values, shapes), dict.fromkeys(taken, 1)


def _apply_module(
    where: str,
    model: nn.Module,
    variables: Mapping[str, Any],
    args: tuple[Any, ...],
    patches: Mapping[str, Patch],
    capturing: bool,
    options: dict[str, Any],
    before: bool,
) -> tuple[Applied, dict[str, int]]:
    """Apply a module under an interceptor that replaces, and perhaps sows, what modules return."""
    # Lifted transforms trace a module several times for one call, each time below a root scope
    # of its own: calls are counted root by root.
    calls: dict[str, dict[Any, int]] = {}
    active: list[str] = []
    shapes: dict[str, tuple[int, ...]] = {}
    order: dict[str, None] = {}

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        path = "/".join(context.module.path)
        # A lifted module (nn.remat, nn.scan) and one that calls super().__call__ come by twice
        # for one call; the outermost counts.
        if context.method_name != "__call__" or not path or path in active:
            return call(*args, **kwargs)
        active.append(path)
        try:
            value = call(*args, **kwargs)
        finally:
            active.pop()
        counts = calls.setdefault(path, {})
        index = counts.get(context.module.scope.root, 0)
        counts[context.module.scope.root] = index + 1
        leaves, structure = jax.tree.flatten_with_path(value)
        replaced = []
        for keys, leaf in leaves:
            for known in (_join(path, keys), _join(f"{path}:{index}", keys)):
                shapes[known] = jnp.shape(leaf)
                if known in patches:
                    leaf = _replace(where, known, patches[known], leaf)
            replaced.append(leaf)
        own, value = value, jax.tree.unflatten(structure, replaced)
        if capturing:
            order[path] = None
            context.module.sow("intermediates", "__call__", own if before else value)
        return value

    variables = {name: group for name, group in variables.items() if name != "intermediates"}
    mutable = ["intermediates"] if capturing else False
    with nn.intercept_methods(intercept):
        result = model.apply(variables, *args, mutable=mutable, **options)
    roots = {path: len(counts) for path, counts in calls.items()}
    if not capturing:
        return Applied(result, {}, shapes), roots
    outputs, sown = result
    values = _flatten(dict(sown).get("intermediates", {}), list(order))
    return Applied(outputs, values, shapes), roots


def _flatten(sown: Mapping[str, Any], order: list[str]) -> dict[str, jax.Array]:
    """Name every array of the collection, modules in the order in which they returned."""
    named: dict[str, tuple[Any, ...]] = {}

    def walk(tree: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for key, value in tree.items():
            if isinstance(value, Mapping):
                walk(value, (*path, key))
            else:
                name = "/".join(path if key == "__call__" else (*path, key))
                named[name] = value if isinstance(value, tuple) else (value,)

    walk(sown, ())
    position = {path: i for i, path in enumerate(order)}
    values: dict[str, jax.Array] = {}
    # A sown value comes just before the module that sowed it.
    for path in sorted(
        named, key=lambda n: (position.get(n, position.get(n.rpartition("/")[0], 0)), n in position)
    ):
        calls = named[path]
        for index, value in enumerate(calls):
            numbered = path if len(calls) == 1 else f"{path}:{index}"
            for keys, leaf in jax.tree.leaves_with_path(value):
                values[_join(numbered, keys)] = leaf
    return values


def _join(path: str, keys: tuple[Any, ...]) -> str:
    """Append the keys of a leaf within a module's output to the module's path."""
    return "/".join(
        [path, jax.tree_util.keystr(keys, simple=True, separator="/")] if keys else [path]
    )


def _replace(where: str, name: str, replacement: Patch, value: jax.Array) -> jax.Array:
    """Give the replacement of ``value``, which must have its shape."""
    new = replacement(value) if callable(replacement) else replacement
    argument = f"patches[{name!r}]"
    require_array(where, floating=False, **{argument: new})
    require(new.shape == value.shape, where, argument, new, f"the value's shape {value.shape}")
    return jnp.asarray(new, value.dtype)


def _require_model(where: str, model: object) -> None:
    """Raise ``TypeError`` unless ``model`` is a linen module or a function with a tap."""
    if isinstance(model, nn.Module):
        return
    if not callable(model) or "tap" not in inspect.signature(model).parameters:
        raise TypeError(
            f"{where}: `model` is a {type(model).__name__}; it needs a flax.linen module, or a "
            "function `f(variables, *args, tap)`. Give the module itself, not its `apply`."
        )


def require_known(where: str, argument: str, name: str, known: Iterable[str]) -> None:
    """Raise ``ValueError`` that lists the nearest names unless ``name`` is among them."""
    known = list(known)
    if name in known:
        return
    plain = [other for other in known if ":" not in other] or known
    near = difflib.get_close_matches(name, plain, n=3, cutoff=0.4) or plain[:3]
    listed = ", ".join(near) if near else "none, for it calls no submodule"
    require(False, where, argument, name, f"the path of a value of the model; nearest: {listed}")
