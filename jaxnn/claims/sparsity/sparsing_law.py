"""PPL-p% sparsity: what it promises, and how it changes with data for ReLU and SiLU.

The trend is that of the last five of ten models, to 1000 steps at a constant rate. To 400 steps
with a rate that falls to zero (and 48 features, 128 units) the share of active ReLU units still
rose, by 7 points for twice the data on seed 0: models that have seen so little are no test of it.
Here it falls by 2 points on seeds 0, 1 and 2. That of SiLU rises by 13 and 4 on seeds 0 and 1 and
falls by 5 on seed 2, where the claim fails: it moves up and down by several points from one model
to the next, so that a trend of five is not sure of its sign.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.analysis import activations, sparsity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, next_byte_loss, rows_of_text, text
from jaxnn.layers.feedforward import GatedFeedForward
from jaxnn.models import Transformer

LENGTH = 48
RECORDS, BETWEEN = 10, 100  # models looked at, and steps between two
LATER = 5  # models that the trend is of
TINY, PLANTED = 32, 12  # hidden units, and those of them that are zero for every token


def _model(activation: Any, features: int, depth: int, units: int) -> Transformer:
    def feedforward(**options: Any) -> nn.Module:
        return GatedFeedForward(units, activation=activation, **options)

    return Transformer(
        vocabulary=256, features=features, depth=depth, num_heads=4, feedforward=feedforward
    )


def _evaluate(model: Transformer, params: Any, rows: jax.Array, loss: Any = next_byte_loss) -> Any:
    """Make the function from the CETT of all layers to the loss and the sparsity."""
    layers = [f"blocks_{i}/feedforward" for i in range(model.depth)]
    names = [f"{layer}/hidden" for layer in layers]
    _, hidden = activations.capture(model, {"params": params}, rows[:, :-1], names=names)
    kernels = [params[f"blocks_{i}"]["feedforward"]["down"]["kernel"] for i in range(model.depth)]

    def evaluate(c: jax.Array) -> tuple[jax.Array, jax.Array]:
        thresholds = [
            sparsity.cett_threshold(hidden[name], kernel, c, iterations=12)
            for name, kernel in zip(names, kernels, strict=True)
        ]
        shares = []

        def truncate(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            path = "/".join(context.module.path)
            if path.endswith("/down") and context.method_name == "__call__":
                i = layers.index(path.removesuffix("/down"))
                kept = sparsity.truncate_units(args[0], kernels[i], thresholds[i])
                shares.append(jnp.mean(kept == 0))
                args = (kept, *args[1:])
            return call(*args, **kwargs)

        with nn.intercept_methods(truncate):
            value = loss(model, params, rows)
        return value, jnp.mean(jnp.stack(shares))

    return evaluate


def identities(key: jax.Array) -> list[Check]:
    """A random model, some of whose units are zero whatever it reads."""
    random = generator(key)
    model = _model(jax.nn.silu, 16, 1, TINY)
    rows = jnp.asarray(random.integers(0, 256, (8, 17)).astype(np.int32))
    planted = jnp.asarray(np.isin(np.arange(TINY), random.permutation(TINY)[:PLANTED]))

    @jax.jit
    def run(key, increases):
        params: Any = model.init(key, rows[:, :-1])["params"]
        gate = params["blocks_0"]["feedforward"]["gate"]
        gate["kernel"] = jnp.where(planted[None], 0, gate["kernel"])
        # Large logits, so that what is dropped costs something.
        params["head"]["kernel"] = 10 * params["head"]["kernel"]
        # Bytes as likely as the dense model says: whatever changes it costs something.
        likely = jax.nn.softmax(jnp.asarray(model.apply({"params": params}, rows[:, :-1])))

        def expected_loss(model, params, rows):
            logits = jnp.asarray(model.apply({"params": params}, rows[:, :-1]))
            return jnp.mean(optax.softmax_cross_entropy(logits, likely))

        evaluate = _evaluate(model, params, rows, expected_loss)
        found = jax.lax.map(
            lambda p: sparsity.ppl_p_sparsity(evaluate, increase=p, iterations=8), increases
        )
        return found, evaluate(jnp.zeros(()))[1]

    increases = np.asarray([0.001, 0.01, 0.1], np.float32)
    found, exact = jax.tree.map(np.asarray, run(key, jnp.asarray(increases)))
    ratio = np.exp(found.loss - found.dense_loss) / (1 + increases)
    return [
        Check("sparsity without loss, of 3/8 planted", exact, "=", PLANTED / TINY, 1e-6),
        Check(
            "rise of sparsity from 0.1 to 1 to 10 %, least", np.diff(found.sparsity).min(), ">=", 0
        ),
        Check("rise in all", np.ptp(found.sparsity), ">", 0.0),
        Check("perplexity over (1 + p) of the dense, most", ratio.max(), "<=", 1.0 + 1e-5),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """CETT by a NumPy loop over units, the laws by scipy from the truth."""
    from scipy.optimize import curve_fit

    random = generator(key)
    hidden, down = random.normal(size=(6, 12)), random.normal(size=(12, 5))
    want = []
    for a in hidden:
        parts = a[:, None] * down
        dropped = parts[np.linalg.norm(parts, axis=1) <= 1.0]
        want.append(np.linalg.norm(dropped.sum(0)) / np.linalg.norm(parts.sum(0)))
    got = sparsity.cett(jnp.asarray(hidden, jnp.float32), jnp.asarray(down, jnp.float32), 1.0)
    checks = [Check("CETT from NumPy's", np.abs(np.asarray(got) - want).max(), "<=", 1e-5)]
    data = np.geomspace(1.0, 1e3, 40)
    laws = {
        True: (lambda d, a, c, power: a - c * d**-power, (0.4, 0.2, 0.6)),
        False: (lambda d, a, c, power, b: a + np.exp(b - c * d**power), (0.1, 0.3, 0.4, -0.4)),
    }
    for rises, (law, truth) in laws.items():
        ratio = law(data, *truth) + 0.002 * random.normal(size=data.shape)
        best = curve_fit(law, data, ratio, p0=truth, maxfev=20_000)[0]
        explained = sparsity.fit_activation_law(data, ratio, rises=rises)[1]
        left = (1 - explained) * np.sum((ratio - ratio.mean()) ** 2)
        over = left / np.sum((law(data, *best) - ratio) ** 2)
        name = "rising" if rises else "falling"
        checks.append(Check(f"{name} law: squared error over scipy's", over, "<=", 1.001))
    return checks


def effects(key: jax.Array) -> list[Check]:
    """Two models of bytes, that differ in the activation, looked at ten times in training."""
    random = generator(key)
    source, held_out = text()
    begin = random.integers(0, len(source) - LENGTH - 1, (RECORDS, BETWEEN, 16))
    batches = jnp.asarray(rows_of_text(source, begin, LENGTH))
    begin = np.linspace(0, len(held_out) - LENGTH - 1, 16).astype(int)
    rows = jnp.asarray(rows_of_text(held_out, begin, LENGTH))
    amount = BETWEEN * np.arange(1, RECORDS + 1)
    slopes, dense = {}, {}
    for name, activation in (("ReLU", jax.nn.relu), ("SiLU", jax.nn.silu)):
        model = _model(activation, 32, 2, 96)
        active, losses = map(np.asarray, _train(model, key, batches, rows))
        slopes[name] = 100 * np.polyfit(np.log2(amount[-LATER:]), active[-LATER:], 1)[0]
        dense[name] = losses[-1]
    return [
        Check("ReLU: active units for twice the data, points", slopes["ReLU"], "<", 0.0),
        Check("SiLU: active units for twice the data, points", slopes["SiLU"], ">=", 0.0),
        Check("loss of ReLU over SiLU", dense["ReLU"] / dense["SiLU"], "=", 1.0, 0.05),
    ]


def _train(model: Transformer, key: jax.Array, batches: jax.Array, rows: jax.Array) -> Any:
    """Train, and give the PPL-1% share of active units and the loss after each part."""
    schedule = optax.warmup_constant_schedule(0.0, 3e-3, BETWEEN)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))

    def step(carry, batch):
        params, state = carry
        slope = jax.grad(lambda params: next_byte_loss(model, params, batch))(params)
        updates, state = tx.update(slope, state, params)
        return (optax.apply_updates(params, updates), state), None

    def part(carry, batches):
        carry, _ = jax.lax.scan(step, carry, batches)
        found = sparsity.ppl_p_sparsity(_evaluate(model, carry[0], rows), iterations=8)
        return carry, (1 - found.sparsity, found.dense_loss)

    @jax.jit
    def run(key, batches):
        params = model.init(key, rows[:, :-1])["params"]
        return jax.lax.scan(part, (params, tx.init(params)), batches)[1]

    return run(key, batches)


CLAIM = Claim(
    name="sparsing-law",
    title="Sparsing Law: Towards Large Language Models with Greater Activation Sparsity",
    year=2024,
    says="the more data a model has seen, the fewer units it needs if they are ReLU, and the more "
    "if they are SiLU",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
