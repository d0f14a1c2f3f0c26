"""The transforms of logits against NumPy loops written from their definitions."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.models.generation import (
    chain,
    greedy,
    min_p,
    repetition_penalty,
    sample,
    temperature,
    top_k,
    top_p,
)

VOCABULARY = 7


def logits_of(seed, ties=False):
    z = 2 * np.random.default_rng(seed).normal(size=(4, VOCABULARY)).astype(np.float32)
    return np.round(z) if ties else z


def softmax(row):
    e = np.exp(row - row.max())
    return e / e.sum()


def numpy_top_k(row, k):
    least = sorted(row, reverse=True)[min(k, len(row)) - 1]
    return [z if z >= least else -np.inf for z in row]


def numpy_top_p(row, p):
    """Take the likeliest until they have probability p, later tokens first among equals."""
    probs = softmax(row.astype(np.float64))
    out, total = np.full(len(row), -np.inf), 0.0
    for i in sorted(range(len(row)), key=lambda i: (row[i], i), reverse=True):
        out[i] = row[i]
        total += probs[i]
        if total >= p - 1e-9:
            break
    return out


def numpy_min_p(row, p):
    probs = softmax(row.astype(np.float64))
    return [z if q >= p * probs.max() - 1e-9 else -np.inf for z, q in zip(row, probs, strict=True)]


TRANSFORMS = {
    "temperature": (temperature(0.7), lambda row: row / np.float32(0.7)),
    "top-1": (top_k(1), lambda row: numpy_top_k(row, 1)),
    "top-3": (top_k(3), lambda row: numpy_top_k(row, 3)),
    "top-99": (top_k(99), lambda row: row),
    "half": (top_p(0.5), lambda row: numpy_top_p(row, 0.5)),
    "nine-tenths": (top_p(0.9), lambda row: numpy_top_p(row, 0.9)),
    "all": (top_p(1.0), lambda row: row),
    "few": (top_p(1e-6), lambda row: numpy_top_p(row, 1e-6)),
    "min-p": (min_p(0.3), lambda row: numpy_min_p(row, 0.3)),
    "min-p-1": (min_p(1.0), lambda row: numpy_min_p(row, 1.0)),
}


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_equal_numpy(name, ties):
    transform, numpy = TRANSFORMS[name]
    for seed in range(4):
        z = logits_of(seed, ties)
        np.testing.assert_allclose(transform(jnp.asarray(z)), [numpy(row) for row in z], rtol=1e-6)


def test_top_p_takes_the_token_that_reaches_p_and_no_more():
    even = jnp.zeros((4,))  # probabilities 1/4, exactly
    kept = [int(jnp.isfinite(top_p(p)(even)).sum()) for p in (0.1, 0.25, 0.26, 0.5, 0.75, 1.0)]
    assert kept == [1, 1, 2, 2, 3, 4]
    np.testing.assert_array_equal(jnp.isfinite(top_p(0.5)(even)), [False, False, True, True])


def test_what_was_removed_stays_removed():
    z = jnp.asarray(logits_of(0))
    once = chain(top_k(3), temperature(0.5))(z)
    assert (jnp.isfinite(once).sum(-1) == 3).all()
    for transform in (top_p(0.99), min_p(0.01), top_k(5), temperature(2.0)):
        out = transform(once)
        assert not jnp.isfinite(out)[~jnp.isfinite(once)].any()
        assert jnp.isfinite(out).any(-1).all()


def test_chain_is_in_order():
    z = jnp.log(jnp.array([0.5, 0.3, 0.2]))
    # Hot logits are nearly even, so that 0.6 needs two of them; cold ones are not.
    assert jnp.isfinite(chain(temperature(10.0), top_p(0.6))(z)).sum() == 2
    assert jnp.isfinite(chain(temperature(0.1), top_p(0.6))(z)).sum() == 1
    np.testing.assert_array_equal(chain()(z), z)


def test_repetition_penalty_moves_only_what_was_seen():
    z = jnp.array([[2.0, -2.0, 1.0, -1.0]])
    seen = jnp.array([[True, True, False, False]])
    np.testing.assert_allclose(repetition_penalty(1.25)(z, seen), [[1.6, -2.5, 1.0, -1.0]])
    both = chain(temperature(0.5), repetition_penalty(1.25))
    assert both.needs_seen
    assert not chain(temperature(0.5)).needs_seen
    np.testing.assert_allclose(both(z, seen), [[3.2, -5.0, 2.0, -2.0]])


def test_draws_follow_the_softmax(key):
    z = jnp.array([0.0, 1.0, -jnp.inf, 2.0])
    draws = jax.jit(jax.vmap(lambda k: sample(k, z)))(jax.random.split(key, 20_000))
    shares = np.bincount(draws, minlength=4) / 20_000
    # Three standard deviations of a share are at most 3 sqrt(1/4 / 20000) = 0.011.
    np.testing.assert_allclose(shares, softmax(np.asarray(z)), atol=0.011)
    assert shares[2] == 0


def test_greedy_takes_the_first_of_the_largest():
    assert greedy(None, jnp.array([1.0, 3.0, 3.0])) == 1
    assert greedy(None, jnp.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [0, 1]


def test_other_numbers_are_no_other_program():
    traces = []

    @jax.jit
    def run(transform, z):
        traces.append(1)
        return transform(z)

    z = jnp.asarray(logits_of(0))
    for t, p in ((0.5, 0.9), (2, 0.5), (jnp.float32(1.5), 0.1)):
        want = chain(temperature(t), top_p(p), top_k(2))(z)
        np.testing.assert_allclose(run(chain(temperature(t), top_p(p), top_k(2)), z), want)
    assert len(traces) <= 2  # a Python number and an array differ in weak types


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_is_kept(dtype):
    z = jnp.asarray(logits_of(0)).astype(dtype)
    seen = jnp.ones(z.shape, bool)
    for transform in (temperature(0.5), top_k(2), top_p(0.5), min_p(0.5)):
        assert transform(z).dtype == dtype
    assert repetition_penalty(1.5)(z, seen).dtype == dtype


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: temperature(0.0), "temperature: `t` is 0.0; .*above zero"),
        (lambda: temperature(-1), "temperature: `t` is -1; .*above zero"),
        (lambda: top_k(0), "top_k: `k` is 0; .*whole number above zero"),
        (lambda: top_k(2.5), "top_k: `k` is 2.5; .*whole number"),
        (lambda: top_p(0.0), r"top_p: `p` is 0.0; it needs a number in \(0, 1\]"),
        (lambda: top_p(1.1), r"top_p: `p` is 1.1; .*\(0, 1\]"),
        (lambda: min_p(0), r"min_p: `p` is 0; .*\(0, 1\]"),
        (lambda: min_p(float("nan")), r"min_p: `p` is nan; .*\(0, 1\]"),
        (lambda: repetition_penalty(0), "repetition_penalty: `penalty` is 0; .*above zero"),
        (lambda: top_k(2)(jnp.float32(1)), r"top_k: `logits` .*needs shape \(\*batch, vocabulary"),
        (
            lambda: repetition_penalty(2)(jnp.ones((2, 3)), jnp.ones((3,), bool)),
            r"repetition_penalty: `seen` .*shape \(2, 3\)",
        ),
    ],
)
def test_bad_values_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.usefixtures("unchecked")
def test_bad_types_are_named():
    with pytest.raises(TypeError, match=r"chain: `transforms\[1\]` is 0.8; it needs a function"):
        chain(top_k(2), 0.8)
    with pytest.raises(TypeError, match=r"sample: `key` is None; it needs a random key"):
        sample(None, jnp.ones(3))
    with pytest.raises(TypeError, match=r"greedy: `logits` .*floating-point"):
        greedy(None, jnp.ones(3, jnp.int32))


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="extra hub")
def test_transforms_equal_those_of_transformers():
    import torch
    from transformers.generation import logits_process as theirs

    pairs = [
        (temperature(0.7), theirs.TemperatureLogitsWarper(0.7)),
        (top_k(3), theirs.TopKLogitsWarper(3)),
        (top_k(50), theirs.TopKLogitsWarper(50)),
        (top_p(0.3), theirs.TopPLogitsWarper(0.3)),
        (top_p(0.8), theirs.TopPLogitsWarper(0.8)),
        (min_p(0.2), theirs.MinPLogitsWarper(0.2)),
        (repetition_penalty(1.3), theirs.RepetitionPenaltyLogitsProcessor(1.3)),
    ]
    ids = np.array([[0, 2], [1, 1], [6, 5], [3, 0]])
    seen = jnp.asarray((ids[:, :, None] == np.arange(VOCABULARY)).any(1))
    for seed in range(8):
        # Rounded logits have ties, which torch.sort breaks as it likes for top_p.
        for ties in (False, True):
            z = logits_of(seed, ties)
            for ours, other in pairs:
                if ties and isinstance(other, theirs.TopPLogitsWarper):
                    continue
                args = (seen,) if getattr(ours, "needs_seen", False) else ()
                want = other(torch.tensor(ids), torch.tensor(z)).numpy()
                np.testing.assert_allclose(ours(jnp.asarray(z), *args), want, rtol=1e-6)
