r"""Strings of Reber's grammar, and strings that are not: drawn from a key, checked by automaton.

=========  ======================================================
n          examples
symbols    ``REBER_SYMBOLS``, the tokens 0 ... 6; 7 follows a string's end
s, a       a state of the automaton, a symbol
F_r(s)     probability to finish within r more symbols from state s
=========  ======================================================

Source: "Implicit learning of artificial grammars" (1967) for the grammar, "Long Short-Term
Memory" (1997) for the embedded one.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxnn._check import require, require_array, require_count, require_key

REBER_SYMBOLS = "BTPSXVE"
PAD = len(REBER_SYMBOLS)
INNER = slice(1, 6)  # T, P, S, X and V: neither begin nor end

# From each state, the two symbols that may follow and where they lead; at the end none.
_EDGES = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
    {},
)


class GrammarStrings(NamedTuple):
    """Strings with their lengths, and whether a grammar accepts them."""

    x: Int[Array, "n max_length"]
    y: Int[Array, " n"]
    lengths: Int[Array, " n"]


def reber_grammar(
    key: jax.Array,
    n: int,
    *,
    max_length: int = 20,
    embedded: bool = False,
    corruptions: int = 1,
) -> GrammarStrings:
    r"""Draw strings of Reber's grammar, half of them corrupted so that it does not accept them.

    A string begins with B, takes either way with probability 1/2 wherever the grammar has two,
    and ends with E; of these random walks, the ones with at most ``max_length`` symbols, each as
    likely as among all. They are drawn without rejection, with

    .. math:: P_r(a \mid s) = \frac{P(a \mid s) F_{r-1}(s')}{F_r(s)}

    where a leads from s to s' and r symbols are left. In a corrupted string, ``corruptions``
    symbols between B and E have become others of T, P, S, X and V. Lengths say nothing of y.

    Args:
      key: random key.
      n: how many examples.
      max_length: of a string; shorter ones are padded.
      embedded: put a string of the grammar between B T and T E, or between B P and P E: what
        comes last but one is what was second.
      corruptions: symbols changed, at different places.

    Returns:
      x ``(n, max_length)``, places in ``REBER_SYMBOLS``, and 7, of which ``jax.nn.one_hot`` with
      7 classes makes zeros, after the end; y, 1 where accepted and 0 elsewhere, one half each (0
      once more if n is odd) in random order; the lengths. All int32.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero, no string is as short as ``max_length``, or the
        shortest has no room for so many corruptions.

    Example:
      >>> strings = reber_grammar(jax.random.key(0), 4)
      >>> (reber_accepts(strings.x, strings.lengths) == (strings.y == 1)).tolist()
      [True, True, True, True]
    """
    where = "reber_grammar"
    require_key(where, key)
    require_count(where, n=n, max_length=max_length, corruptions=corruptions)
    least = 9 if embedded else 5
    needs = f"at least {least}, the length of the shortest string"
    require(max_length >= least, where, "max_length", max_length, needs)
    needs = f"at most {least - 2}, the symbols between B and E of the shortest string"
    require(corruptions <= least - 2, where, "corruptions", corruptions, needs)
    walk_key, label_key, change_key = jax.random.split(key, 3)
    x, lengths = _walks(walk_key, n, max_length, embedded)
    order = jnp.argsort(jax.random.uniform(label_key, (n,)))
    y = (order < n // 2).astype(jnp.int32)
    changed = _corrupted(change_key, x, lengths, embedded, corruptions)
    return GrammarStrings(jnp.where(y[:, None] == 1, x, changed), y, lengths)


def reber_accepts(
    x: Int[Array, "*batch time"], lengths: Int[Array, "*batch"], *, embedded: bool = False
) -> Bool[Array, "*batch"]:
    """Say which strings Reber's grammar accepts.

    Args:
      x: places of symbols in ``REBER_SYMBOLS``; another number is a symbol that never fits.
      lengths: how many symbols of each row count.
      embedded: ask for the embedded grammar, see :func:`reber_grammar`.

    Returns:
      True where the symbols that count are a whole string of the grammar.

    Raises:
      TypeError: an argument is no array.
      ValueError: shapes disagree.

    Example:
      >>> string = jnp.array([REBER_SYMBOLS.index(s) for s in "BTXSE"])
      >>> reber_accepts(string, jnp.array(5)).item(), reber_accepts(string, jnp.array(4)).item()
      (True, False)
    """
    where = "reber_accepts"
    require_array(where, floating=False, x=x, lengths=lengths)
    require(x.ndim >= 1, where, "x", x, "shape (*batch, time)")
    require(lengths.shape == x.shape[:-1], where, "lengths", lengths, f"shape {x.shape[:-1]}")
    _, end = _automaton(embedded)
    last = _states(x, lengths, embedded)[-1]
    inside = (lengths >= 0) & (lengths <= x.shape[-1])
    return (last == end) & inside


@functools.cache
def _automaton(embedded: bool) -> tuple[np.ndarray, int]:
    """Make the table ``(states, 8)`` of next states, and the one where strings end.

    The last state is the one that nothing leads out of; column 7 leads to it, for strange symbols.
    """
    if embedded:
        # A begin, a whole automaton for each second symbol, and what asks for the end.
        edges: list[dict[str, int]] = [{"B": 1}, {"T": 2, "P": 10}]
        for symbol, first in (("T", 2), ("P", 10)):
            edges += [{a: first + s for a, s in row.items()} for row in _EDGES[:-1]]
            edges += [{symbol: 18}]
        edges += [{"E": 19}, {}]
    else:
        edges = list(_EDGES)
    dead = len(edges)
    table = np.full((dead + 1, PAD + 1), dead, np.int32)
    for s, row in enumerate(edges):
        for symbol, after in row.items():
            table[s, REBER_SYMBOLS.index(symbol)] = after
    return table, dead - 1


def _states(x: jax.Array, lengths: jax.Array, embedded: bool) -> jax.Array:
    """Give the states before each symbol and after the last, ``(time + 1, *batch)``."""
    table = jnp.asarray(_automaton(embedded)[0])

    def step(state, place_and_symbol):
        place, symbol = place_and_symbol
        known = (symbol >= 0) & (symbol < PAD)
        after = table[state, jnp.where(known, symbol, PAD)]
        after = jnp.where(place < lengths, after, state)
        return after, after

    start = jnp.zeros(x.shape[:-1], jnp.int32)
    places = jnp.arange(x.shape[-1], dtype=lengths.dtype)
    _, after = jax.lax.scan(step, start, (places, jnp.moveaxis(x, -1, 0)))
    return jnp.concatenate([start[None], after])


def _walks(key: jax.Array, n: int, max_length: int, embedded: bool) -> tuple[jax.Array, jax.Array]:
    """Draw strings that are accepted."""
    table, end = _automaton(embedded)
    states = end + 1
    # The one or two ways on from each state; the second is the first again where there is one.
    ways = [np.flatnonzero(row < states) for row in table[:end]]
    ways = np.array([[way[0], way[-1]] for way in ways] + [[PAD, PAD]])
    finish = np.zeros((max_length + 1, states + 1))
    finish[:, end] = 1
    for r in range(1, max_length + 1):
        finish[r, :end] = finish[r - 1][table[np.arange(end)[:, None], ways[:end]]].mean(axis=1)
    # Exactly 1 or 0 where only one way leads to the end in time.
    both = finish[:-1][:, table[np.arange(states)[:, None], ways]]
    first = both[..., 0] / np.maximum(both.sum(axis=-1), 1e-300)
    first = jnp.asarray(first[::-1], jnp.float32)  # by place: max_length - 1 symbols after the 0th
    next_states, choices = jnp.asarray(table), jnp.asarray(ways, jnp.int32)

    def step(state, place):
        chance, u = place
        symbol = jnp.where(u < chance[state], choices[state, 0], choices[state, 1])
        # At the end it pads and stays.
        after = jnp.where(state == end, end, next_states[state, symbol])
        return after, symbol

    u = jax.random.uniform(key, (max_length, n))
    _, x = jax.lax.scan(step, jnp.zeros(n, jnp.int32), (first, u))
    return x.T, jnp.sum(x.T != PAD, axis=1, dtype=jnp.int32)


def _corrupted(
    key: jax.Array, x: jax.Array, lengths: jax.Array, embedded: bool, corruptions: int
) -> jax.Array:
    """Change symbols so that the string is not accepted."""
    n, time = x.shape
    symbols = jnp.arange(PAD, dtype=jnp.int32)[INNER]
    places = jnp.arange(time, dtype=jnp.int32)
    free = (places > 0)[None] & (places[None] < lengths[:, None] - 1)
    for i, lot in enumerate(jax.random.split(key, corruptions)):
        fits = free[:, :, None] & (symbols[None, None] != x[:, :, None])
        if i == corruptions - 1:
            fits = fits & ~_accepts_changed(x, lengths, embedded)
        scores = jnp.where(fits, jax.random.uniform(lot, fits.shape), -1.0).reshape(n, -1)
        place, symbol = jnp.divmod(jnp.argmax(scores, axis=1).astype(jnp.int32), symbols.size)
        here = places[None] == place[:, None]
        x = jnp.where(here, symbols[symbol][:, None], x)
        free = free & ~here
    return x


def _accepts_changed(x: jax.Array, lengths: jax.Array, embedded: bool) -> jax.Array:
    """Say for each place and inner symbol whether, put there, it makes an accepted string.

    The states that come before meet those from which the rest would be accepted: no string of
    the ``5 * time`` is run by itself.
    """
    table, end = _automaton(embedded)
    next_states = jnp.asarray(table)
    before = _states(x, lengths, embedded)[:-1]

    def step(good, place_and_symbol):
        place, symbol = place_and_symbol
        earlier = jnp.take_along_axis(good, next_states[:, symbol].T, axis=1)
        return jnp.where((place < lengths)[:, None], earlier, good), good

    good = jnp.broadcast_to(jnp.arange(len(table)) == end, (len(x), len(table)))
    places = jnp.arange(x.shape[1], dtype=lengths.dtype)
    # What is yielded at a place: which states accept what comes after it.
    _, after = jax.lax.scan(step, good, (places, x.T), reverse=True)
    reached = jnp.moveaxis(next_states[before][..., INNER], 0, 1)
    return jnp.take_along_axis(jnp.moveaxis(after, 0, 1), reached, axis=-1)
