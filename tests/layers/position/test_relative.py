import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import position

SIZES = [(32, 128), (8, 20), (20, 100), (4, 5)]


def paper_bucket(relative, is_causal, buckets, longest):
    """The released code's rule for one distance, in float64."""
    result = 0
    if is_causal:
        distance = max(-relative, 0)
    else:
        buckets //= 2
        result = buckets if relative > 0 else 0
        distance = abs(relative)
    exact = buckets // 2
    if distance < exact:
        return result + distance
    share = math.log(distance / exact) / math.log(longest / exact) * (buckets - exact)
    # Whole shares come out of the quotient of logarithms a rounding too low.
    return result + min(exact + math.floor(share + 1e-9), buckets - 1)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("buckets", "longest"), SIZES)
def test_buckets_equal_the_released_rule_at_every_distance(is_causal, buckets, longest):
    relative = np.arange(-3 * longest, 3 * longest + 1)
    got = position.relative_position_bucket(
        jnp.asarray(relative), num_buckets=buckets, max_distance=longest, is_causal=is_causal
    )
    want = [paper_bucket(int(r), is_causal, buckets, longest) for r in relative]
    np.testing.assert_array_equal(got, want)
    assert got.min() == 0
    assert got.max() == buckets - 1


@pytest.mark.parametrize("is_causal", [False, True])
def test_buckets_equal_transformers(is_causal):
    torch = pytest.importorskip("torch")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    relative = np.arange(-300, 301)
    got = position.relative_position_bucket(jnp.asarray(relative), is_causal=is_causal)
    want = t5.T5Attention._relative_position_bucket(
        torch.tensor(relative), bidirectional=not is_causal, num_buckets=32, max_distance=128
    )
    np.testing.assert_array_equal(got, want.numpy())


@pytest.mark.parametrize("is_causal", [False, True])
def test_bias_is_the_table_read_pair_by_pair(key, is_causal):
    module = position.RelativePositionBias(3, num_buckets=8, max_distance=20, is_causal=is_causal)
    queries, keys = jnp.array([[0, 5], [7, 30]]), jnp.array([[0, 1, 9], [40, 7, 3]])
    variables = module.init(key, queries, keys)
    got = module.apply(variables, queries, keys)
    table = np.asarray(variables["params"]["embedding"])
    assert table.shape == (8, 3)
    assert got.shape == (2, 3, 2, 3)
    for b, h, i, j in np.ndindex(got.shape):
        bucket = paper_bucket(int(keys[b, j] - queries[b, i]), is_causal, 8, 20)
        assert got[b, h, i, j] == table[bucket, h]


def test_bias_depends_on_the_distance_alone_and_shifts_attention(key):
    from jaxnn.layers import attention

    module, steps = position.RelativePositionBias(2), jnp.arange(6)
    variables = module.init(key, steps, steps)
    bias = module.apply(variables, steps, steps)
    np.testing.assert_array_equal(bias, module.apply(variables, steps + 100, steps + 100))
    zero = jnp.zeros((6, 2, 4))
    _, weights = attention.dot_product_attention(zero, zero, zero, bias=bias, return_weights=True)
    np.testing.assert_allclose(weights, jax.nn.softmax(bias), atol=1e-6)
