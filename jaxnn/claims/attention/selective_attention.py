"""Selective attention: its formula in NumPy, and queries that need one key or all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers.attention import (
    MultiHeadAttention,
    SelectiveAttention,
    selective_temperature,
)

WIDTH, VALUES = 8, 4
FEATURES = WIDTH + VALUES + 2
LENGTHS = (8, 16, 32)
LONGER = 64
STEPS, BATCH, SEEDS = 1000, 32, 3


def identities(key: jax.Array) -> list[Check]:
    """Without position and token it is plain attention; with keys n² it is twice as sharp."""
    x = jax.random.normal(key, (2, 5, 16))
    module = SelectiveAttention(4, position_init=-100.0)
    params = dict(jax.jit(module.init)(key, x)["params"])
    plain = {name: params[name] for name in ("query", "key", "value", "out")}
    got = jax.jit(module.apply)({"params": params}, x)
    want = jax.jit(MultiHeadAttention(4).apply)({"params": plain}, x)
    # At α far above zero a query multiplies its logits by 1 + log n.
    steps = jnp.array([15, 255])
    at = selective_temperature(jnp.zeros((2, 1)), steps, jnp.full((1,), 100.0))[:, 0] - 1
    return [
        Check("distance from plain attention at τ = 1", abs(got - want).max(), "<=", 1e-6),
        Check("growth of τ - 1 from 16 to 256 keys", at[1] / at[0], "=", 2.0, 1e-5),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The paper's formula, number by number."""
    tokens, logit = jax.random.normal(key, (6, 3)), jnp.array([-1.0, 0.0, 2.0])
    got = np.asarray(selective_temperature(tokens, jnp.arange(6), logit))
    f, a = np.asarray(tokens, np.float64), np.asarray(logit, np.float64)
    want = np.tanh(f) + 1 + np.log(np.arange(1, 7))[:, None] / (1 + np.exp(-a))
    return [Check("distance from NumPy", abs(got - want).max(), "<=", 1e-5)]


def rows(rng: np.random.Generator, shape: tuple[int, ...], keys: int) -> tuple[np.ndarray, ...]:
    """Make keys with values, a query after them, and what it should read (planted).

    Half of the queries ask for the value of the one key they are a noisy copy of, the other half
    for the mean of all values. Drawn by NumPy: compiling as many draws takes longer than training.
    """
    directions = rng.normal(size=(*shape, keys, WIDTH))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    values = rng.normal(size=(*shape, keys, VALUES))
    place = rng.integers(keys, size=(*shape, 1, 1))
    one = rng.random(size=(*shape, 1)) < 0.5
    asked = np.take_along_axis(directions, place, axis=-2)[..., 0, :]
    asked = asked + 0.1 * rng.normal(size=asked.shape)
    query = np.concatenate([asked, np.zeros((*shape, VALUES)), one, ~one], axis=-1)
    context = np.concatenate([directions, values, np.zeros((*shape, keys, 2))], axis=-1)
    found = np.take_along_axis(values, place, axis=-2)[..., 0, :]
    target = np.where(one, found, values.mean(-2))
    x = np.concatenate([context, query[..., None, :]], axis=-2)
    return x.astype(np.float32), target.astype(np.float32), one[..., 0].astype(np.float32)


def effects(key: jax.Array) -> list[Check]:
    """Error on twice the longest training length, and what the temperatures have learned."""
    plain = MultiHeadAttention(1, qkv_features=32, features=VALUES)
    selective = SelectiveAttention(1, qkv_features=32, features=VALUES, select_values=False)
    errors: dict[str, list[float]] = {"plain": [], "selective": []}
    norms: dict[str, list[float]] = {"plain": [], "selective": []}
    correlations = []
    runs = {name: _run(module) for name, module in (("plain", plain), ("selective", selective))}
    for seed in jax.random.split(key, SEEDS):
        rng = generator(seed)
        batches = tuple(rows(rng, (STEPS, BATCH), n)[:2] for n in LENGTHS)
        x, y, one = rows(rng, (1024,), LONGER)
        for name, run in runs.items():
            params, error, temperature = run(seed, batches, x, y)
            errors[name].append(float(error))
            product = params["query"]["kernel"] @ params["key"]["kernel"].T
            norms[name].append(float(jnp.linalg.norm(product)))
            if name == "selective":
                correlations.append(float(jnp.corrcoef(temperature, one)[0, 1]))
    mean = {name: np.mean(values) for name, values in errors.items()}
    return [
        Check(
            f"error at {LONGER} keys, selective over plain, trained at 8 to 32",
            mean["selective"] / mean["plain"],
            "<=",
            0.9,
        ),
        # Both wrong would be no comparison: values have variance 1.
        Check("error of plain attention there", mean["plain"], "<=", 0.5),
        Check(
            "norm of W_Q W_K', selective over plain",
            np.mean(norms["selective"]) / np.mean(norms["plain"]),
            "<",
            1.0,
        ),
        Check(
            "correlation of τ with needing one key, mean of three",
            np.mean(correlations),
            ">=",
            0.7,
        ),
    ]


def _run(module):
    """Compile: train one layer, measure it, and tell each query's temperature."""

    def outputs(params, x):
        return jnp.asarray(module.apply({"params": params}, x, is_causal=True))[:, -1]

    def loss(params, batches):
        each = [jnp.mean((outputs(params, x) - y) ** 2) for x, y in batches]
        return jnp.mean(jnp.stack(each))

    @jax.jit
    def run(key, batches, x, y):
        tx = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))
        params = module.init(key, x[:1])["params"]
        params, _ = train(loss, tx, params, batches)
        error = jnp.mean((outputs(params, x) - y) ** 2)
        temperature = jnp.zeros(len(x))
        if "query_temperature" in params:
            map_ = params["query_temperature"]
            temperature = jnp.tanh(x[:, -1] @ map_["kernel"] + map_["bias"][None])[:, 0]
        return params, error, temperature

    return run


CLAIM = Claim(
    name="selective-attention",
    title="Selective Attention: Enhancing Transformer through Principled Context Control",
    year=2024,
    says="a temperature for each token and position lets queries differ in sharpness at any length",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
