import itertools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

from jaxnn.train import losses

RNG = np.random.default_rng(0)
LENGTH, SYMBOLS = (jnp.asarray(2 * RNG.normal(size=s), jnp.float32) for s in ((20, 5), (20, 3, 4)))
loss = jax.jit(losses.multi_digit_loss)
# Every sequence of up to three of four symbols, and whatever lies behind the end.
ALL = [s for n in range(4) for s in itertools.product(range(4), repeat=n)]
COUNT = jnp.array([len(s) for s in ALL])
PADDED = jnp.array([s + (9, -1, 2)[: 3 - len(s)] for s in ALL])


def of_all(length, symbols):
    outputs = (jnp.tile(length, (len(ALL), 1)), jnp.tile(symbols, (len(ALL), 1, 1)))
    return np.asarray(loss(outputs, (COUNT, PADDED)))


def test_loss_and_decoding_equal_enumeration():
    got = jax.jit(losses.decode_multi_digit)((LENGTH, SYMBOLS))
    shorter = 0
    for i in range(20):
        each = of_all(LENGTH[i], SYMBOLS[i])
        lengths, symbols = (log_softmax(np.asarray(v[i]), -1) for v in (LENGTH, SYMBOLS))
        want = [-lengths[len(s)] - sum(symbols[k, c] for k, c in enumerate(s)) for s in ALL]
        np.testing.assert_allclose(each, want, rtol=1e-4, atol=1e-5)
        # All sequences and the longer ones are one.
        np.testing.assert_allclose(np.exp(-each).sum() + np.exp(lengths[4]), 1, rtol=1e-5)
        best = ALL[each.argmin()]
        assert got.symbols[i].tolist() == [*best, -1, -1, -1][:3]
        assert got.lengths[i] == len(best)
        np.testing.assert_allclose(got.log_probability[i], -each.min(), rtol=1e-4, atol=1e-5)
        shorter += len(best) < lengths[:4].argmax()
    assert shorter  # so that the length head's own choice would be wrong


def test_heads_after_the_end_get_no_gradient():
    count = jnp.arange(20) % 5
    targets = count, jnp.asarray(RNG.integers(0, 4, (20, 3)))
    length, symbols = jax.jit(jax.grad(lambda o: loss(o, targets).sum()))((LENGTH, SYMBOLS))
    scored = (np.arange(3)[None] < np.asarray(count)[:, None]) & (np.asarray(count) < 4)[:, None]
    np.testing.assert_array_equal(np.abs(symbols).max(-1) > 0, scored)
    assert (np.abs(length).max(-1) > 0).all()


def test_what_there_is_not_is_not_scored():
    count, symbols = (
        jnp.array([5, 1, 1] + [0] * 17),
        PADDED[:20].at[:3, 0].set(jnp.array([0, 4, 3])),
    )
    got = loss((LENGTH, SYMBOLS), (count, symbols))
    assert np.isnan(got[:4]).tolist() == [True, True, False, False]


def test_coverage_equals_a_search_with_ties():
    sure = np.round(RNG.normal(size=30), 1).astype(np.float32)
    right = RNG.random(30) < 0.5 + 0.25 * sure
    for accuracy in (0.0, 0.5, 0.7, 1.0):
        best = (0.0, np.inf)
        for t in np.unique(sure):
            if right[sure >= t].mean() >= accuracy:
                best = max(best, (np.mean(sure >= t), t))
        got = losses.coverage_at_accuracy(jnp.asarray(sure), jnp.asarray(right), accuracy=accuracy)
        np.testing.assert_allclose(got, best, rtol=1e-6)
    # Of two that are as sure one is right: no threshold answers it alone.
    none = losses.coverage_at_accuracy(jnp.ones(2), jnp.array([True, False]), accuracy=0.9)
    assert [float(v) for v in none] == [0, np.inf]
