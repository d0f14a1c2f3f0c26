"""Errors that name the function, the argument, what it got and what it needs.

All checks read shapes, dtypes and static Python values only, so they run at trace time and
cost nothing in the compiled program.
"""

import math
from numbers import Integral, Real

import jax
import jax.numpy as jnp
import numpy as np


def describe(value: object) -> str:
    """Say in a few words what an argument is: shape and dtype for arrays, else its repr."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def require(ok: bool, where: str, argument: str, got: object, needs: str, hint: str = "") -> None:
    """Raise ``ValueError`` naming function, argument, value and need, unless ``ok``."""
    if not ok:
        tail = f" {hint}" if hint else ""
        raise ValueError(f"{where}: `{argument}` is {describe(got)}; it needs {needs}.{tail}")


def require_array(where: str, *, floating: bool = True, **arrays: object) -> None:
    """Raise ``TypeError`` unless every named argument is a (floating-point) array."""
    for argument, value in arrays.items():
        if not isinstance(value, jax.Array | np.ndarray):
            raise TypeError(
                f"{where}: `{argument}` is {describe(value)}; it needs a JAX or NumPy array."
            )
        if floating and not jnp.issubdtype(value.dtype, jnp.floating):
            raise TypeError(
                f"{where}: `{argument}` is {describe(value)}; it needs floating-point numbers. "
                f"Cast with `{argument}.astype(jnp.float32)`."
            )


def require_inexact(where: str, **arrays: jax.Array | np.ndarray) -> None:
    """Raise ``TypeError`` unless every named argument is an array, real or complex, no integers."""
    require_array(where, floating=False, **arrays)
    for argument, value in arrays.items():
        if not jnp.issubdtype(value.dtype, jnp.inexact):
            needs = "it needs floating-point or complex numbers."
            raise TypeError(f"{where}: `{argument}` has dtype {value.dtype}; {needs}")


def require_rank(where: str, argument: str, value: jax.Array, least: int, shape: str) -> None:
    """Raise ``ValueError`` unless ``value`` has at least ``least`` axes, shown as ``shape``."""
    require(value.ndim >= least, where, argument, value, f"shape {shape}")


def require_positive(where: str, **numbers: float) -> None:
    """Raise ``ValueError`` unless every named static number is finite and above zero."""
    for argument, value in numbers.items():
        ok = isinstance(value, Real) and math.isfinite(value) and value > 0
        require(ok, where, argument, value, "a finite number above zero")


def require_count(where: str, **numbers: int) -> None:
    """Raise ``ValueError`` unless every named static number is whole and above zero."""
    for argument, value in numbers.items():
        ok = isinstance(value, Integral) and not isinstance(value, bool) and value > 0
        require(ok, where, argument, value, "a whole number above zero")


def require_key(where: str, key: object) -> None:
    """Raise ``TypeError`` unless ``key`` is a typed key or a legacy ``uint32[2]`` key."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    legacy = (
        isinstance(key, jax.Array | np.ndarray)
        and key.dtype == np.uint32
        and key.shape[-1:] == (2,)
    )
    if not (typed or legacy):
        raise TypeError(
            f"{where}: `key` is {describe(key)}; it needs a random key, e.g. jax.random.key(0)."
        )
