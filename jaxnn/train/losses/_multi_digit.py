r"""A short sequence read off one representation: a head for its length, one for each place.

======  =================================================================
L       length, 0 to the number of places N, or, as one more class, longer
S_i     symbol at place i
======  =================================================================

Given the representation all heads are independent, so the likeliest sequence is found exactly: the
best symbols do not depend on the length.

Source: "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
Networks" (2013).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from jaxnn._check import describe, require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import _of_label


def multi_digit_loss(
    outputs: tuple[Float[Array, "*batch lengths"], Float[Array, "*batch places symbols"]],
    targets: tuple[Integer[Array, "*batch"], Integer[Array, "*batch places"]],
) -> Float[Array, "*batch"]:
    r"""Give the negative log-likelihood of each sequence and its length, in nats.

    .. math:: \ell = -\log P(L = n) - \sum_{i=1}^{n} \log P(S_i = s_i)

    Places after the end count for nothing, and their heads get no gradient. Of a sequence that is
    longer than there are places only that is scored.

    Args:
      outputs: logits of lengths, N + 1 of them or N + 2 with one for longer; logits of symbols.
      targets: lengths n, where N + 1 is longer; symbols s, anything after the end.

    Returns:
      One value per sequence, in float32 or wider; NaN for a length or, before the end, a symbol
      that there is not.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree.

    Example:
      >>> outputs = jnp.zeros((3,)), jnp.zeros((2, 10))
      >>> round(float(multi_digit_loss(outputs, (jnp.array(1), jnp.array([7, -1])))), 3)
      3.401
    """
    where = "multi_digit_loss"
    length, symbols = _log_probabilities(where, outputs)
    count, target = targets
    for name, value, shape in (
        ("targets[0]", count, length.shape[:-1]),
        ("targets[1]", target, symbols.shape[:-1]),
    ):
        known = isinstance(value, jax.Array | np.ndarray)
        if not known or not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(f"{where}: `{name}` is {describe(value)}; it needs integers.")
        require(value.shape == shape, where, name, value, f"shape {shape}, that of `outputs`")
    count, target = (jnp.asarray(v).astype(jnp.int32) for v in (count, target))
    places = symbols.shape[-2]
    place = jnp.arange(places, dtype=jnp.int32).reshape((1,) * count.ndim + (places,))
    scored = (place < count[..., None]) & (count[..., None] <= places)
    each = jnp.where(scored, _of_label(symbols, target), 0)
    return -_of_label(length, count) - jnp.sum(each, axis=-1)


class Sequence(NamedTuple):
    """The likeliest sequences.

    Attributes:
      lengths: how many symbols.
      symbols: those, and -1 after the end.
      log_probability: of the whole sequence, in nats.
    """

    lengths: Integer[Array, "*batch"]
    symbols: Integer[Array, "*batch places"]
    log_probability: Float[Array, "*batch"]


def decode_multi_digit(
    outputs: tuple[Float[Array, "*batch lengths"], Float[Array, "*batch places symbols"]],
) -> Sequence:
    r"""Find the likeliest sequence of all lengths, exactly.

    .. math:: n = \mathrm{argmax}_{n \le N} \Big[ \log P(L = n) +
        \sum_{i=1}^{n} \max_s \log P(S_i = s) \Big]

    It can be shorter than the likeliest length, where a symbol is in doubt.

    Args:
      outputs: as of :func:`multi_digit_loss`; that it be longer is never answered, and what is
        likely to be has a low probability.

    Returns:
      Lengths, symbols, and log-probabilities, by which to refuse an answer; see
      :func:`coverage_at_accuracy`.

    Raises:
      TypeError: ``outputs`` are not floating-point.
      ValueError: the shapes disagree.
    """
    length, symbols = _log_probabilities("decode_multi_digit", outputs)
    places = symbols.shape[-2]
    sums = jnp.cumsum(jnp.max(symbols, axis=-1), axis=-1)
    total = length[..., : places + 1] + jnp.concatenate([jnp.zeros_like(sums[..., :1]), sums], -1)
    count = jnp.argmax(total, axis=-1).astype(jnp.int32)
    place = jnp.arange(places, dtype=jnp.int32).reshape((1,) * count.ndim + (places,))
    best = jnp.argmax(symbols, axis=-1).astype(jnp.int32)
    return Sequence(count, jnp.where(place < count[..., None], best, -1), jnp.max(total, axis=-1))


class Coverage(NamedTuple):
    """What share of answers to give.

    Attributes:
      coverage: share of examples that are answered.
      threshold: the confidence from which on to answer; infinite where none are.
    """

    coverage: Float[Array, "*batch"]
    threshold: Float[Array, "*batch"]


def coverage_at_accuracy(
    confidence: Float[Array, "*batch examples"],
    correct: Bool[Array, "*batch examples"],
    *,
    accuracy: float,
) -> Coverage:
    """Find how many examples can be answered, the surest first, at an accuracy among them.

    Args:
      confidence: of each answer, such as its log-probability.
      correct: whether it is right.
      accuracy: the least share of the answered to be right, in [0, 1]; the authors ask for 0.98,
        that of a person.

    Returns:
      The largest coverage and its threshold; examples of one confidence are answered together.

    Raises:
      TypeError: ``confidence`` is not floating-point or ``correct`` not boolean.
      ValueError: the shapes differ, there is no example, or ``accuracy`` is not a share.

    Example:
      >>> sure, right = jnp.array([3.0, 1.0, 2.0]), jnp.array([True, False, True])
      >>> [float(v) for v in coverage_at_accuracy(sure, right, accuracy=0.9)]
      [0.6666666865348816, 2.0]
    """
    where = "coverage_at_accuracy"
    require_array(where, confidence=confidence)
    require_rank(where, "confidence", confidence, 1, "(*batch, examples)")
    known = isinstance(correct, jax.Array | np.ndarray)
    if not known or correct.dtype != jnp.bool_:
        raise TypeError(f"{where}: `correct` is {describe(correct)}; it needs booleans.")
    shape = confidence.shape
    require(correct.shape == shape, where, "correct", correct, f"shape {shape}, of `confidence`")
    n = shape[-1]
    require(n > 0, where, "confidence", confidence, "at least one example")
    require(0 <= accuracy <= 1, where, "accuracy", accuracy, "a number in [0, 1]")
    order = jnp.argsort(confidence, axis=-1, descending=True)
    sure = jnp.take_along_axis(confidence, order, axis=-1)
    wide = accumulation_dtype(confidence.dtype)
    right = jnp.cumsum(jnp.take_along_axis(correct, order, axis=-1).astype(wide), axis=-1)
    answered = jnp.arange(1, n + 1, dtype=wide).reshape((1,) * (right.ndim - 1) + (n,))
    last = jnp.concatenate(
        [sure[..., 1:] < sure[..., :-1], jnp.ones_like(sure[..., :1], bool)], axis=-1
    )
    good = last & (right >= accuracy * answered)
    most = jnp.max(jnp.where(good, answered, 0), axis=-1)
    threshold = jnp.min(jnp.where(answered <= most[..., None], sure, jnp.inf), axis=-1)
    return Coverage(most / n, threshold)


def _log_probabilities(
    where: str, outputs: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    length, symbols = outputs
    for name, value in (("outputs[0]", length), ("outputs[1]", symbols)):
        require_array(where, floating=True, **{name: value})
    require_rank(where, "outputs[1]", symbols, 2, "(*batch, places, symbols)")
    *batch, places, _ = symbols.shape
    sizes = (places + 1, places + 2)
    ok = length.shape[:-1] == tuple(batch) and length.ndim and length.shape[-1] in sizes
    needs = f"shape {(*batch, sizes[0])}, or one more for longer"
    require(bool(ok), where, "outputs[0]", length, needs)
    wide = accumulation_dtype(length.dtype)
    length, symbols = (jax.nn.log_softmax(v.astype(wide), axis=-1) for v in (length, symbols))
    return length, symbols
