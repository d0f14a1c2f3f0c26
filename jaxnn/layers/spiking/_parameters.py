"""Per-unit parameters of neurons: broadcast once, checked once, kept in range when learned."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype

PerUnit = Float[Array, " units"] | Float[Array, ""] | float


def wide_dtype(*arrays: jax.Array):
    """Give the dtype in which a step over these arrays computes: float32 or wider."""
    return max((accumulation_dtype(array.dtype) for array in arrays), key=lambda d: d.itemsize)


def require_state(where: str, drive: jax.Array, init: str, **fields: jax.Array) -> None:
    """Raise unless drive and state are floating-point arrays of one shape."""
    require_array(where, drive=drive)
    require(drive.ndim >= 1, where, "drive", drive, "shape (*batch, units)")
    for name, value in fields.items():
        require_array(where, floating=True, **{f"state.{name}": value})
        require(
            value.shape == drive.shape,
            where,
            f"state.{name}",
            value,
            f"shape {drive.shape}, that of `drive`",
            f"It was probably made for another layer; use {init}(drive.shape).",
        )


def per_unit(where: str, argument: str, value: PerUnit, drive: jax.Array, dtype) -> jax.Array:
    """Turn a number, or one number a unit, into an array that broadcasts against ``drive``."""
    if isinstance(value, int | float):
        return jnp.full((1,) * drive.ndim, value, dtype)
    require_array(where, floating=True, **{argument: value})
    units = drive.shape[-1]
    require(
        value.shape in ((), (units,)),
        where,
        argument,
        value,
        f"a number or shape ({units},), one a unit",
    )
    shape = (1,) * (drive.ndim - 1) + (units if value.ndim else 1,)
    return value.astype(dtype).reshape(shape)


def require_decay(where: str, **decays: PerUnit) -> None:
    """Raise unless each decay that is a plain number lies in [0, 1]."""
    for argument, value in decays.items():
        if isinstance(value, int | float):
            require(0 <= value <= 1, where, argument, value, "a factor from 0 to 1")


def require_threshold(where: str, threshold: PerUnit) -> None:
    """Raise unless a threshold that is a plain number is positive and finite."""
    if isinstance(threshold, int | float):
        ok = math.isfinite(threshold) and threshold > 0
        require(ok, where, "threshold", threshold, "a finite number above zero")


def decay_parameter(
    module: nn.Module, name: str, value: float, units: int, *, learn: bool
) -> PerUnit:
    """Give the fixed decay, or the sigmoid of one logit a unit that starts at it."""
    where = type(module).__name__
    require_decay(where, **{name: value})
    if not learn:
        return value
    require(0 < value < 1, where, name, value, "a factor inside (0, 1) when it is learned")
    start = nn.initializers.constant(math.log(value / (1 - value)))
    return jax.nn.sigmoid(_float32(_unit_parameter(module, f"{name}_logit", start, units)))


def threshold_parameter(
    module: nn.Module, name: str, value: float, units: int, *, learn: bool
) -> PerUnit:
    """Give the fixed threshold, or the softplus of one number a unit that starts at it."""
    require_threshold(type(module).__name__, value)
    if not learn:
        return value
    # log(e^θ - 1), written so that large θ do not overflow.
    start = nn.initializers.constant(value + math.log(-math.expm1(-value)))
    return jax.nn.softplus(_float32(_unit_parameter(module, f"{name}_raw", start, units)))


def _unit_parameter(module: nn.Module, name: str, start, units: int) -> jax.Array:
    dtype = getattr(module, "param_dtype", jnp.float32)
    return module.param(name, start, (units,), dtype)


def _float32(value: jax.Array) -> jax.Array:
    return value.astype(accumulation_dtype(value.dtype))


def require_inputs(where: str, inputs: object) -> None:
    """Raise unless one step's ``inputs`` are a floating-point array with a units axis."""
    require_array(where, inputs=inputs)
    require(jnp.ndim(inputs) >= 1, where, "inputs", inputs, "shape (*batch, units)")  # pyright: ignore[reportArgumentType]


def step_shape(
    where: str, drive: jax.Array, time_axis: int, *, argument: str = "drive"
) -> tuple[int, ...]:
    """Give the shape of one step of a sequence, or raise if it has no such time axis."""
    require_array(where, floating=True, **{argument: drive})
    require(drive.ndim >= 2, where, argument, drive, "axes for time and, last, for units")
    axis = time_axis + drive.ndim if time_axis < 0 else time_axis
    require(
        0 <= axis < drive.ndim - 1,
        where,
        "time_axis",
        time_axis,
        f"an axis of `{argument}`, which has {drive.ndim}, before the last, which is units",
    )
    return drive.shape[:axis] + drive.shape[axis + 1 :]
