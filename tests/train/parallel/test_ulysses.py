import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxnn.layers import attention
from jaxnn.train.parallel import (
    collectives,
    head_parallel_attention,
    make_mesh,
    ulysses_attention,
)

RNG = np.random.default_rng(0)
TIME, HEADS, WIDTH = 16, 8, 4
PADDING = np.arange(TIME) < np.array([TIME - 3, TIME])[:, None]
CASES = {
    "full": (
        "sequence=8",
        attention.dot_product_attention,
        HEADS,
        {
            "bias": jnp.asarray(
                RNG.normal(size=(HEADS, TIME, 1)) * RNG.normal(size=TIME), jnp.float32
            )
        },
    ),
    # A loop within, grouped key heads, a split batch, and padding, which is whole on each device.
    "causal": (
        "data=2,sequence=4",
        functools.partial(attention.blockwise_attention, query_block=8, key_block=8),
        HEADS // 2,
        {"is_causal": True, "mask": jnp.asarray(PADDING[:, None, None, :])},
    ),
}


def arrays(key_heads=HEADS, time=TIME):
    sizes = ((HEADS, WIDTH), (key_heads, WIDTH), (key_heads, WIDTH + 2), (HEADS, WIDTH + 2))
    return [jnp.asarray(RNG.normal(size=(2, time, *size)), jnp.float32) for size in sizes]


@pytest.mark.parametrize("name", CASES)
def test_equals_one_device(name):
    """The output, and the derivatives of queries, keys and values."""
    axes, attend, key_heads, options = CASES[name]
    mesh = make_mesh(axes)
    *qkv, cotangent = arrays(key_heads)
    sharding = NamedSharding(mesh, P("data" if "data" in mesh.shape else None, "sequence"))
    spread = [jax.device_put(x, sharding) for x in (*qkv, cotangent)]

    def run(attend, *arrays):
        *qkv, cotangent = arrays
        output, pull = jax.vjp(lambda *x: attend(*x, **options), *qkv)
        return output, *pull(cotangent)

    split = jax.jit(functools.partial(run, ulysses_attention(attend, mesh)))
    got = split(*spread)
    want = jax.jit(functools.partial(run, attend))(*qkv, cotangent)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        assert float(jnp.abs(b).max()) > 0.1
    assert all(x.sharding.is_equivalent_to(sharding, 4) for x in got)


def forward(devices, time):
    mesh = make_mesh({"sequence": devices})
    attend = ulysses_attention(attention.dot_product_attention, mesh)
    sharding = NamedSharding(mesh, P(None, "sequence"))
    compiled = jax.jit(attend, in_shardings=(sharding,) * 3).lower(*[arrays(time=time)[0]] * 3)
    return collectives(compiled.compile())


def test_four_exchanges_that_do_not_grow_with_time_and_devices():
    """Each of the time's own part, the same for twice as much on twice as many."""
    few, many = forward(2, 64), forward(4, 128)
    part = 4 * 2 * 32 * HEADS * WIDTH
    assert few == (("all-to-all", part, 2, 1),) * 4
    assert many == (("all-to-all", part, 4, 1),) * 4


def test_dropout_differs_from_device_to_device():
    def drop(query, key, value, *, dropout_key):
        return value * jax.random.bernoulli(dropout_key, shape=value.shape)

    attend = ulysses_attention(drop, make_mesh("data=2,sequence=4"))
    ones = jnp.ones((2, 4, 4, 16))
    kept = np.asarray(attend(ones, ones, ones, dropout_key=jax.random.key(0)))
    drawn = {kept[row, :, head].tobytes() for row in range(2) for head in range(4)}
    assert len(drawn) == 8


def test_a_module_takes_it_and_is_initialised_with_one_example():
    mesh = make_mesh("data=2,sequence=4")
    split = ulysses_attention(attention.dot_product_attention, mesh)
    modules = [
        attention.MultiHeadAttention(4, attention=f)
        for f in (split, attention.dot_product_attention)
    ]
    x = jnp.asarray(RNG.normal(size=(2, 8, 8)), jnp.float32)
    params = jax.jit(modules[0].init)(jax.random.key(0), x[:1])
    got, want = (jax.jit(module.apply)(params, x) for module in modules)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_what_does_not_fit_is_named():
    mesh = make_mesh("data=2,sequence=4")
    attend = ulysses_attention(attention.dot_product_attention, mesh)
    q = jnp.zeros((2, 8, 8, 4))
    with pytest.raises(ValueError, match=r"the 4 devices of 'sequence' divide, not 6. Use fewer"):
        attend(q[:, :, :6], q, q)
    with pytest.raises(ValueError, match=r"ulysses_attention: `key` is .*not 2. Repeat key heads"):
        attend(q, q[:, :, :2], q[:, :, :2])
    with pytest.raises(ValueError, match=r"`query` is .* a time that the 4 devices .*not 6. Pad"):
        attend(q[:, :6], q, q)
    with pytest.raises(ValueError, match=r"`axis` is 'time'; .*data=2, sequence=4"):
        ulysses_attention(attention.dot_product_attention, mesh, axis="time")
    with pytest.raises(ValueError, match="without `return_weights`"):
        jax.eval_shape(functools.partial(attend, return_weights=True), q, q, q)


def test_split_heads_are_not_gathered():
    """As tensor parallelism has them; left to the compiler they would be, for the fold."""
    mesh = make_mesh("data=2,model=4")
    sharding = NamedSharding(mesh, P("data", None, "model"))
    attend, mask = attention.dot_product_attention, jnp.asarray(PADDING[:, None, None, :])
    *qkv, cotangent = arrays(HEADS // 2)

    def run(attend, *qkv):
        output, pull = jax.vjp(lambda *x: attend(*x, mask=mask), *qkv)
        return output, *pull(cotangent)

    split = jax.jit(
        functools.partial(run, head_parallel_attention(attend, mesh)), in_shardings=(sharding,) * 3
    )
    compiled = split.lower(*qkv).compile()
    assert not [c for c in collectives(compiled) if c.kind == "all-gather"]
    got = compiled(*[jax.device_put(x, sharding) for x in qkv])
    want = jax.jit(functools.partial(run, attend))(*qkv)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        assert a.sharding.is_equivalent_to(sharding, 4)
    with pytest.raises(ValueError, match=r"head_parallel_attention: `key` .* divide, not 2"):
        head_parallel_attention(attend, mesh)(*arrays(2)[:3])
