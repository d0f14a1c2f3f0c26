import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import attribution


def test_masks_are_grids_enlarged_and_cropped(key):
    """Every mask is a crop of the same grid enlarged by ``jax.image.resize``."""
    masks = attribution.rise_masks((7, 9, 3), key=key, samples=40, grid=(3, 2), probability=0.4)
    corners = set()
    for k, mask in zip(jax.random.split(key, 40), np.asarray(masks), strict=True):
        grid = jax.random.bernoulli(jax.random.split(k)[0], 0.4, (3, 2)).astype(jnp.float32)
        large = np.asarray(jax.image.resize(grid, (12, 15), "bilinear"))
        found = [
            (i, j)
            for i in range(3)
            for j in range(5)
            if np.allclose(large[i : i + 7, j : j + 9], mask, atol=1e-5)
        ]
        assert found
        corners.update(found if len(found) == 1 else ())
    assert len(corners) > 8  # of 15; the rest of the masks were of one shade


def test_masks_keep_entries_with_the_probability_given(key):
    masks = attribution.rise_masks((8, 8), key=key, samples=4000, grid=4, probability=0.3)
    # A cell's variance is 0.21; an entry's mean over 4000 has a deviation of at most 0.0073.
    np.testing.assert_allclose(masks.mean(0), np.full((8, 8), 0.3), atol=0.04)


def test_equals_a_loop_over_the_masks(key):
    random = np.random.default_rng(0)
    x, b, w = random.normal(size=(3, 6, 5, 2))
    masks = np.asarray(attribution.rise_masks((6, 5, 2), key=key, samples=17, grid=(3, 2)))
    want = np.zeros((6, 5))
    for mask in masks:
        m = mask[:, :, None]
        want += np.tanh(np.sum(w * (m * x + (1 - m) * b))) * mask / (17 * 0.5)
    x, b, w = (jnp.asarray(a, jnp.float32) for a in (x, b, w))
    got = attribution.rise(
        lambda x: jnp.tanh(jnp.sum(w * x)),
        x,
        key=key,
        samples=17,
        grid=(3, 2),
        baseline=b,
        batch_size=4,
    )
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_linear_function_under_independent_masks(key):
    """Entries differ by (1 - p)(w x - w x'), with an error that falls as one over the root."""
    random, p = np.random.default_rng(1), 0.4
    terms = random.normal(size=8)
    x = jnp.asarray(terms, jnp.float32)

    def errors(samples):
        method = lambda key: attribution.rise(  # noqa: E731
            jnp.sum, x, key=key, samples=samples, grid=None, probability=p, batch_size=100
        )
        maps = np.asarray(jax.jit(jax.vmap(method))(jax.random.split(key, 30)))
        want = (1 - p) * (terms[:, None] - terms[None, :])
        return np.sqrt(np.mean((maps[:, :, None] - maps[:, None, :] - want[None]) ** 2))

    counts = [100, 400, 1600]
    sizes = np.array([errors(n) for n in counts])
    assert sizes[-1] < 0.1 * np.abs(terms).max()
    slope = np.polyfit(np.log(counts), np.log(sizes), 1)[0]
    assert abs(slope + 0.5) < 0.1
