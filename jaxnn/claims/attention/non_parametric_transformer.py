"""Non-parametric transformers: the order of rows, a look-up between them, and breast cancer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train
from jaxnn.models import NonParametricTransformer

ROWS, NUMBERS = 12, 4
LOOKUP = NonParametricTransformer((*(0,) * NUMBERS, 2), features=8, depth=2, num_heads=4)
STEPS, BATCH = 500, 16


def identities(key: jax.Array) -> list[Check]:
    """Another order of the rows gives the same predictions in that order."""
    x_key, order_key, hidden_key, init_key = jax.random.split(key, 4)
    x, _ = lookup(x_key)
    hidden = jax.random.bernoulli(hidden_key, 0.3, x.shape)
    params = jax.jit(LOOKUP.init)(init_key, x, hidden)["params"]
    order = jax.random.permutation(order_key, len(x))
    apply = jax.jit(LOOKUP.apply)
    want = apply({"params": params}, x, hidden)[-1][order]
    got = apply({"params": params}, x[order], hidden[order])[-1]
    return [Check("distance after the rows changed places", abs(got - want).max(), "<=", 1e-5)]


def lookup(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Make a table whose second half repeats the first, with coin tosses as labels (planted).

    Nothing but the row's twin says what its label is. Gives the table and which labels are asked.
    """
    x_key, label_key = jax.random.split(key)
    x = jax.random.normal(x_key, (ROWS, NUMBERS))
    labels = jax.random.bernoulli(label_key, 0.5, (ROWS, 1)).astype(x.dtype)
    half = jnp.concatenate([x, labels], axis=1)
    return jnp.concatenate([half, half]), jnp.arange(2 * ROWS) >= ROWS


def _target_loss(model, params, x, asked):
    """Give the cross-entropy of the asked rows' labels, the last column, and their logits."""
    hidden = jnp.zeros(x.shape, bool).at[:, -1].set(asked)
    logits = model.apply({"params": params}, x, hidden)[-1]
    labels = x[:, -1].astype(jnp.int32)
    values = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.sum(jnp.where(asked, values, 0)) / jnp.sum(asked), logits


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
    @jax.jit
    def run(key):
        init_key, train_key, test_key = jax.random.split(key, 3)
        x, _ = lookup(init_key)
        params = model.init(init_key, x, jnp.zeros(x.shape, bool))["params"]

        def loss(params, keys):
            tables, asked = jax.vmap(lookup)(keys)
            one = jax.vmap(lambda x, a: _target_loss(model, params, x, a)[0])
            return jnp.mean(one(tables, asked))

        schedule = optax.warmup_cosine_decay_schedule(0.0, 5e-3, 50, STEPS)
        tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
        params, _ = train(loss, tx, params, jax.random.split(train_key, (STEPS, BATCH)))

        def answers(key, flip):
            x, asked = lookup(key)
            # The label of the first half's twin, and nothing else, is turned over.
            twin = ~asked & flip
            seen = x.at[:, -1].set(jnp.where(twin, 1 - x[:, -1], x[:, -1]))
            hidden = jnp.zeros(x.shape, bool).at[:, -1].set(asked)
            logits = model.apply({"params": params}, seen, hidden)[-1]
            return jnp.argmax(logits[ROWS:], axis=-1), x[ROWS:, -1].astype(jnp.int32)

        keys = jax.random.split(test_key, 256)
        said, labels = jax.vmap(lambda k: answers(k, False))(keys)
        turned, _ = jax.vmap(lambda k: answers(k, True))(keys)
        return jnp.mean(said == labels), jnp.mean(turned != said)

    return [float(x) for x in run(key)]


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
            *numbers, label = model.apply({"params": params}, table, hidden)
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
        logits = model.apply({"params": params}, table, hidden)[-1]
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
