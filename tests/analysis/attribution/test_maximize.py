import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.analysis import attribution

RNG = np.random.default_rng(0)
W = jnp.asarray(RNG.normal(size=(4, 5)), jnp.float32)


def linear(x):
    return jnp.sum(W.astype(x.dtype) * x)


def ascend(f, start, steps, rate, l2, variation):
    """The ascent written out for a linear f; variation by signs of differences."""
    x, slope = np.array(start, float), np.asarray(W, float)
    for _ in range(steps):
        pull = np.zeros_like(x)
        for axis in (0, 1):
            signs = np.sign(np.diff(x, axis=axis))
            pull += np.diff(
                np.pad(signs, [(1, 1) if a == axis else (0, 0) for a in (0, 1)]), axis=axis
            )
        x = x + rate * (slope - 2 * l2 * x + variation * pull)
    return x


def test_equals_gradient_ascent_written_out():
    start = RNG.normal(size=(4, 5))
    options = {"steps": 6, "l2": 0.3, "total_variation": 0.2}
    got = attribution.maximize_activation(
        linear, jnp.asarray(start, jnp.float32), tx=optax.sgd(0.05), **options
    )
    np.testing.assert_allclose(got, ascend(linear, start, 6, 0.05, 0.3, 0.2), atol=1e-5)


def test_ends_where_slope_and_decay_balance():
    """w = 2 l2 x."""
    got = attribution.maximize_activation(linear, 0 * W, l2=0.5, steps=400, tx=optax.sgd(0.1))
    np.testing.assert_allclose(got, W, atol=1e-4)


def test_updates_grow_from_the_center():
    def step(steps, center):
        f = lambda x: jnp.sum(x)  # noqa: E731
        start, tx = jnp.zeros((5, 5, 2)), optax.sgd(1.0)
        return attribution.maximize_activation(f, start, steps=steps, center=center, tx=tx)[..., 1]

    one = step(1, 0.5)  # at t = 0 as wide as it starts
    square = np.linspace(-1, 1, 5)[:, None] ** 2 + np.linspace(-1, 1, 5)[None, :] ** 2
    np.testing.assert_allclose(one, np.exp(-square / 2 / 0.25), rtol=1e-5)
    two = step(2, 0.5)  # in the last step everywhere
    np.testing.assert_allclose(two, one + 1, rtol=1e-5)


def test_jitter_shifts_what_the_unit_sees_and_draws_anew():
    """The unit looks at one place; shifts by at most one spread its pull over nine."""
    f = lambda x: x[3, 3]  # noqa: E731
    got = attribution.maximize_activation(
        f, jnp.zeros((7, 7)), steps=60, jitter=1, key=jax.random.key(0), tx=optax.sgd(1.0)
    )
    assert (np.asarray(got[2:5, 2:5]) >= 1).all()
    np.testing.assert_allclose(got[2:5, 2:5].sum(), got.sum())
    np.testing.assert_allclose(got.sum(), 60)


def test_facets_are_the_means_of_the_nearest_of_each_kind():
    """Two kinds far apart in code, the larger first; images tell which is which."""
    kinds = np.repeat([0, 1], [22, 18])[RNG.permutation(40)]
    codes = np.where(kinds == 0, 5.0, -5.0)[:, None] + 0.1 * RNG.normal(size=(40, 6))
    images = np.stack([kinds, RNG.normal(size=40)], 1).astype(np.float32)
    options = {"facets": 2, "components": 3, "perplexity": 5.0, "key": jax.random.key(1)}
    means = attribution.facet_means(images, codes, nearest=5, **options)
    assert means.shape == (2, 2)
    assert means[:, 0].tolist() == [0.0, 1.0]
    whole = attribution.facet_means(images, codes, nearest=99, **options)
    want = [images[kinds == kind].mean(0) for kind in (0, 1)]
    np.testing.assert_allclose(whole, want, rtol=1e-6)


def test_rejects_what_it_cannot_use():
    with pytest.raises(ValueError, match="`key` is None; it needs a random key, for `jitter`"):
        attribution.maximize_activation(linear, W, jitter=1)
    with pytest.raises(ValueError, match=r"`bounds` is .*least and the greatest"):
        attribution.maximize_activation(linear, W, bounds=(1.0, 0.0))
