"""HyperMixer: sets of any size, padding, linear cost, and recall beside attention's."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers import feedforward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.models import TransformerBlock

WIDTH = 32
KEYS, VALUES = 16, 8
LEAST, MOST = 8, 16
STEPS = 1000
BATCH = 32
SEEDS = 2
TESTED = 1024


def identities(key: jax.Array) -> list[Check]:
    """Permuted tokens, padding, and operations counted by the compiler."""
    x = jax.random.normal(key, (16, 24, WIDTH))
    module = feedforward.HyperMixer()
    variables = jax.jit(module.init)(key, x)
    apply = jax.jit(module.apply)
    y = apply(variables, x)
    order = jax.random.permutation(key, 24)
    valid = jnp.arange(24) < 15
    padded = jnp.where(valid[None, :, None], x, 1e3)
    got = apply(variables, padded, mask=valid[None, None])[:, :15]
    operations = [_operations(module, variables, x[:1].repeat(n, 1)) for n in (10, 20)]
    return [
        Check(
            "permuted tokens: distance from permuted results",
            abs(apply(variables, x[:, order]) - y[:, order]).max(),
            "<=",
            1e-5,
        ),
        Check(
            "9 padding tokens: distance from 15 tokens alone",
            abs(got - apply(variables, x[:, :15])).max(),
            "<=",
            1e-5,
        ),
        Check(
            "15 tokens alone: distance from all 24",
            abs(y[:, :15] - apply(variables, x[:, :15])).max(),
            ">=",
            1e-2,
        ),
        Check(
            "operations for 480 tokens over those for 240",
            operations[1] / operations[0],
            "=",
            2,
            0.05,
        ),
    ]


def _operations(module: Any, variables: Any, x: jax.Array) -> float:
    cost: Any = jax.jit(module.apply).lower(variables, x).compile().cost_analysis()
    return cost["flops"]


def agreements(key: jax.Array) -> list[Check]:
    """The paper's equation in NumPy loops over tokens and hidden units."""
    from scipy import special

    def gelu(v):
        return v * special.ndtr(v)

    x = jax.random.normal(key, (7, 6))
    module = feedforward.HyperMixer(
        hidden_features=10, activation=functools.partial(jax.nn.gelu, approximate=False)
    )
    variables = jax.jit(module.init)(key, x)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    v = np.asarray(x, np.float64)
    speak, listen = (
        np.stack([gelu(token @ p[f"{way}_up"][0]) @ p[f"{way}_down"][0] for token in v])
        for way in ("in", "out")
    )
    y = np.zeros_like(v)
    for unit in range(10):
        inside = sum(speak[s, unit] * v[s] for s in range(7))
        for t in range(7):
            y[t] += listen[t, unit] * gelu(inside)
    want = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-6)
    got = jax.jit(module.apply)(variables, x)
    return [Check("distance from NumPy loops", np.abs(got - want).max(), "<=", 1e-4)]


class _StaticMixer(nn.Module):
    """MLP-Mixer's token mixing: the same perceptron, with weights that are parameters."""

    num_heads: int
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, mask: Any = None, **_: Any) -> jax.Array:
        """Mix ``(batch, time, features)`` along time."""
        shape = (x.shape[-2], 2 * x.shape[-1])
        w_in, w_out = (
            self.param(name, nn.initializers.xavier_normal(), shape) for name in ("in", "out")
        )
        weights = (
            jnp.broadcast_to(w[:, None], (*x.shape[:-1], 1, shape[1])) for w in (w_in, w_out)
        )
        y = feedforward.hyper_mixing(x[..., None, :], *weights, mask=mask)
        return LayerNorm()(y.reshape(x.shape))


class _Network(nn.Module):
    """Two blocks over pairs of a key and a value; the answer is read at the first token."""

    mixer: Any
    num_heads: int

    @nn.compact
    def __call__(self, keys: jax.Array, values: jax.Array, valid: jax.Array) -> jax.Array:
        x = nn.Embed(KEYS, WIDTH)(keys) + nn.Embed(VALUES + 1, WIDTH)(values)
        for _ in range(2):
            x = TransformerBlock(self.num_heads, mixer=self.mixer)(x, mask=valid[:, None, None])
        return feedforward.Dense(VALUES)(LayerNorm()(x)[:, 0])


NETWORKS = {
    "HyperMixer": _Network(feedforward.HyperMixer, 1),
    "static mixer": _Network(_StaticMixer, 1),
    "attention": _Network(None, 4),
}


def _recall(rng: np.random.Generator, *shape: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Make examples: a key asked for, then 8 to 16 pairs of different keys, and padding."""
    keys = np.argsort(rng.random((*shape, KEYS)), axis=-1).astype(np.int32)
    values = rng.integers(0, VALUES, (*shape, KEYS), np.int32)
    length = rng.integers(LEAST, MOST + 1, (*shape, 1))
    place = rng.integers(0, length)
    question = np.full((*shape, 1), VALUES, np.int32)  # the value that stands for a question
    inputs = (
        np.concatenate([np.take_along_axis(keys, place, -1), keys], axis=-1),
        np.concatenate([question, values], axis=-1),
        np.arange(KEYS + 1) <= length,
    )
    return inputs, np.take_along_axis(values, place, -1)[..., 0]


def effects(key: jax.Array) -> list[Check]:
    """Associative recall from 8 to 16 pairs, by three mixers in the same two blocks."""
    keys = jax.random.split(key, SEEDS)
    accuracy = {
        name: 100 * np.mean([_accuracy(model, k) for k in keys]) for name, model in NETWORKS.items()
    }
    ours = accuracy["HyperMixer"]
    return [
        Check(
            "accuracy above the static mixer's, points", ours - accuracy["static mixer"], ">=", 15.0
        ),
        Check("accuracy below attention's, points", accuracy["attention"] - ours, "<=", 5.0),
        Check("accuracy of attention, %", accuracy["attention"], ">=", 50.0),
    ]


def _accuracy(model: Any, key: jax.Array) -> float:
    """Train on examples that are never seen twice; the same ones whatever the model."""
    # Drawn by NumPy: a permutation of JAX is a sort, and slow under vmap on a processor.
    rng = generator(key)
    return float(_run(model, key, _recall(rng, STEPS, BATCH), _recall(rng, TESTED)))


@functools.partial(jax.jit, static_argnums=0)
def _run(model, key, batches, test):
    def loss(params, batch):
        inputs, answers = batch
        logits = model.apply({"params": params}, *inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, answers).mean()

    inputs, answers = test
    start = model.init(key, *(v[:1] for v in inputs))["params"]
    schedule = optax.warmup_cosine_decay_schedule(0.0, 3e-3, STEPS // 10, STEPS)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    params, _ = train(loss, tx, start, batches)
    logits = model.apply({"params": params}, *inputs)
    return jnp.mean(jnp.argmax(logits, axis=-1) == answers)


CLAIM = Claim(
    name="hypermixer",
    title="HyperMixer: An MLP-based Low Cost Alternative to Transformers",
    year=2022,
    says="token mixing by weights made from the tokens works on sets of any size, at linear cost, "
    "about as well as attention",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
