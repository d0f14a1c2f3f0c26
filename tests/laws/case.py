"""One row of the law suite: a public name, how to call it, and what must hold of it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

# Laws every row is held to unless it names an exemption and the reason for it.
LAWS = (
    "jit",  # compiled equals eager
    "vmap",  # vmapped equals a Python loop
    "gradients",  # equal finite differences, in float64
    "extremes",  # outputs and gradients stay finite for inputs far from the origin
    "bfloat16",  # near float32, and the dtype is kept
    "compiles_once",  # two calls with other values share one program
    "rejects",  # bad input raises an error that names argument, value and need
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reject:
    """A call that must fail.

    Attributes:
      call: takes no arguments and misuses the public name.
      error: ValueError or TypeError.
      match: regular expression that the message must contain: function, argument, need.
    """

    call: Callable[[], Any]
    error: type[Exception]
    match: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What the suite knows of one public name.

    Attributes:
      name: the name below ``jaxnn``, e.g. ``layers.feedforward.dense``.
      function: arrays (or pytrees of arrays) in, arrays out; options are closed over. For a
        module ``lambda variables, x: module.apply(variables, x)``; for a transform, the
        transform applied to a fixed function.
      inputs: makes the positional arguments for one example from a random key, float32.
      parity: the test file that holds its values against something independent.
      differentiable: positions of the arguments whose gradients are checked; the float ones
        if ``None``.
      key: position of the argument that is a random key, if there is one.
      equals: other callables of the same arguments that must agree: the module's function,
        the plain form of a fast path, a step repeated under scan.
      extreme: how far ``extremes`` scales the float inputs.
      tolerance: relative to the largest entry, for everything but gradients and bfloat16.
      tolerance_bfloat16: likewise for bfloat16, whose spacing is 1/128; say why if raised.
      rejects: bad calls.
      exempt: law to the reason it does not apply.
      optional: extra that must be importable; the row is skipped without it.
    """

    name: str
    function: Callable[..., Any]
    inputs: Callable[[jax.Array], tuple[Any, ...]]
    parity: str
    differentiable: tuple[int, ...] | None = None
    key: int | None = None
    equals: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    extreme: float = 1e3
    tolerance: float = 2e-5
    tolerance_bfloat16: float = 4e-2
    rejects: tuple[Reject, ...] = ()
    exempt: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain:
    """A public name that computes nothing on arrays: a state type, a type alias.

    Attributes:
      name: the name below ``jaxnn``.
      reason: why no law applies.
      parity: the test file that uses it.
    """

    name: str
    reason: str
    parity: str
