"""Non-parametric transformers: the order of rows, a look-up between them, and breast cancer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.models import NonParametricTransformer

ROWS, NUMBERS = 12, 4
LOOKUP = NonParametricTransformer((*(0,) * NUMBERS, 2), features=8, depth=1, num_heads=4)
STEPS, BATCH = 500, 16


def identities(key: jax.Array) -> list[Check]:
    """Another order of the rows gives the same predictions in that order."""
    x_key, order_key, hidden_key, init_key = jax.random.split(key, 4)
    x = jnp.asarray(lookup(x_key))
    hidden = jax.random.bernoulli(hidden_key, 0.3, x.shape)
    params = jax.jit(LOOKUP.init)(init_key, x, hidden)["params"]
    order = jax.random.permutation(order_key, len(x))
    apply = jax.jit(LOOKUP.apply)
    want = apply({"params": params}, x, hidden)[-1][order]
    got = apply({"params": params}, x[order], hidden[order])[-1]
    return [Check("distance after the rows changed places", abs(got - want).max(), "<=", 1e-5)]


def lookup(key: jax.Array, *shape: int) -> np.ndarray:
    """Make tables whose second half repeats the first, with coin tosses as labels (planted).

    Nothing but the row's twin says what its label is. Labels of the second half are asked for.
    Drawn by NumPy: compiling the draws would take longer than the training.
    """
    rng = generator(key)
    x = rng.normal(size=(*shape, ROWS, NUMBERS))
    labels = rng.integers(2, size=(*shape, ROWS, 1))
    half = np.concatenate([x, labels], axis=-1).astype(np.float32)
    return np.concatenate([half, half], axis=-2)


def _answers(model, params, tables):
    """Give the logits of the second half's labels, the last column, and the loss."""
    asked = jnp.arange(2 * ROWS) >= ROWS
    hidden = (
        jnp.zeros(tables.shape, bool).at[..., -1].set(jnp.broadcast_to(asked, tables.shape[:-1]))
    )
    logits = model.apply({"params": params}, tables, hidden)[-1][..., ROWS:, :]
    labels = tables[..., ROWS:, -1].astype(jnp.int32)
    return logits, jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def effects(key: jax.Array) -> list[Check]:
    """The look-up with and without attention between rows; and real data beside a linear model."""
    lookup_key, real_key = jax.random.split(key)
    accuracy, flipped = _look_up(LOOKUP, lookup_key)
    alone, _ = _look_up(LOOKUP.clone(between_rows=False), lookup_key)
    ours, linear = _breast_cancer(real_key)
    return [
        Check("look-up: accuracy, %", 100 * accuracy, ">=", 95.0),
        # Coin tosses: 3,072 rows seen alone are right in 50 %, and 4.5 is five deviations.
        Check("look-up: rows seen alone, distance from 50 %", abs(100 * alone - 50), "<=", 4.5),
        Check("look-up: predictions that follow the twin's label, %", 100 * flipped, ">=", 95.0),
        Check("breast cancer: area under the curve", ours, ">=", 0.97),
        Check("breast cancer: below logistic regression by", linear - ours, "<=", 0.01),
    ]


def _look_up(model, key):
    """Train on tables, and give the accuracy and the share of answers that turn with a twin."""

    def loss(params, tables):
        return _answers(model, params, tables)[1]

    @jax.jit
    def run(key, batches, tables):
        params = model.init(key, tables[0], jnp.zeros(tables[0].shape, bool))["params"]
        schedule = optax.warmup_cosine_decay_schedule(0.0, 5e-3, 50, STEPS)
        tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
        params, _ = train(loss, tx, params, batches)
        labels = tables[..., ROWS:, -1]
        said = jnp.argmax(_answers(model, params, tables)[0], axis=-1)
        # The labels of the twins, and nothing else, are turned over.
        turned = tables.at[..., :ROWS, -1].set(1 - tables[..., :ROWS, -1])
        then = jnp.argmax(_answers(model, params, turned)[0], axis=-1)
        return jnp.mean(said == labels), jnp.mean(then != said)

    init_key, train_key, test_key = jax.random.split(key, 3)
    batches, tables = lookup(train_key, STEPS, BATCH), lookup(test_key, 256)
    return [float(x) for x in run(init_key, batches, tables)]


def _breast_cancer(key):
    """Train on the table with random entries hidden; give both areas under the curve."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    sets = data.load("breast-cancer")
    mean, scale = sets.train.x.mean(0), sets.train.x.std(0)
    train_x, test_x = ((split.x - mean) / scale for split in (sets.train, sets.test))
    logistic = LogisticRegression(max_iter=1000).fit(train_x, sets.train.y)
    linear = roc_auc_score(sets.test.y, logistic.decision_function(test_x))
    both = np.concatenate([train_x, test_x])
    labels = np.concatenate([sets.train.y, sets.test.y]).astype(np.float32)
    table = jnp.asarray(np.concatenate([both, labels[:, None]], axis=1), jnp.float32)
    tested = jnp.arange(len(table)) >= len(train_x)
    model = NonParametricTransformer((*(0,) * both.shape[1], 2), features=4, depth=1, num_heads=4)

    def predict(params, hidden):
        return [jnp.asarray(y) for y in model.apply({"params": params}, table, hidden)]

    @jax.jit
    def run(key):
        init_key, train_key = jax.random.split(key)
        params = model.init(init_key, table, jnp.zeros(table.shape, bool))["params"]

        def loss(params, key):
            # Labels of the tested rows are never seen, and never asked for, in training.
            column_key, label_key = jax.random.split(key)
            hidden = jax.random.bernoulli(column_key, 0.15, table.shape)
            asked = jax.random.bernoulli(label_key, 0.5, tested.shape) & ~tested
            hidden = hidden.at[:, -1].set(asked | tested)
            *numbers, label = predict(params, hidden)
            values = optax.softmax_cross_entropy_with_integer_labels(
                label, table[:, -1].astype(jnp.int32)
            )
            target = jnp.sum(jnp.where(asked, values, 0)) / jnp.sum(asked)
            errors = (jnp.concatenate(numbers, axis=-1) - table[:, :-1]) ** 2
            columns = jnp.mean(jnp.where(hidden[:, :-1], errors, 0)) / 0.15
            return target + 0.2 * columns

        schedule = optax.warmup_cosine_decay_schedule(0.0, 5e-3, 10, 100)
        tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
        params, _ = train(loss, tx, params, jax.random.split(train_key, 100))
        hidden = jnp.zeros(table.shape, bool).at[:, -1].set(tested)
        logits = predict(params, hidden)[-1]
        return logits[:, 1] - logits[:, 0]

    scores = np.asarray(run(key))[len(train_x) :]
    return float(roc_auc_score(sets.test.y, scores)), float(linear)


CLAIM = Claim(
    name="non-parametric-transformer",
    title="Self-Attention Between Datapoints: Going Beyond Individual Input-Output Pairs in Deep "
    "Learning",
    year=2021,
    says="attention between the rows of a table predicts from other rows, as a look-up needs",
    identities=identities,
    effects=effects,
    quick=False,
)
