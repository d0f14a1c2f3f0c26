r"""Sequences to remember and recall from: digits read bit by bit, and tasks drawn from a key.

The drawn ones are pure functions of a random key, jit-able with static sizes; a token is an
int32. Where no answer is asked for, y is -1, so that ``y >= 0`` is the mask of a loss.

===========  ======================================================
n            examples
K            ``symbols``: the tokens 0 ... K - 1
K, K + 1     tokens beyond: the blank, and the mark that asks for an answer
===========  ======================================================
"""

import dataclasses
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxnn._check import require, require_count, require_key, require_positive
from jaxnn.data._dataset import Dataset, Split
from jaxnn.data._embedded import digits

Order = Literal["row", "pixel"]


class TokenTask(NamedTuple):
    """Sequences of tokens, and the token asked for at each step; -1 where none is."""

    x: Int[Array, "n steps"]
    y: Int[Array, "n steps"]


def sequential_digits(key: jax.Array | None = None, *, order: Order = "row") -> Dataset:
    """Load handwritten digits as sequences, to be named after the last step.

    Args:
      key: random key of a permutation of the 64 pixels, the same for all digits, made before
        they are cut into steps; their own order, line by line, if ``None``.
      order: 8 steps of a ``"row"`` of 8 pixels, or 64 steps of one ``"pixel"``.

    Returns:
      x ``(n, steps, channels)`` in [0, 1], otherwise what :func:`digits` returns; its
      ``feature_names`` are in the order of the pixels.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: the order is unknown.

    Source: "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units" (2015), with
    larger digits.
    """
    where = "sequential_digits"
    names = get_args(Order)
    require(order in names, where, "order", order, f"one of {names}")
    places = np.arange(64)
    if key is not None:
        require_key(where, key)
        places = np.asarray(jax.random.permutation(key, 64))
    channels = 8 if order == "row" else 1
    whole = digits()

    def cut(split: Split) -> Split:
        pixels = split.x.reshape(-1, 64)[:, places]
        return Split(pixels.reshape(-1, 64 // channels, channels), split.y)

    return dataclasses.replace(
        whole,
        train=cut(whole.train),
        test=cut(whole.test),
        feature_names=tuple(whole.feature_names[place] for place in places),
        name=f"digits-by-{order}",
    )


def event_digits(
    key: jax.Array,
    *,
    steps: int = 18,
    reach: float = 2.0,
    threshold: float = 0.2,
    noise: float = 0.01,
) -> Dataset:
    r"""Look at handwritten digits with an event camera that moves around a triangle.

    .. math:: s_t = [L_t - m_{t-1} \ge \theta] - [m_{t-1} - L_t \ge \theta], \quad
        m_t = m_{t-1} + \theta s_t, \quad m_0 = L_0

    with L_t the brightness that a pixel sees at its place, between pixels by linear
    interpolation, black beyond the edges. Each of three movements takes a third of the time:
    down and half as far to the right, up and as much to the right, and back. A pixel gives at
    most one event a step and owes the rest.

    Args:
      key: random key of the stray events.
      steps: number of time steps after the first look, a multiple of 3.
      reach: how far down and to the right the camera goes, in pixels.
      threshold: θ, where black is 0 and white is 1.
      noise: probability, in each step of each channel, of an event that means nothing.

    Returns:
      x ``(n, steps, 128)``, exactly 0 or 1: brighter at each of 64 pixels, line by line, then
      darker at each; otherwise what :func:`digits` returns.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero or does not fit, or ``noise`` is no probability.

    Source: "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades"
    (2015), which moved a camera before a screen.
    """
    where = "event_digits"
    require_key(where, key)
    require_count(where, steps=steps)
    require(steps % 3 == 0, where, "steps", steps, "a multiple of 3, one part a movement")
    require_positive(where, reach=reach, threshold=threshold)
    require(0 <= noise <= 1, where, "noise", noise, "a probability")
    whole = digits()
    corners = reach * np.array([[0.0, 0.0], [1.0, 0.5], [0.0, 1.0], [0.0, 0.0]])
    phase = 3 * np.arange(steps + 1) / steps
    down, right = (np.interp(phase, np.arange(4), corners[:, axis]) for axis in (0, 1))

    def events(split: Split, key: jax.Array) -> Split:
        shape = (len(split.x), steps, 2, 8, 8)
        fires = np.array(jax.random.bernoulli(key, noise, shape))
        seen = _moved(split.x, down[0], right[0])
        for t in range(steps):
            change = _moved(split.x, down[t + 1], right[t + 1]) - seen
            brighter, darker = change >= threshold, -change >= threshold
            fires[:, t, 0] |= brighter
            fires[:, t, 1] |= darker
            seen = seen + threshold * brighter - threshold * darker
        return Split(fires.reshape(len(split.x), steps, 128).astype(np.float32), split.y)

    train_key, test_key = jax.random.split(key)
    names = [f"{name}_{sign}" for sign in ("on", "off") for name in whole.feature_names]
    return dataclasses.replace(
        whole,
        train=events(whole.train, train_key),
        test=events(whole.test, test_key),
        feature_names=tuple(names),
        name="event-digits",
    )


def _moved(images: np.ndarray, down: float, right: float) -> np.ndarray:
    """Look at images from a place further down and to the right."""
    place = np.arange(8)
    rows, columns = (
        np.maximum(1 - np.abs(place[:, None] + far - place), 0) for far in (down, right)
    )
    return rows @ images @ columns.T


def copying_memory(
    key: jax.Array, n: int, *, symbols: int = 8, length: int = 10, delay: int = 100
) -> TokenTask:
    r"""Draw symbols to be given back, in their order, after a long blank.

    ``length`` symbols, ``delay - 1`` blanks K, the mark K + 1 and ``length`` blanks; asked for
    are blanks until the mark, at it too, and after it the symbols. Who knows no symbol has, at
    best, the cross-entropy

    .. math:: \frac{S \log K}{T + 2 S}

    on average over all steps, with S ``length`` and T ``delay``.

    Args:
      key: random key.
      n: how many examples.
      symbols: K.
      length: S, symbols to remember.
      delay: T; a symbol is asked for T + S steps after it was there.

    Returns:
      x and y, ``(n, delay + 2 * length)``, of K + 2 tokens; an answer at every step.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero.

    Source: "Unitary Evolution Recurrent Neural Networks" (2016), after "Long Short-Term Memory"
    (1997).
    """
    where = "copying_memory"
    require_key(where, key)
    require_count(where, n=n, symbols=symbols, length=length, delay=delay)
    row = jax.random.randint(key, (n, length), 0, symbols, jnp.int32)
    blank = jnp.full((n, delay + length), symbols, jnp.int32)
    x = jnp.concatenate([row, blank], axis=1).at[:, delay + length - 1].set(symbols + 1)
    return TokenTask(x, jnp.concatenate([blank, row], axis=1))


def selective_copying(
    key: jax.Array, n: int, *, symbols: int = 14, length: int = 16, steps: int = 256
) -> TokenTask:
    """Draw symbols among blanks, to be given back in their order without the blanks.

    The symbols lie at places drawn for each example, so that, other than in
    :func:`copying_memory`, no fixed delay finds them. Then the mark K + 1 asks ``length`` times.

    Args:
      key: random key.
      n: how many examples.
      symbols: K.
      length: symbols to remember.
      steps: length of the sequence, the answers included.

    Returns:
      x and y, ``(n, steps)``, of K + 2 tokens; the last ``length`` of y are asked for.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero, or ``steps`` has no room for symbols and answers.

    Source: "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023).
    """
    where = "selective_copying"
    require_key(where, key)
    require_count(where, n=n, symbols=symbols, length=length, steps=steps)
    least = f"at least {2 * length}, for `length` symbols and as many answers"
    require(steps >= 2 * length, where, "steps", steps, least)
    row_key, place_key = jax.random.split(key)
    row = jax.random.randint(row_key, (n, length), 0, symbols, jnp.int32)
    # The first few of a random order, sorted: places that differ, each as likely.
    lots = jax.random.uniform(place_key, (n, steps - length))
    places = jnp.sort(jnp.argsort(lots, axis=-1)[:, :length], axis=-1)
    x = jnp.full((n, steps), symbols, jnp.int32).at[jnp.arange(n)[:, None], places].set(row)
    y = jnp.full((n, steps), -1, jnp.int32)
    return TokenTask(x.at[:, -length:].set(symbols + 1), y.at[:, -length:].set(row))


def associative_recall(
    key: jax.Array,
    n: int,
    *,
    vocabulary: int = 64,
    pairs: int = 8,
    steps: int = 64,
    power: float = 0.01,
) -> TokenTask:
    r"""Draw pairs of a key and a value, then ask for each key's value, at places far and near.

    A sequence begins with ``pairs`` times a key and its value. Then every key comes once more, at
    an even number of steps from the last pair, with blanks 0 between; its value is the answer at
    that step. The places of the queries are drawn without replacement, with probabilities that
    fall with the gap g from the last pair,

    .. math:: P(g) \propto g^{a - 1}, \quad g = 1 \dots \lfloor (\mathrm{steps} - 2\,
              \mathrm{pairs}) / 2 \rfloor

    Keys are tokens from 1 on and values from ``vocabulary // 2`` on; within a sequence they differ
    from each other.

    Args:
      key: random key.
      n: how many examples.
      vocabulary: how many tokens, the blank included.
      pairs: how many keys, and so queries.
      steps: length of the sequence.
      power: a; 1 makes all gaps equally likely, small ones favour short gaps.

    Returns:
      x and y, ``(n, steps)``; -1 in y at all steps but the queries'.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero, there are fewer tokens than pairs need, or ``steps``
        has no room for the queries.

    Source: "Zoology: Measuring and Improving Recall in Efficient Language Models" (2023).

    Differs: the blanks between queries are random tokens in the authors' code.
    """
    where = "associative_recall"
    require_key(where, key)
    require_count(where, n=n, vocabulary=vocabulary, pairs=pairs, steps=steps)
    require_positive(where, power=power)
    least = f"at least {2 * pairs + 2}: a blank, and `pairs` keys and values"
    require(vocabulary >= 2 * pairs + 2, where, "vocabulary", vocabulary, least)
    least = f"at least {4 * pairs}, for `pairs` pairs and a query every other step"
    require(steps >= 4 * pairs, where, "steps", steps, least)
    key_key, value_key, gap_key = jax.random.split(key, 3)
    half, gaps = vocabulary // 2, steps // 2 - pairs

    def draw(key: jax.Array, tokens: int) -> jax.Array:
        lots = jax.random.uniform(key, (n, tokens))
        return jnp.argsort(lots, axis=-1)[:, :pairs].astype(jnp.int32)

    keys = draw(key_key, half - 1) + 1
    values = draw(value_key, vocabulary - half) + half
    # The largest of log-probabilities with Gumbel noise are draws without replacement.
    odds = (power - 1) * jnp.log(jnp.arange(1, gaps + 1, dtype=jnp.float32))
    lots = odds[None] + jax.random.gumbel(gap_key, (n, gaps))
    places = 2 * pairs + 2 * jnp.argsort(-lots, axis=-1)[:, :pairs]
    rows = jnp.arange(n)[:, None]
    told = jnp.stack([keys, values], axis=-1).reshape(n, 2 * pairs)
    x = jnp.zeros((n, steps), jnp.int32).at[:, : 2 * pairs].set(told).at[rows, places].set(keys)
    y = jnp.full((n, steps), -1, jnp.int32).at[rows, places].set(values)
    return TokenTask(x, y)
