"""Reber's grammar as a regular expression, which shares nothing with the automaton."""

import functools
import inspect
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import data

REST = "T*V(?:PXT*V)*(?:V|PS)"  # after BP, and after the second X of BTXX
REBER = f"B(?:TS*X(?:S|X{REST})|P{REST})E"
EMBEDDED = f"B(?:T{REBER}T|P{REBER}P)E"
SYMBOLS = data.REBER_SYMBOLS


def drawn(key, n, **options):
    made = jax.jit(functools.partial(data.reber_grammar, n=n, **options))(key)
    return jax.tree.map(np.asarray, made)


def spelled(strings):
    return ["".join(SYMBOLS[i] for i in row if i < 7) for row in strings.x]


def encoded(words):
    width = max(map(len, words))
    rows = [[SYMBOLS.find(s) for s in word] + [7] * (width - len(word)) for word in words]
    return jnp.asarray(rows, jnp.int32), jnp.asarray([len(word) for word in words], jnp.int32)


ACCEPTS = jax.jit(data.reber_accepts, static_argnames="embedded")


def test_known_strings():
    words = ["BTXSE", "BPVVE", "BTSSXXTVVE", "BPVPXVPSE", "BTXSEE", "BTXXE", "BVVE", "BTXS", "B"]
    got = ACCEPTS(*encoded(words)).tolist()
    assert got == [True, True, True, True, False, False, False, False, False]
    words = ["BTBTXSETE", "BPBPVVEPE", "BTBPVVETE", "BTBTXSEPE", "BPBTXSETE", "BTXSE", "BTBTXSET"]
    got = ACCEPTS(*encoded(words), embedded=True).tolist()
    assert got == [True, True, True, False, False, False, False]
    # Strange symbols, and lengths that are none of this row.
    x, lengths = encoded(["BTXSE"])
    assert not ACCEPTS(x.at[0, 2].set(9), lengths)[0]
    assert not ACCEPTS(x.at[0, 2].set(-3), lengths)[0]
    assert not ACCEPTS(x, lengths + 1)[0]
    assert not ACCEPTS(x, lengths * 0)[0]


def test_every_string_of_six_symbols():
    rows = np.array(list(itertools.product(range(7), repeat=6)), np.int32)
    for length, count in ((5, 2), (6, 3)):  # BTXSE, BPVVE; BTSXSE, BPTVVE, BPVPSE
        got = np.asarray(ACCEPTS(jnp.asarray(rows), jnp.full(len(rows), length, jnp.int32)))
        words = {"".join(SYMBOLS[i] for i in row[:length]) for row in rows[got]}
        want = map("".join, itertools.product(SYMBOLS, repeat=length))
        assert words == {word for word in want if re.fullmatch(REBER, word)}
        assert len(words) == count


def check_labels(strings, words, expression):
    assert [re.fullmatch(expression, word) is not None for word in words] == list(strings.y == 1)
    assert strings.y.sum() == len(words) // 2
    assert list(strings.lengths) == [len(word) for word in words]
    assert all(word[0] == "B" and word[-1] == "E" for word in words)
    assert (strings.x == 7).sum() == strings.x.size - strings.lengths.sum()


def one_change_away(word):
    """Say whether another symbol at some place makes it grammatical again."""
    return any(
        re.fullmatch(REBER, word[:i] + symbol + word[i + 1 :])
        for i in range(1, len(word) - 1)
        for symbol in "TPSXV"
    )


def test_draws_are_those_of_the_walk_that_ends_in_time(key):
    """Probability 1/2 for each of two ways, over the sum of all strings as short as that."""
    strings = drawn(key, 20_001, max_length=8)
    words = spelled(strings)
    check_labels(strings, words, REBER)
    assert all(map(one_change_away, {w for w, y in zip(words, strings.y, strict=True) if not y}))
    # Every symbol is one choice of two but B, and E.
    chances = {
        "B" + "".join(inner) + "E": 0.5**length
        for length in (3, 4, 5, 6)
        for inner in itertools.product("TPSXV", repeat=length)
        if re.fullmatch(REBER, "B" + "".join(inner) + "E")
    }
    total = sum(chances.values())
    right = np.array(words)[strings.y == 1]
    assert set(right) == set(chances)
    for word, chance in chances.items():
        p = chance / total
        # Five standard errors.
        assert abs((right == word).mean() - p) < 5 * np.sqrt(p * (1 - p) / len(right))
    # The others are as long, so that lengths do not tell them apart: five standard errors.
    for length in (5, 6, 7, 8):
        shares = [(strings.lengths[strings.y == y] == length).mean() for y in (0, 1)]
        assert abs(shares[0] - shares[1]) < 5 * np.sqrt(0.25 * 2 / 10_000)
    assert abs(strings.y[:10_000].mean() - 0.5) < 0.05  # in no order


def test_embedded_strings_with_three_corruptions(key):
    strings = drawn(key, 401, max_length=18, embedded=True, corruptions=3)
    words = spelled(strings)
    check_labels(strings, words, EMBEDDED)
    # Both ways in, and long strings, are there.
    right = [word for word, y in zip(words, strings.y, strict=True) if y]
    assert {word[1] for word in right} == {"T", "P"}
    assert max(map(len, words)) > 15


def test_bad_arguments(key):
    with pytest.raises(ValueError, match="reber_grammar: `max_length` is 4; it needs at least 5"):
        data.reber_grammar(key, 3, max_length=4)
    with pytest.raises(ValueError, match="reber_grammar: `max_length` is 8; it needs at least 9"):
        data.reber_grammar(key, 3, max_length=8, embedded=True)
    with pytest.raises(ValueError, match="reber_grammar: `corruptions` is 4; it needs at most 3"):
        data.reber_grammar(key, 3, corruptions=4)
    with pytest.raises(TypeError, match="reber_grammar: `key` is an array"):
        data.reber_grammar(jnp.zeros(2), 3)
    with pytest.raises(ValueError, match=r"reber_accepts: `lengths` .* needs shape \(2,\)"):
        # Without the annotations that tests enforce, as users run it.
        inspect.unwrap(data.reber_accepts)(jnp.zeros((2, 5), jnp.int32), jnp.array([5]))
