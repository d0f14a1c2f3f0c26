"""What the claims on sinks and outliers do alike: small models of text, and their measures.

Text is read byte by byte after a start token, 0, on which sinks usually form. All models of one
comparison see the same rows in the same order.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.analysis.activations import capture
from jaxnn.analysis.sparsity import attention_sink, infinity_norm, kurtosis
from jaxnn.claims._experiments import rows_of_text, text, train_language_models
from jaxnn.layers.attention import MultiHeadAttention
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.position import rotary_embedding
from jaxnn.models import Transformer, TransformerBlock

SEEDS = 3
LENGTH = 64


class Started(nn.Module):
    """A language model that reads token 0 before its input, and predicts from the input on."""

    inner: nn.Module

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Map tokens ``(batch, time)`` to logits ``(batch, time, vocabulary)``."""
        model: Any = self.inner
        return model(jnp.pad(tokens, ((0, 0), (1, 0))))[:, 1:]


def network(vocabulary: int, depth: int, num_heads: int, **mixer: Any) -> Started:
    """Build a causal model whose attention modules have the settings ``mixer``."""
    attention = functools.partial(MultiHeadAttention, rotary=rotary_embedding, **mixer)
    block = functools.partial(TransformerBlock, num_heads, mixer=attention)
    return Started(Transformer(vocabulary, depth=depth, num_heads=num_heads, block=block))


def compare_on_text(key: jax.Array, **mixers: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Train models of two blocks on text; give each one's measures, averaged over seeds."""
    held_out = text()[1]
    starts = np.linspace(0, len(held_out) - LENGTH - 1, 256).astype(int)
    test = jnp.asarray(rows_of_text(held_out, starts, LENGTH))
    keys = jax.random.split(key, SEEDS)
    found = {}
    for name, mixer in mixers.items():
        model = network(256, 2, 4, **mixer)
        trained = train_language_models(model, keys, steps=250, length=LENGTH)
        measures = jax.jit(lambda params, model=model: outliers(model, params, test))
        found[name] = _mean([measures(params) for params in trained.params])
    return found


def outliers(model: Any, params: Any, rows: jax.Array) -> dict[str, jax.Array]:
    """Measure a trained model: loss, sinks, outliers, and what six and eight bits cost.

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
    for bits in (6, 8):
        with nn.intercept_methods(_quantised_inputs(bits)):
            rounded = model.apply({"params": _quantised_kernels(params, bits)}, rows[:, :-1])
        found[f"cost of {bits} bits"] = _loss(rounded, rows) - loss
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


def _loss(logits: jax.Array, rows: jax.Array) -> jax.Array:
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:]))


def _mean(measures: list[dict[str, jax.Array]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in measures])) for name in measures[0]}
