r"""Choosing a token from logits: greedily or at random, after transforms of the logits.

A transform maps logits ``(*batch, vocabulary)`` to logits; what it removes becomes -inf. With z
the logits, π their softmax:

=====================  ====================================================================
``temperature(t)``     z / t
``top_k(k)``           the k largest; all that equal the k-th stay too
``top_p(p)``           the fewest, likeliest first, whose probabilities add up to p or more
``min_p(p)``           those with π at least p max π
``repetition_penalty`` of tokens seen before: z / r where z is positive, z r elsewhere
=====================  ====================================================================

Each is what the ``transformers`` library does under the same name. Sources: "Hierarchical Neural
Story Generation" (2018) for ``top_k``, "The Curious Case of Neural Text Degeneration" (2020) for
``top_p``, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs" (2024),
"CTRL: A Conditional Transformer Language Model for Controllable Generation" (2019), section 4.1,
for ``repetition_penalty``.
"""

import dataclasses
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxnn._check import (
    describe,
    require,
    require_array,
    require_key,
    require_positive,
    require_rank,
)
from jaxnn._numeric import accumulation_dtype

Logits = Float[Array, "*batch vocabulary"]
Seen = Bool[Array, "*batch vocabulary"]
Transform = Callable[..., Any]


def greedy(key: Any, logits: Logits) -> Integer[Array, "*batch"]:
    """Take the largest logit; the first wins a tie.

    Args:
      key: unused, so that it can stand where :func:`sample` stands; may be ``None``.
      logits: ``(*batch, vocabulary)``.

    Returns:
      Tokens, int32.
    """
    del key
    _check("greedy", logits)
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)


def sample(key: jax.Array, logits: Logits) -> Integer[Array, "*batch"]:
    """Draw a token from the softmax of the logits.

    Args:
      key: random key.
      logits: ``(*batch, vocabulary)``; -inf is never drawn.

    Returns:
      Tokens, int32.
    """
    require_key("sample", key)
    _check("sample", logits)
    wide = logits.astype(accumulation_dtype(logits.dtype))
    return jax.random.categorical(key, wide, axis=-1).astype(jnp.int32)


def temperature(t: float | jax.Array) -> Transform:
    """Divide logits by a temperature: below 1 the likely become likelier.

    Args:
      t: above 0; an array, even a traced one, is not checked.

    Returns:
      The transform. It is a pytree whose leaf is ``t``, so that another temperature is no other
      program.

    Raises:
      ValueError: ``t`` is not above 0.

    Example:
      >>> temperature(2.0)(jnp.array([2.0, 4.0])).tolist()
      [1.0, 2.0]
    """
    if not isinstance(t, jax.Array):
        require_positive("temperature", t=t)
        t = float(t)
    return _Temperature(t)


def top_k(k: int) -> Transform:
    """Keep the k largest logits, and those equal to the k-th.

    Args:
      k: at least 1; above the size of the vocabulary nothing is removed.

    Returns:
      The transform.

    Raises:
      ValueError: ``k`` is not a whole number above 0.

    Example:
      >>> top_k(2)(jnp.array([1.0, 3.0, 2.0, 2.0])).tolist()
      [-inf, 3.0, 2.0, 2.0]
    """
    whole = isinstance(k, Integral) and not isinstance(k, bool)
    require(whole and k > 0, "top_k", "k", k, "a whole number above zero")
    return _TopK(int(k))


def top_p(p: float | jax.Array) -> Transform:
    """Keep the likeliest tokens, as few as together have probability p; at least one.

    Of equal logits, those of larger tokens are kept first.

    Args:
      p: in (0, 1]; an array, even a traced one, is not checked.

    Returns:
      The transform, a pytree whose leaf is ``p``.

    Raises:
      ValueError: ``p`` is outside (0, 1].

    Example:
      >>> jnp.isfinite(top_p(0.7)(jnp.log(jnp.array([0.1, 0.5, 0.4])))).tolist()
      [False, True, True]
    """
    return _TopP(_share("top_p", p))


def min_p(p: float | jax.Array) -> Transform:
    """Keep the tokens that are at least p times as likely as the likeliest.

    Args:
      p: in (0, 1]; an array, even a traced one, is not checked.

    Returns:
      The transform, a pytree whose leaf is ``p``.

    Raises:
      ValueError: ``p`` is outside (0, 1].

    Example:
      >>> min_p(0.5)(jnp.array([0.0, 1.0, 2.0])).tolist()
      [-inf, -inf, 2.0]
    """
    return _MinP(_share("min_p", p))


def repetition_penalty(penalty: float | jax.Array) -> Transform:
    """Make tokens that occurred before less likely, or likelier with a penalty below 1.

    The transform is called ``transform(logits, seen)``, ``seen`` being True for the tokens of
    the vocabulary that the prompt or the text so far has; :func:`generate` keeps book of it.

    Args:
      penalty: above 0; an array, even a traced one, is not checked.

    Returns:
      The transform, a pytree whose leaf is ``penalty``.

    Raises:
      ValueError: ``penalty`` is not above 0.

    Example:
      >>> seen = jnp.array([True, True, False])
      >>> repetition_penalty(2.0)(jnp.array([1.0, -1.0, 1.0]), seen).tolist()
      [0.5, -2.0, 1.0]
    """
    if not isinstance(penalty, jax.Array):
        require_positive("repetition_penalty", penalty=penalty)
        penalty = float(penalty)
    return _RepetitionPenalty(penalty)


def chain(*transforms: Transform) -> Transform:
    """Apply transforms of logits one after the other.

    Args:
      transforms: functions of logits; one with a true attribute ``needs_seen`` is also given
        ``seen``, as :func:`repetition_penalty` says.

    Returns:
      The transform; with none, one that changes nothing.

    Raises:
      TypeError: one cannot be called.

    Example:
      >>> chain(temperature(0.5), top_k(1))(jnp.array([1.0, 2.0])).tolist()
      [-inf, 4.0]
    """
    for i, transform in enumerate(transforms):
        if not callable(transform):
            raise TypeError(
                f"chain: `transforms[{i}]` is {describe(transform)}; it needs a function of "
                "logits, such as top_k(40)."
            )
    return _Chain(tuple(transforms))


def needs_seen(transform: Any) -> bool:
    """Say whether a transform is to be told which tokens occurred before."""
    return bool(getattr(transform, "needs_seen", False))


def apply_transform(transform: Transform, logits: jax.Array, seen: jax.Array | None) -> jax.Array:
    """Call a transform with what it needs."""
    return transform(logits, seen) if needs_seen(transform) else transform(logits)


# Pytrees, so that numbers in them can change without a new program, and equal ones are equal.


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Temperature:
    t: Any

    def __call__(self, logits: Logits) -> Logits:
        _check("temperature", logits)
        return logits / jnp.asarray(self.t, logits.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _TopK:
    k: int = dataclasses.field(metadata={"static": True})

    def __call__(self, logits: Logits) -> Logits:
        _check("top_k", logits)
        if self.k >= logits.shape[-1]:
            return logits
        least = jax.lax.top_k(logits, self.k)[0][..., -1:]
        return _keep(logits, logits >= least)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _TopP:
    p: Any

    def __call__(self, logits: Logits) -> Logits:
        _check("top_p", logits)
        wide = logits.astype(accumulation_dtype(logits.dtype))
        order = jnp.argsort(wide, axis=-1)  # stable: of equal ones the later are kept
        below = jnp.cumsum(jax.nn.softmax(jnp.take_along_axis(wide, order, -1), -1), -1)
        keep = below > 1 - jnp.asarray(self.p, wide.dtype)
        last = jnp.arange(logits.shape[-1]) == logits.shape[-1] - 1
        keep = keep | jnp.broadcast_to(last, keep.shape)
        return _keep(logits, jnp.take_along_axis(keep, jnp.argsort(order, axis=-1), -1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _MinP:
    p: Any

    def __call__(self, logits: Logits) -> Logits:
        _check("min_p", logits)
        wide = logits.astype(accumulation_dtype(logits.dtype))
        least = jnp.max(wide, axis=-1, keepdims=True) + jnp.log(jnp.asarray(self.p, wide.dtype))
        return _keep(logits, wide >= least)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _RepetitionPenalty:
    penalty: Any
    needs_seen = True

    def __call__(self, logits: Logits, seen: Seen) -> Logits:
        where = "repetition_penalty"
        _check(where, logits)
        require(
            seen.shape == logits.shape and seen.dtype == jnp.bool_,
            where,
            "seen",
            seen,
            f"booleans of shape {logits.shape}, as `logits`",
        )
        penalty = jnp.asarray(self.penalty, logits.dtype)
        return jnp.where(seen, jnp.where(logits < 0, logits * penalty, logits / penalty), logits)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Chain:
    transforms: tuple[Any, ...]

    @property
    def needs_seen(self) -> bool:
        return any(map(needs_seen, self.transforms))

    def __call__(self, logits: Logits, seen: Seen | None = None) -> Logits:
        for transform in self.transforms:
            logits = apply_transform(transform, logits, seen)
        return logits


def _keep(logits: jax.Array, keep: jax.Array) -> jax.Array:
    return jnp.where(keep, logits, jnp.asarray(-jnp.inf, logits.dtype))


def _check(where: str, logits: jax.Array) -> None:
    require_array(where, logits=logits)
    require_rank(where, "logits", logits, 1, "(*batch, vocabulary)")


def _share(where: str, p: Any) -> Any:
    if isinstance(p, jax.Array):
        return p
    share = float(p) if isinstance(p, Real) else -1.0
    require(0 < share <= 1, where, "p", p, "a number in (0, 1]")
    return share
