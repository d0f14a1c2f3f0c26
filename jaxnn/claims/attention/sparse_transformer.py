"""Sparse Transformers: their patterns, dense attention under them, a planted copy, real text.

The paper's tables have the fixed pattern at or below dense attention's bits on text; here both
read 64 bytes. The copy is planted: its source is out of a local window's reach, and at a
multiple of the stride.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.typing import Dtype

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train, train_language_models
from jaxnn.layers.attention import dot_product_attention, sparse_attention, sparse_pattern
from jaxnn.layers.position import PositionEmbedding
from jaxnn.models import Transformer, TransformerBlock

OPTIONS = ("stride", "pattern", "part", "is_causal")
LENGTHS = (64, 256, 1024, 4096)
# The copy: 256 tokens of 16 kinds, each to be told from the one 128 before.
LENGTH, STRIDE, KINDS, DISTANCE = 256, 16, 16, 128
STEPS, BATCH, TESTED = 400, 16, 64


def identities(key: jax.Array) -> list[Check]:
    """What two steps reach, how pairs grow with the length, and gradients made twice."""
    wrong = 0
    # Compiled whole: op by op, the small programs would take longer than the rest.
    mask = jax.jit(sparse_pattern, static_argnums=0, static_argnames=OPTIONS)
    for pattern in ("strided", "fixed"):
        local, distant = (
            np.asarray(mask(64, stride=8, pattern=pattern, part=part, is_causal=True))
            # The residual connection lets a position keep what it has.
            | np.eye(64, dtype=bool)
            for part in ("local", "distant")
        )
        reached = local @ distant | distant @ local
        wrong += np.sum(reached != np.tri(64, dtype=bool))
    density = [np.sum(mask(n, stride=round(n**0.5), is_causal=True)) / n**1.5 for n in LENGTHS]

    def total(x):
        return jnp.sum(jnp.sin(sparse_attention(x, x, x, stride=4, is_causal=True)))

    x = jax.random.normal(key, (18, 2, 4))
    kept, again = jax.jit(lambda x: (jax.grad(total)(x), jax.grad(jax.checkpoint(total))(x)))(x)
    return [
        Check("pairs of 64 that two steps reach wrongly", wrong, "=", 0),
        Check(
            "pairs / n^1.5, most over least, n = 64 to 4096", max(density) / min(density), "<=", 1.2
        ),
        Check("distance of gradients under checkpoint", abs(kept - again).max(), "<=", 1e-6),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The gathered form beside NumPy's dense attention, pairs listed one at a time."""
    n, stride, summary = 30, 5, 2
    query, key_, value = (jax.random.normal(k, (n, 2, 8)) for k in jax.random.split(key, 3))
    q, k, v = (np.asarray(x, np.float64) for x in (query, key_, value))
    checks = []
    for pattern in ("strided", "fixed"):
        want = np.zeros(v.shape)
        for i, h in np.ndindex(n, 2):
            strided = [j for j in range(i + 1) if i - j <= stride or (i - j) % stride == 0]
            ends = range(stride - summary, stride)
            fixed = [j for j in range(i + 1) if j // stride == i // stride or j % stride in ends]
            seen = strided if pattern == "strided" else fixed
            powers = np.exp(k[seen, h] @ q[i, h] / np.sqrt(8))
            want[i, h] = powers @ v[seen, h] / powers.sum()
        attend = functools.partial(
            sparse_attention, stride=stride, pattern=pattern, summary=summary, is_causal=True
        )
        got = np.asarray(jax.jit(attend)(query, key_, value))
        checks.append(Check(f"distance from NumPy, {pattern}", abs(got - want).max(), "<=", 1e-5))
    return checks


class RowsAndColumns(nn.Module):
    """The paper's position vectors: one for each row of ``STRIDE`` tokens, one for each column."""

    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, positions: jax.Array) -> jax.Array:
        """Add both to ``(*batch, time, features)``."""
        table = functools.partial(PositionEmbedding, embedding_init=nn.initializers.normal(0.5))
        x = table(LENGTH // STRIDE, name="row")(x, positions // STRIDE)
        return table(STRIDE, name="column")(x, positions % STRIDE)


def effects(key: jax.Array) -> list[Check]:
    """A copy from afar, bits a byte of text, and how deep networks start."""
    copy_key, text_key, depth_key = jax.random.split(key, 3)
    options: Any = {"stride": STRIDE, "is_causal": True}
    pairs = int(np.sum(sparse_pattern(LENGTH, **options)))
    # The narrowest local window with at least as many pairs.
    window = next(
        w for w in range(1, LENGTH) if np.sum(np.minimum(np.arange(LENGTH), w) + 1) >= pairs
    )
    strided, local = (
        100 * _copied(copy_key, functools.partial(sparse_attention, **each))
        for each in ({"stride": STRIDE}, {"stride": window, "part": "local"})
    )
    fixed = functools.partial(sparse_attention, stride=8, pattern="fixed", summary=2)
    text, dense = (
        train_language_models(Transformer(256, attention=attention), text_key[None]).validation[0]
        for attention in (fixed, dot_product_attention)
    )
    growth = _growth(depth_key)
    return [
        Check("tokens copied from 128 before, strided, %", strided, ">=", 95.0),
        Check("the same, local window of as many pairs, %", local, "=", 100 / KINDS, 2.0),
        Check("loss on text, fixed pattern over dense", text / dense, "<=", 1.02),
        Check("change of the stream, 32 blocks over 2, scaled", growth["scaled"], "<=", 1.25),
        Check("the same, not scaled", growth["plain"], ">=", 2.0),
    ]


def _copied(key: jax.Array, attention: Any) -> float:
    """Train one block to copy; give the share of tokens that are right on new rows."""
    model = Transformer(
        KINDS,
        features=32,
        depth=1,
        num_heads=2,
        rotary=None,
        position=RowsAndColumns,
        attention=attention,
    )
    init_key, rows_key, test_key = jax.random.split(key, 3)
    tx = optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 5e-3, STEPS // 10, STEPS))

    def logits(params, rows):
        return jnp.asarray(model.apply({"params": params}, rows))[:, DISTANCE:]

    def loss(params, rows):
        return jnp.mean(
            optax.softmax_cross_entropy_with_integer_labels(
                logits(params, rows), rows[:, :-DISTANCE]
            )
        )

    @jax.jit
    def run(init_key, rows, tests):
        params, _ = train(loss, tx, model.init(init_key, rows[0])["params"], rows)
        return jnp.mean(jnp.argmax(logits(params, tests), axis=-1) == tests[:, :-DISTANCE])

    rows = jax.random.randint(rows_key, (STEPS, BATCH, LENGTH), 0, KINDS)
    return float(run(init_key, rows, jax.random.randint(test_key, (TESTED, LENGTH), 0, KINDS)))


def _growth(key: jax.Array) -> dict[str, float]:
    """Measure how far blocks move the stream at the start, the last maps scaled or not."""
    attention = functools.partial(sparse_attention, stride=4)
    block = TransformerBlock(4, attention=attention)
    x = jax.random.normal(key, (8, 16, 64))
    # The paper's W_p and W_2, scaled by 1/√(2N) for N blocks.
    last = ("out", "down")

    @jax.jit
    def moved(key, scale):
        def scaled(path, leaf):
            return leaf * scale if path[-2].key in last else leaf

        def step(y, key):
            params = jax.tree_util.tree_map_with_path(scaled, block.init(key, x))
            y = jnp.asarray(block.apply(params, y, is_causal=True))
            return y, jnp.sqrt(jnp.mean((y - x) ** 2))

        return jax.lax.scan(step, x, jax.random.split(key, 32))[1]

    plain = moved(key, 1.0)
    scaled = [moved(key, (2 * depth) ** -0.5)[depth - 1] for depth in (2, 32)]
    return {"scaled": float(scaled[1] / scaled[0]), "plain": float(plain[31] / plain[1])}


CLAIM = Claim(
    name="sparse-transformer",
    title="Generating Long Sequences with Sparse Transformers",
    year=2019,
    says="n√n pairs reach every position in two steps and model text as well as all n² do",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
