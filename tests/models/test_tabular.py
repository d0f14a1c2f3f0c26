import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.models import AutoInt, FieldEmbedding, NonParametricTransformer
from tests.models.test_transformer import perturbed

COLUMNS = (0, 3, 0, 2)


def table(key, *batch):
    numbers, names = jax.random.split(key)
    x = jax.random.normal(numbers, (*batch, 4))
    ids = jax.random.randint(
        names, (*batch, 2), 0, jnp.array([3, 2]).reshape((1,) * len(batch) + (2,))
    )
    return x.at[..., 1].set(ids[..., 0]).at[..., 3].set(ids[..., 1])


def ready(module, *inputs):
    variables = perturbed(jax.jit(module.init)(jax.random.key(0), *inputs), jax.random.key(1))
    return variables, jax.jit(module.apply)


def test_numbers_scale_a_vector_and_categories_choose_one(key):
    x = table(key, 5)
    module = FieldEmbedding(COLUMNS, 6)
    variables, apply = ready(module, x)
    p = variables["params"]
    got = apply(variables, x)
    for row in range(5):
        np.testing.assert_allclose(got[row, 0], x[row, 0] * p["directions"][0], rtol=1e-6)
        np.testing.assert_allclose(got[row, 1], p["table"][int(x[row, 1])], rtol=1e-6)
        np.testing.assert_allclose(got[row, 2], x[row, 2] * p["directions"][1], rtol=1e-6)
        np.testing.assert_allclose(got[row, 3], p["table"][3 + int(x[row, 3])], rtol=1e-6)
    # One that the field does not have must not borrow its neighbour's vector.
    assert jnp.isnan(apply(variables, x.at[0, 1].set(3.0))[0, 1]).all()


def test_auto_int_without_layers_is_linear_and_with_them_is_not(key):
    x = jax.random.normal(key, (4,))
    for depth, linear in ((0, True), (2, False)):
        model = AutoInt((0, 0, 0, 0), features=4, depth=depth, layer_features=8)
        variables, _ = ready(model, x)
        curvature = jax.jit(jax.hessian(lambda x, m=model, v=variables: m.apply(v, x)[0]))(x)
        assert (np.abs(curvature).max() < 1e-6) == linear


def npt(**options):
    model = NonParametricTransformer(COLUMNS, features=4, depth=1, num_heads=2, **options)
    x = table(jax.random.key(3), 6)
    hidden = jax.random.bernoulli(jax.random.key(4), 0.3, (6, 4))
    variables, apply = ready(model, x, hidden)
    return x, hidden, variables, apply


@pytest.mark.slow
def test_rows_may_come_in_any_order():
    x, hidden, variables, apply = npt()
    order = jnp.array([3, 1, 5, 0, 2, 4])
    want = apply(variables, x, hidden)
    got = apply(variables, x[order], hidden[order])
    assert [y.shape for y in got] == [(6, 1), (6, 3), (6, 1), (6, 2)]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b[order], atol=1e-5)
    # Columns may not.
    swapped = apply(variables, x[:, jnp.array([2, 1, 0, 3])], hidden[:, jnp.array([2, 1, 0, 3])])
    assert not np.allclose(swapped[0], want[2], atol=1e-3)


@pytest.mark.parametrize("between_rows", [True, False])
def test_rows_see_each_other_only_through_the_blocks_between_them(between_rows):
    x, _, variables, apply = npt(between_rows=between_rows)
    hidden = jnp.zeros((6, 4), bool)
    moved = x.at[5, 0].add(1.0)
    before, after = apply(variables, x, hidden), apply(variables, moved, hidden)
    assert np.allclose(before[3][:5], after[3][:5], atol=1e-6) != between_rows
    assert not np.allclose(before[3][5], after[3][5], atol=1e-4)


def test_what_is_hidden_is_not_seen():
    x, hidden, variables, apply = npt()
    want = apply(variables, x, hidden)
    got = apply(variables, jnp.where(hidden, jnp.nan, x), hidden)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(key):
    x = jnp.ones((6, 4))
    with pytest.raises(ValueError, match=r"FieldEmbedding: `x` .*needs 2 fields"):
        FieldEmbedding((0, 3), 4).init(key, x)
    with pytest.raises(ValueError, match=r"FieldEmbedding: `categories` .*0 for one of numbers"):
        FieldEmbedding((), 4).init(key, x)
    model = NonParametricTransformer(COLUMNS)
    with pytest.raises(ValueError, match=r"NonParametricTransformer: `hidden` .*needs booleans"):
        model.init(key, x, x)
