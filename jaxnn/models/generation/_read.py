"""Reading on through a cache, and what can and cannot change without a new program."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn._check import describe, require, require_array, require_count

Read = Callable[..., tuple[jax.Array, Any]]


def reader(model: Any, variables: Any, inputs: Mapping[str, Any]) -> Read:
    """Make ``read(cache, tokens, **more) -> (logits, cache)``."""
    plain = {name: x for name, x in variables.items() if name != "cache"}

    def read(cache: Any, tokens: jax.Array, **more: Any) -> tuple[jax.Array, Any]:
        everything = {**plain, "cache": cache}
        logits, state = model.apply(everything, tokens, mutable=["cache"], **inputs, **more)
        return logits, state["cache"]

    return read


def partition(tree: Any) -> tuple[list[Any], tuple[Any, ...], Any]:
    """Split a pytree into arrays and numbers, which may change, and what a program is made for."""
    leaves, structure = jax.tree.flatten(tree)
    changing = [isinstance(x, jax.Array | np.ndarray | float) for x in leaves]
    data = [x if c else None for x, c in zip(leaves, changing, strict=True)]
    fixed = tuple(None if c else x for x, c in zip(leaves, changing, strict=True))
    return data, fixed, structure


def combine(data: Sequence[Any], fixed: Sequence[Any], structure: Any) -> Any:
    """Undo :func:`partition`."""
    leaves = [f if d is None else d for d, f in zip(data, fixed, strict=True)]
    return jax.tree.unflatten(structure, leaves)


def check_prompts(where: str, prompts: Any, valid: Any) -> None:
    """Raise unless prompts are whole numbers ``(batch, time)``, padded on the left if at all."""
    require_array(where, floating=False, prompts=prompts)
    if not jnp.issubdtype(prompts.dtype, jnp.integer):
        raise TypeError(f"{where}: `prompts` is {describe(prompts)}; it needs whole numbers.")
    full = prompts.ndim == 2 and prompts.size > 0
    require(full, where, "prompts", prompts, "shape (batch, time) with at least one token")
    if valid is None:
        return
    require_array(where, floating=False, valid=valid)
    require(
        valid.shape == prompts.shape and valid.dtype == np.bool_,
        where,
        "valid",
        valid,
        f"booleans of shape {prompts.shape}, as `prompts`",
    )
    if not isinstance(valid, Tracer):
        require(
            bool(np.all(np.asarray(valid)[:, -1])),
            where,
            "valid",
            valid,
            "True in the last column, from which generation goes on",
            "Pad on the left, as pad_prompts does.",
        )


def count_new(where: str, time: int, new_tokens: int | None, max_length: int | None) -> int:
    """Give the number of tokens to make."""
    if (new_tokens is None) == (max_length is None):
        raise ValueError(
            f"{where}: `new_tokens` is {new_tokens} and `max_length` {max_length}; it needs "
            "one of them."
        )
    if new_tokens is not None:
        require_count(where, new_tokens=new_tokens)
        return new_tokens
    whole = isinstance(max_length, Integral) and not isinstance(max_length, bool)
    needs = f"a whole number above {time}, the length of the prompts"
    require(whole and max_length > time, where, "max_length", max_length, needs)  # type: ignore[operator]
    return int(max_length) - time  # type: ignore[arg-type]


def check_stops(where: str, stop_tokens: Sequence[int]) -> tuple[int, ...]:
    """Give the stop tokens as a tuple of Python numbers."""
    ok = isinstance(stop_tokens, Sequence) and all(isinstance(t, Integral) for t in stop_tokens)
    require(ok, where, "stop_tokens", stop_tokens, "a tuple of whole numbers")
    return tuple(int(t) for t in stop_tokens)


def is_stop(tokens: jax.Array, stops: tuple[int, ...]) -> jax.Array:
    """Say which tokens are stop tokens."""
    found = jnp.zeros(tokens.shape, bool)
    for stop in stops:
        found |= tokens == stop
    return found


def last_logits(where: str, model: Any, logits: jax.Array, batch: int) -> jax.Array:
    """Give the logits after the prompts; raise unless the model gives some at each token."""
    require(
        logits.ndim == 3 and logits.shape[0] == batch,
        where,
        "model",
        type(model).__name__,
        f"logits at each token, (batch, time, vocabulary); it gives shape {logits.shape}",
    )
    return logits[:, -1]
