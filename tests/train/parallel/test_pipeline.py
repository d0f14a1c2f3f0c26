import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxnn.train.parallel import make_mesh, pipeline

RNG = np.random.default_rng(0)
BLOCKS, BATCH, WIDTH = 8, 16, 4
X, Y = (jnp.asarray(RNG.normal(size=(BATCH, WIDTH)), jnp.float32) for _ in range(2))
PARAMS = {
    "kernel": jnp.asarray(RNG.normal(size=(BLOCKS, WIDTH, WIDTH)) / 2, jnp.float32),
    "bias": jnp.asarray(RNG.normal(size=(BLOCKS, WIDTH)) / 2, jnp.float32),
}


def block(params, x):
    """Differs with the order of blocks; has no value and no derivative where nothing comes in."""
    return x + jnp.tanh(x @ params["kernel"] + params["bias"][None]) / jnp.linalg.norm(
        x, axis=-1, keepdims=True
    )


def loss(run, params, x):
    return jnp.mean((run(params, x) - Y) ** 2)


def in_a_row(params, x):
    for i in range(BLOCKS):
        x = block(jax.tree.map(lambda a, i=i: a[i], params), x)
    return x


@functools.cache
def one_device():
    return jax.jit(jax.value_and_grad(functools.partial(loss, in_a_row), (0, 1)))(PARAMS, X)


def place(mesh):
    return jax.device_put(PARAMS, NamedSharding(mesh, P("stage")))


@pytest.mark.parametrize(
    ("axes", "micro_batches", "recompute"),
    [
        ("stage=4", 1, True),
        ("stage=4", 4, False),
        ("stage=8", 8, True),
        ("data=2,stage=4", 8, True),
        ("stage=1", 4, True),
    ],
)
def test_equals_one_device(axes, micro_batches, recompute):
    """The loss of the whole batch, and gradients of parameters and inputs."""
    mesh = make_mesh(axes)
    run = pipeline(block, mesh, micro_batches=micro_batches, recompute=recompute)
    params = place(mesh)
    value, found = jax.jit(jax.value_and_grad(functools.partial(loss, run), (0, 1)))(params, X)
    want, wanted = one_device()
    assert float(value) == pytest.approx(float(want), abs=1e-5)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(params), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


def scans(jaxpr):
    """Lengths of all loops, in order."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["length"]
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from scans(inner)


@pytest.mark.parametrize("micro_batches", [1, 4, 8])
def test_ticks_are_counted_from_the_program(micro_batches):
    """M + K - 1 of the pipeline, within each the blocks of a stage."""
    run = pipeline(block, make_mesh("stage=4"), micro_batches=micro_batches)
    jaxpr = jax.make_jaxpr(run)(PARAMS, X).jaxpr
    assert list(scans(jaxpr)) == [micro_batches + 3, BLOCKS // 4]


def test_idle_stages_do_nothing():
    """Of K (M + K - 1) turns M K are work: a share of (K - 1) / (M + K - 1) is not."""
    calls = collections.Counter()

    def counted(params, x):
        jax.debug.callback(lambda number: calls.update([int(number)]), params["number"])
        return x

    run = pipeline(counted, make_mesh("stage=4"), micro_batches=8)
    jax.block_until_ready(run({"number": jnp.arange(BLOCKS)}, X))
    jax.effects_barrier()
    assert calls == dict.fromkeys(range(BLOCKS), 8)


def temporary(micro_batches, recompute):
    """Bytes that the gradient's program needs beside its arguments, blocks being wide inside."""
    mesh = make_mesh("stage=2")

    def wide(params, x):
        return x + jnp.tanh(jnp.tanh(x @ params) @ params.T)

    run = pipeline(wide, mesh, micro_batches=micro_batches, recompute=recompute)
    shapes = [
        jax.ShapeDtypeStruct((8, 8, 64), jnp.float32, sharding=NamedSharding(mesh, P("stage"))),
        jax.ShapeDtypeStruct((512, 8), jnp.float32),
    ]
    program = jax.jit(jax.grad(lambda params, x: jnp.sum(run(params, x) ** 2)))
    return program.lower(*shapes).compile().memory_analysis().temp_size_in_bytes


def test_recomputing_and_more_micro_batches_need_less_memory():
    kept, few, many = temporary(8, False), temporary(1, True), temporary(8, True)
    # Kept are the inner values of 9 ticks, made again those of one, an eighth of the batch.
    assert many < few / 3
    assert many < kept / 4


def test_what_does_not_fit_is_named():
    mesh = make_mesh("data=2,stage=4")
    run = pipeline(block, mesh, micro_batches=4)
    with pytest.raises(ValueError, match=r"pipeline: `params` .* the 4 stages of 'stage' divide"):
        run(jax.tree.map(lambda a: a[:6], PARAMS), X)
    with pytest.raises(ValueError, match=r"pipeline: `params` .* it needs 8 blocks, as another"):
        run({**PARAMS, "kernel": PARAMS["kernel"][:4]}, X)
    with pytest.raises(ValueError, match=r"`x` is .* the 2 devices of \('data',\) in 4 micro-"):
        run(PARAMS, X[:12])
    with pytest.raises(ValueError, match=r"pipeline: `block` gave .* of the same shape and dtype"):
        pipeline(lambda params, x: x[:, :2], mesh, micro_batches=1)(PARAMS, X)
    with pytest.raises(ValueError, match="pipeline: `micro_batches` is 0"):
        pipeline(block, mesh, micro_batches=0)
    with pytest.raises(ValueError, match=r"`axis` is 'depth'; .*data=2, stage=4"):
        pipeline(block, mesh, micro_batches=1, axis="depth")
