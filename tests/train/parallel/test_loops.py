"""Layers that loop are functions of one device's share, with JAX's check of types left on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxnn.layers import attention, recurrent, spiking
from jaxnn.train.parallel import make_mesh


def rows(x):
    return x.reshape(*x.shape[:2], -1)


LAYERS = {
    "leaky": lambda x: spiking.leaky_sequence(rows(x), 0.9)[1] + rows(x),
    "linear": lambda x: attention.linear_attention(x, x, x, is_causal=True, chunk_size=3),
    "blockwise": lambda x: attention.blockwise_attention(x, x, x, is_causal=True, key_block=4),
    "recurrence": lambda x: recurrent.linear_recurrence(jax.nn.sigmoid(rows(x)), rows(x)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_of_shares_is_that_of_the_whole(name):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 7, 2, 3)), jnp.float32)
    loss = lambda x: jnp.sum(LAYERS[name](x) ** 2)  # noqa: E731
    shares = jax.shard_map(
        lambda x: jax.lax.psum(loss(x), "data"),
        mesh=make_mesh("data=8"),
        in_specs=P("data"),
        out_specs=P(),
    )
    got, want = (jax.jit(jax.value_and_grad(f))(x) for f in (shares, loss))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, want)
