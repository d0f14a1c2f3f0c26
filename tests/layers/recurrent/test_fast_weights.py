import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import recurrent


def unit(x):
    return x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True))


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def draw(key, *shapes):
    return [
        jax.random.normal(k, s)
        for k, s in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    ]


def test_delta_rule_equals_a_loop(key):
    """W + β (v - W k) kᵀ and then W q, in float64, from a state, heads apart."""
    k, v, q, rate, w = draw(key, (2, 5, 2, 3), (2, 5, 2, 4), (2, 5, 2, 3), (2, 5, 2), (2, 2, 4, 3))
    rate, k = jax.nn.sigmoid(rate), unit(k)
    y, last = jax.jit(recurrent.delta_rule)(k, v, q, rate, w)
    for b, h in np.ndindex(2, 2):
        found = np.asarray(w[b, h], np.float64)
        for t in range(5):
            now = np.asarray(k[b, t, h], np.float64)
            found = found + rate[b, t, h] * np.outer(v[b, t, h] - found @ now, now)
            np.testing.assert_allclose(y[b, t, h], found @ q[b, t, h], atol=1e-5)
        np.testing.assert_allclose(last[b, h], found, atol=1e-5)


def test_full_rates_write_the_value_exactly(key):
    """β = 1 and |k| = 1: W k is v, whatever W was; what is orthogonal to k stays; β = 0 keeps W."""
    w, k, v, other = draw(key, (4, 3), (3,), (4,), (3,))
    k = unit(k)
    new, y = recurrent.delta_rule_step(w, k, v, k, jnp.ones(()))
    np.testing.assert_allclose(y, v, atol=1e-5)
    other = other - jnp.sum(other * k) * k
    np.testing.assert_allclose(new @ other, w @ other, atol=1e-5)
    kept, _ = recurrent.delta_rule_step(w, k, v, k, jnp.zeros(()))
    np.testing.assert_array_equal(kept, w)


def test_self_reference_equals_a_loop(key):
    """The equations, with a rate for each of the four blocks of rows, in float64."""
    x, w = draw(key, (6, 2, 3), (2, 2 + 2 * 3 + 4, 3))
    y, last = jax.jit(recurrent.self_referential)(x, w)
    for h in range(2):
        found = np.asarray(w[h], np.float64)
        for t in range(6):
            out = found @ softmax(np.asarray(x[t, h], np.float64))
            np.testing.assert_allclose(y[t, h], out[:2], atol=1e-5)
            k, q = softmax(out[2:5]), softmax(out[5:8])
            value, present = found @ q, found @ k
            rates = 1 / (1 + np.exp(-out[8:]))
            each = np.concatenate([[rates[0]] * 2, [rates[1]] * 3, [rates[2]] * 3, [rates[3]] * 4])
            found = found + np.outer(each * (value - present), k)
        np.testing.assert_allclose(last[h], found, atol=1e-5)


def test_self_reference_writes_its_value_exactly(key):
    """Rates of 1 and keys of length 1: W_t φ(k) is W_{t-1} φ(q). With rates of 0, W is kept."""
    x, w = draw(key, (3,), (2 + 2 * 3, 3))
    x = unit(jnp.abs(x) + 0.1)
    for logit in (1e3, -1e3):
        full = jnp.concatenate([w, jnp.full((4, 3), logit)])
        new, y = recurrent.self_referential_step(full, x, feature_map=unit)
        np.testing.assert_allclose(y, w[:2] @ x, atol=1e-6)
        k, q = unit(w[2:5] @ x), unit(w[5:] @ x)
        if logit > 0:
            np.testing.assert_allclose(new[:8] @ k, w @ q, atol=1e-5)
        else:
            np.testing.assert_array_equal(new, full)


def test_stretches_join_and_long_ones_stay_finite(key):
    """Both modules: 2,048 steps in three stretches; 16,384 steps stay finite."""
    x = jax.random.normal(key, (16384, 4))
    for layer in (
        recurrent.DeltaNet(4, num_heads=2, head_width=3),
        recurrent.SelfReferential(4, num_heads=2),
    ):
        variables = jax.jit(layer.init)(key, x[:2])
        apply = jax.jit(layer.apply)
        whole, last = apply(variables, x[:2048])
        state, parts = None, []
        for start, stop in ((0, 1), (1, 1025), (1025, 2048)):
            y, state = apply(variables, x[start:stop], state)
            parts.append(y)
        np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=1e-4)
        np.testing.assert_allclose(state, last, atol=1e-4)
        y, state = apply(variables, x)
        assert bool(jnp.isfinite(y).all() & jnp.isfinite(state).all())


def test_weights_start_at_the_given_rate_and_change(key):
    """With softmax, a row of constants c gives exactly c; σ(c) is each rate of the first step."""
    layer = recurrent.SelfReferential(6, num_heads=2, rate_logit=-2.0)
    x = jax.random.normal(key, (5, 8))
    (_, state), variables = layer.init_with_output(key, x)
    w = jnp.asarray(variables["params"]["weights"])
    assert w.shape == (2, 3 + 2 * 4 + 4, 4)
    np.testing.assert_array_equal(w[:, -4:], -2.0)
    rates = w[:, -4:] @ jax.nn.softmax(x[0, :4])
    np.testing.assert_allclose(rates, -2.0, rtol=1e-6)
    assert jnp.abs(state - w).max() > 1e-3
