import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import mutual_info_score

from jaxnn.analysis import sparsity

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 12, (30, 20))


def covered(active, tokens, n, most):
    """Count n-grams in a dictionary."""
    counts = {}
    for row, fires in zip(tokens, active, strict=True):
        for i in range(n - 1, len(row)):
            if fires[i]:
                gram = tuple(row[i - n + 1 : i + 1].tolist())
                counts[gram] = counts.get(gram, 0) + 1
    best = sorted(counts.values(), reverse=True)[:most]
    return sum(best) / max(sum(counts.values()), 1), counts


def test_detectors_equal_a_dictionary_of_counts():
    previous = np.pad(TOKENS, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    units = [
        TOKENS == 3,  # a token
        np.isin(TOKENS, [1, 4, 6]),
        (TOKENS == 2) & (previous == 5) | (TOKENS == 7) & (previous == 5),  # bigrams
        RNG.random(TOKENS.shape) < 0.3,
        np.zeros_like(TOKENS, bool),
    ]
    active = np.stack(units, -1)
    arrays = jnp.asarray(active), jnp.asarray(TOKENS)
    for n, most, want in (
        (1, 3, [1, 1, 1, 0, 0]),
        (2, 2, [0, 0, 1, 0, 0]),
        (1, 1, [1, 0, 0, 0, 0]),
    ):
        least = int(active[:, 1:, 2].sum())  # as many as the rarest has
        found = sparsity.ngram_detectors(*arrays, n=n, most=most, least=least, batch_size=2)
        shares = [covered(active[..., u], TOKENS, n, most)[0] for u in range(5)]
        np.testing.assert_allclose(found.coverage, shares, atol=1e-6)
        assert found.detectors.tolist() == [bool(flag) for flag in want]
        more = sparsity.ngram_detectors(*arrays, n=n, most=most, least=least + 1)
        assert not more.detectors[2]
        for u in range(5):
            counts = covered(active[..., u], TOKENS, n, most)[1]
            grams = [tuple(g) for g in found.ngrams[u].tolist()]
            heights = [counts.get(g, 0) for g in grams]
            assert heights == sorted(counts.values(), reverse=True)[:most] + [0] * (
                most - len(counts)
            )
    assert {tuple(g) for g in found.ngrams[0].tolist()} == {(3,)}


def test_positional_information_equals_scikit_learns():
    place = np.arange(20)
    share = np.stack([place < 7, (place % 5 == 0) * 0.8, np.full(20, 0.4), np.zeros(20)], -1)
    active = RNG.random((40, 20, 4)) < share[None]
    got = jax.jit(sparsity.positional_information)(jnp.asarray(active))
    everywhere = np.broadcast_to(place, (40, 20)).ravel()
    want = [mutual_info_score(active[..., u].ravel(), everywhere) for u in range(4)]
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert (got > 0.05).tolist() == [True, True, False, False]
    assert got[2] > got[3] == 0


def test_suppressed_tokens_are_the_lowest_logits():
    down, unembedding = RNG.normal(size=(7, 5)), RNG.normal(size=(5, 30))
    arrays = jnp.asarray(down, jnp.float32), jnp.asarray(unembedding, jnp.float32)
    got = sparsity.suppressed_tokens(*arrays, count=4, batch_size=3)
    np.testing.assert_array_equal(got, np.argsort(down @ unembedding, 1)[:, :4])
