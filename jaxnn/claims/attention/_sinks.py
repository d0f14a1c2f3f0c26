"""What the claims on sinks and outliers do alike: the backcopy task, models of it, measures.

The Bigram-Backcopy task is that of "Active-Dormant Attention Heads: Mechanistically Demystifying
Extreme-Token Phenomena in LLMs" (2024): the next symbol is drawn from a table, but after a
trigger it is the one before the trigger. A head that copies has nothing to do at all other
symbols, and learns to look at the start token there.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.tree_util import Partial

from jaxnn.analysis.activations import capture
from jaxnn.analysis.sparsity import attention_sink, infinity_norm, kurtosis
from jaxnn.claims._experiments import generator, train
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.position import PositionEmbedding
from jaxnn.models import Transformer, TransformerBlock

SEEDS = 3
START, SYMBOLS, TRIGGERS = 0, 16, 3  # symbols are 1 ... 16, triggers the first of them
LENGTH, BATCH, STEPS, TEST = 32, 16, 1000, 256
HEADS = 8
# Heads without preference give the start token 0.1.
SINK = 0.2


class Backcopy(NamedTuple):
    """Rows ``(n, LENGTH + 1)`` of symbols, and the least loss a predictor can have on them."""

    rows: np.ndarray
    least: float


def backcopy(rng: np.random.Generator, n: int, table: np.ndarray) -> Backcopy:
    """Draw rows; a row of ``table`` holds the chances of each symbol after one.

    No row starts with a trigger, so that none is copied: two would repeat for ever.
    """
    rows = np.empty((n, LENGTH + 1), np.int32)
    rows[:, 0] = rng.integers(TRIGGERS, SYMBOLS, n)
    bounds = np.cumsum(table, axis=1)[:, :-1]
    for i in range(1, LENGTH + 1):
        last = rows[:, i - 1]
        drawn = np.sum(rng.random((n, 1)) > bounds[last], axis=1)
        rows[:, i] = np.where(last < TRIGGERS, rows[:, max(i - 2, 0)], drawn)
    last = rows[:, :-1]
    surprise = np.where(last < TRIGGERS, 0, -np.log(table[last, rows[:, 1:]]))
    return Backcopy(rows + 1, float(surprise.mean()))


class Started(nn.Module):
    """A language model that reads the start token first, and predicts from the input on."""

    inner: nn.Module

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Map tokens ``(batch, time)`` to logits ``(batch, time, vocabulary)``."""
        model: Any = self.inner
        started = jnp.pad(tokens, ((0, 0), (1, 0)), constant_values=START)
        return model(started)[:, 1:]


def network(mixer: Callable[..., nn.Module]) -> Started:
    """Build a causal model of one block whose attention module ``mixer`` makes."""
    model = Transformer(
        1 + SYMBOLS,
        features=32,
        depth=1,
        block=functools.partial(TransformerBlock, HEADS, mixer=mixer),
        position=functools.partial(PositionEmbedding, LENGTH + 1),
        rotary=None,
    )
    return Started(model)


def compare_on_backcopy(
    key: jax.Array, mixers: dict[str, Partial], *, bits: tuple[int, ...] = ()
) -> dict[str, dict[str, np.ndarray]]:
    """Train models on tables of their seed; give each one's measures, seed by seed.

    All models of a seed start from the same key and see the same rows in the same order. Of
    ``mixers``, those that differ in arrays alone share a compiled program.
    """
    rng = generator(key)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 3e-3, STEPS // 10, STEPS)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))

    @jax.jit
    def run(mixer, key, batches, test):
        model = network(mixer)
        start = model.init(key, test[:1, :-1])["params"]
        params, _ = train(lambda p, rows: _loss(_apply(model, p, rows), rows), tx, start, batches)
        return outliers(model, params, test, bits)

    found = {name: [] for name in mixers}
    for one in jax.random.split(key, SEEDS):
        # Most symbols have a few likely successors.
        table = rng.dirichlet(np.full(SYMBOLS, 0.3), SYMBOLS)
        seen = backcopy(rng, STEPS * BATCH, table).rows.reshape(STEPS, BATCH, -1)
        test, least = backcopy(rng, TEST, table)
        for name, mixer in mixers.items():
            measures = run(mixer, one, jnp.asarray(seen), jnp.asarray(test))
            found[name].append({**measures, "excess": measures["loss"] - least})
    return {
        name: {measure: np.array([seed[measure] for seed in seeds]) for measure in seeds[0]}
        for name, seeds in found.items()
    }


def outliers(
    model: Any, params: Any, rows: jax.Array, bits: tuple[int, ...] = ()
) -> dict[str, jax.Array]:
    """Measure a trained model: loss, sinks, outliers, and what so many bits cost.

    Sinks are averaged over heads, blocks and rows. The norm and the kurtosis are those of the
    stream after each block, taken for each row and averaged over rows; the largest of the
    blocks' norms and the mean of their kurtoses.
    """
    logits, values = capture(model, {"params": params}, rows[:, :-1])
    weights = [v for name, v in values.items() if name.endswith("attention_weights")]
    stream = [v for name, v in values.items() if name.rpartition("/")[2].startswith("blocks_")]
    loss = _loss(logits, rows)
    found = {
        "loss": loss,
        "sink": jnp.mean(jnp.stack([jnp.mean(jax.vmap(attention_sink)(w)) for w in weights])),
        "norm": jnp.max(jnp.stack([jnp.mean(jax.vmap(infinity_norm)(x)) for x in stream])),
        "kurtosis": jnp.mean(jnp.stack([jnp.mean(jax.vmap(kurtosis)(x)) for x in stream])),
    }
    for number in bits:
        with nn.intercept_methods(_quantised_inputs(number)):
            rounded = _apply(model, _quantised_kernels(params, number), rows)
        found[f"cost of {number} bits"] = _loss(rounded, rows) - loss
    return found


def fake_quantise(x: jax.Array, bits: int) -> jax.Array:
    """Round to 2**bits steps between the least and the largest entry, zero among them."""
    low, high = jnp.minimum(jnp.min(x), 0), jnp.maximum(jnp.max(x), 0)
    step = jnp.maximum(high - low, 1e-12) / (2**bits - 1)
    zero = jnp.round(-low / step)
    return (jnp.clip(jnp.round(x / step) + zero, 0, 2**bits - 1) - zero) * step


def _quantised_inputs(bits: int) -> Callable[..., Any]:
    def intercept(call, args, options, context):
        if isinstance(context.module, Dense | nn.Dense) and context.method_name == "__call__":
            args = (fake_quantise(args[0], bits), *args[1:])
        return call(*args, **options)

    return intercept


def _quantised_kernels(params: Any, bits: int) -> Any:
    def one(path, leaf):
        return fake_quantise(leaf, bits) if path[-1].key == "kernel" else leaf

    return jax.tree_util.tree_map_with_path(one, params)


def _apply(model: Any, params: Any, rows: jax.Array) -> jax.Array:
    return model.apply({"params": params}, rows[:, :-1])


def _loss(logits: jax.Array, rows: jax.Array) -> jax.Array:
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:]))
