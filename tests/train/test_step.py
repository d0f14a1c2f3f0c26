import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn import train
from jaxnn.train import losses
from tests.train.toys import (
    ADAM,
    DROPPING,
    NET,
    assert_same_bits,
    bits,
    examples,
    new_state,
    step_of,
)


def batch(start=0, count=12):
    x, y = examples()
    return jnp.asarray(x[start : start + count]), jnp.asarray(y[start : start + count])


def assert_near(got, want, tolerance=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance), got, want)


def test_equals_optax_by_hand():
    """Three steps, so that the optimiser's moments are carried too."""
    state = new_state()
    params, opt_state = bits(state.params), ADAM.init(bits(state.params))

    def objective(params, x, y):
        logits = NET.apply({"params": params}, x)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(12), y]), logits

    @jax.jit
    def by_hand(params, opt_state, x, y):
        (loss, logits), grads = jax.value_and_grad(objective, has_aux=True)(params, x, y)
        updates, opt_state = ADAM.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss, logits

    for start in (0, 12, 24):
        x, y = batch(start)
        params, opt_state, loss, logits = by_hand(params, opt_state, x, y)
        state, metrics = step_of()(state, (x, y))
        assert_near(metrics["loss"], loss)
        assert metrics["accuracy"] == jnp.mean(jnp.argmax(logits, -1) == y)
    assert_near(state.params, params)
    assert state.step == 3


def weighted(outputs, targets):
    y, weight = targets
    return losses.cross_entropy(outputs, y) * weight


def test_parts_of_a_batch_add_up_to_the_whole():
    """With a weight per example, so that a mean of the wrong parts would show."""
    x, y = batch()
    weight = jnp.linspace(0.1, 3.0, 12)
    hits = {"hits": lambda outputs, targets: losses.accuracy(outputs, targets[0])}
    results = []
    for parts in (1, 2, 4, 12):
        step = train.make_step(weighted, metrics=hits, accumulate_steps=parts)
        results.append(step(new_state(tx=optax.sgd(0.5)), (x, (y, weight))))
    for state, metrics in results[1:]:
        assert_near(state.params, results[0][0].params, 1e-6)
        assert_near(metrics, results[0][1], 1e-6)
        assert state.step == 1
    unweighted, _ = train.make_step(weighted)(
        new_state(tx=optax.sgd(0.5)), (x, (y, weight * 0 + 1))
    )
    assert not np.allclose(unweighted.params["Dense_1"]["bias"], state.params["Dense_1"]["bias"])


class Regularised(nn.Module):
    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.normal(1.0), (4, 3))
        self.sow("losses", "ridge", 0.5 * jnp.sum(kernel**2))
        self.sow("losses", "ridge", jnp.sum(kernel))  # a second of the same name counts too
        return x @ kernel


@pytest.mark.parametrize("parts", [1, 3])
def test_sown_losses_are_added(parts):
    """The ridge's gradient is the kernel itself, the sum's is one, whatever the parts."""
    rate, (x, y) = 0.1, batch()
    state = new_state(Regularised(), tx=optax.sgd(rate))
    kernel = np.array(state.params["kernel"])

    def data_loss(kernel):
        return jnp.mean(losses.cross_entropy(x @ kernel, y))

    want = kernel - rate * (jax.grad(data_loss)(jnp.asarray(kernel)) + kernel + 1)
    step = train.make_step(losses.cross_entropy, accumulate_steps=parts)
    new, metrics = step(state, (x, y))
    assert_near(new.params["kernel"], want, 1e-5)
    np.testing.assert_allclose(
        metrics["loss"], data_loss(kernel) + 0.5 * np.sum(kernel**2) + np.sum(kernel), rtol=1e-5
    )
    assert new.collections == {}


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x):
        average = not self.is_mutable_collection("batch_stats")
        return nn.Dense(3)(nn.BatchNorm(use_running_average=average, momentum=0.9)(x))


def test_batch_statistics_are_updated_and_kept():
    x, y = batch()
    step = train.make_step(losses.cross_entropy)
    state, _ = step(new_state(Normalised()), (x, y))
    state, _ = step(state, (x + 1, y))
    stats = state.collections["batch_stats"]["BatchNorm_0"]
    mean = np.asarray(x).mean(0)
    assert_near(stats["mean"], 0.9 * 0.1 * mean + 0.1 * (mean + 1), 1e-5)
    variance = np.asarray(x).var(0)
    assert_near(stats["var"], 0.81 + 0.9 * 0.1 * variance + 0.1 * variance, 1e-5)
    # Training normalises by the batch: one gradient step from the other statistics shows it.
    x_moved = x + 100.0
    _, moved = train.make_step(losses.cross_entropy, donate=False)(state, (x_moved, y))
    _, unmoved = train.make_step(losses.cross_entropy, donate=False)(state, (x, y))
    np.testing.assert_allclose(moved["loss"], unmoved["loss"], rtol=1e-3)
    assert not np.allclose(
        state.apply_fn(state.variables, x_moved), state.apply_fn(state.variables, x)
    )


def test_each_part_updates_the_statistics_in_turn():
    x, y = batch()
    step = train.make_step(losses.cross_entropy, accumulate_steps=2)
    state, _ = step(new_state(Normalised()), (x, y))
    first, second = np.asarray(x[:6]).mean(0), np.asarray(x[6:]).mean(0)
    stats = state.collections["batch_stats"]["BatchNorm_0"]
    assert_near(stats["mean"], 0.9 * 0.1 * first + 0.1 * second, 1e-5)


class Masking(nn.Module):
    """Gives the mask that dropout drew, as a number."""

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, ())
        ones = jnp.ones((x.shape[0], 8)) * scale
        return nn.Dropout(0.5, deterministic=not self.has_rng("dropout"))(ones)


def pattern(outputs, _):
    return jnp.sum(jnp.where(outputs > 0, 2.0 ** jnp.arange(8.0)[None, :], 0.0), axis=-1)


def masks(parts=1, count=4, **options):
    step = train.make_step(
        lambda outputs, _: 0.0 * outputs[:, 0],
        metrics={"pattern": pattern, "first": lambda o, y: pattern(o, y) * jnp.arange(12 // parts)},
        accumulate_steps=parts,
        **options,
    )
    state, seen = new_state(Masking()), []
    for _ in range(count):
        state, metrics = step(state, batch())
        seen.append((float(metrics["pattern"]), float(metrics["first"])))
    return seen


def test_dropout_draws_anew_at_each_step_and_the_same_in_each_run():
    seen = masks()
    assert len(set(seen)) == len(seen)
    assert masks() == seen


def test_dropout_is_a_function_of_the_key_and_the_step():
    """So a state put back to an earlier step draws what it drew then."""
    state = new_state(Masking())
    for number, (got, _) in enumerate(masks(count=3)):
        key = jax.random.split(jax.random.fold_in(state.key, number), 1)[0]
        outputs = Masking().apply(state.variables, batch()[0], rngs={"dropout": key})
        assert got == float(jnp.mean(pattern(outputs, None)))


def test_without_streams_dropout_is_off():
    assert all(value == 255.0 for value, _ in masks(rngs=()))


def test_each_part_of_a_batch_draws_its_own_mask():
    """Twelve parts of one example: the mean pattern would be one mask's otherwise, a whole."""
    values = [value * 12 for value, _ in masks(parts=12, count=2)]
    assert any(value % 12 for value in values)


def test_average_equals_the_closed_form():
    """ema_n = d^n p_0 + (1 - d) sum_k d^(n-k) p_k."""
    decay, state = 0.8, new_state(ema_decay=0.8)
    seen = [bits(state.params)]
    for start in range(0, 60, 12):
        state, _ = step_of()(state, batch(start))
        seen.append(bits(state.params))
    n = len(seen) - 1
    weights = [decay**n] + [(1 - decay) * decay ** (n - k) for k in range(1, n + 1)]
    want = jax.tree.map(
        lambda *leaves: sum(w * v for w, v in zip(weights, leaves, strict=True)), *seen
    )
    assert_near(state.ema, want, 1e-6)
    assert not np.allclose(state.ema["Dense_0"]["kernel"], state.params["Dense_0"]["kernel"])


def test_policy_computes_in_bfloat16_and_keeps_float32(key):
    seen = {}

    class Spying(nn.Module):
        @nn.compact
        def __call__(self, x):
            x, tokens = x
            h = nn.Dense(8)(x) + nn.Embed(4, 8)(tokens)
            seen["x"], seen["tokens"], seen["hidden"] = x.dtype, tokens.dtype, h.dtype
            return nn.Dense(3)(h)

    def loss(outputs, y):
        seen["outputs"] = outputs.dtype
        return losses.cross_entropy(outputs, y)

    x, y = batch()
    inputs = (x, y % 4)
    plain = train.make_step(loss)
    model, tx = Spying(), optax.sgd(0.1)
    first, wide = plain(train.create_state(model, tx, inputs, key=key), (inputs, y))
    low = train.make_step(loss, policy=train.Policy())
    state, narrow = low(train.create_state(model, tx, inputs, key=key), (inputs, y))
    assert seen == {
        "x": jnp.bfloat16,
        "tokens": jnp.int32,
        "hidden": jnp.bfloat16,
        "outputs": jnp.float32,
    }
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}
    assert narrow["loss"] != wide["loss"], "the policy changed nothing"
    np.testing.assert_allclose(narrow["loss"], wide["loss"], rtol=2e-2)
    # The update is bfloat16's to two digits, but applied to unrounded parameters.
    assert_near(state.params, first.params, 5e-3)
    assert any(
        (leaf != leaf.astype(jnp.bfloat16).astype(jnp.float32)).any()
        for leaf in jax.tree.leaves(state.params)
    )


def test_the_state_passed_in_is_dead_and_the_users_key_alive(key):
    state = train.create_state(NET, ADAM, batch()[0], key=key, ema_decay=0.9)
    new, _ = step_of()(state, batch())
    leaves = jax.tree.leaves((state.params, state.opt_state, state.ema))
    assert all(leaf.is_deleted() for leaf in leaves)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(new))
    jax.random.normal(key)
    kept = new_state()
    step_of(donate=False)(kept, batch())
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(kept))


def test_typed_and_legacy_keys_agree():
    x = examples()[0]
    results = []
    for key in (jax.random.key(5), jax.random.PRNGKey(5)):
        state = train.create_state(DROPPING, ADAM, x[:2], key=key)
        for start in (0, 12):
            state, metrics = step_of()(state, batch(start))
        results.append((state.params, metrics))
    assert_same_bits(*results)


def test_one_trace_for_many_steps():
    traces = []

    def loss(outputs, y):
        traces.append(1)
        return losses.cross_entropy(outputs, y)

    step, state = train.make_step(loss), new_state()
    for start in (0, 12, 24):
        state, _ = step(state, batch(start))
    assert len(traces) == 1


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"make_step: `metrics` is .* names other than 'loss'"):
        train.make_step(losses.cross_entropy, metrics={"loss": losses.accuracy})
    for parts in (0, -1, 2.5):
        with pytest.raises(ValueError, match=r"make_step: `accumulate_steps` is .* whole number"):
            train.make_step(losses.cross_entropy, accumulate_steps=parts)
    step = train.make_step(losses.cross_entropy, accumulate_steps=5)
    with pytest.raises(ValueError, match=r"`batch` is .*\(12, 4\).* accumulate_steps=5 parts"):
        step(new_state(), batch())


def test_line_searches_get_the_loss(key):
    """L-BFGS in the same step: a least-squares problem is solved to rounding in a few updates."""
    x = jax.random.normal(key, (50, 4))
    y = x @ jnp.arange(1.0, 5.0)[:, None] + 2.0
    state = train.create_state(nn.Dense(1), optax.lbfgs(), x, key=key)
    step = train.make_step(lambda outputs, targets: jnp.sum((outputs - targets) ** 2, axis=-1))
    for _ in range(12):
        state, metrics = step(state, (x, y))
    np.testing.assert_allclose(state.params["kernel"][:, 0], jnp.arange(1.0, 5.0), atol=1e-4)
    assert metrics["loss"] < 1e-8


def test_a_step_of_given_gradients_is_that_of_back_propagation():
    def gradients(params, batch, key):
        def objective(params):
            x, y = batch
            return jnp.mean(losses.cross_entropy(NET.apply({"params": params}, x), y))

        loss, grads = jax.value_and_grad(objective)(params)
        return grads, {"loss": loss}

    whole, metrics = step_of()(new_state(), batch())
    state, found = train.make_gradient_step(gradients)(new_state(), batch())
    assert_near(state.params, whole.params)
    assert_near(found["loss"], metrics["loss"])
    assert state.step == 1


def test_gradients_of_another_form_are_named():
    step = train.make_gradient_step(lambda params, batch, key: ([], {}))
    with pytest.raises(ValueError, match=r"make_gradient_step: `gradients` .* needs the form"):
        step(new_state(), batch())


@pytest.mark.parametrize("parts", [1, 3])
def test_sharpness_aware_steps_are_their_two_gradients(parts):
    """Up by rho along the gradient's direction, and from the old place down the slope there."""
    rate, rho, (x, y) = 0.1, 0.05, batch()
    climb = optax.chain(optax.contrib.normalize(), optax.sgd(rho))
    tx = optax.contrib.sam(optax.sgd(rate), climb, sync_period=2, opaque_mode=True)
    start = new_state(tx=tx)
    params = bits(start.params)
    step = train.make_step(losses.cross_entropy, accumulate_steps=parts)
    state, _ = step(start, (x, y))

    @jax.jit
    def gradient(params):
        def loss(params):
            return jnp.mean(losses.cross_entropy(NET.apply({"params": params}, x), y))

        return jax.grad(loss)(params)

    first = gradient(params)
    length = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(first)))
    second = gradient(jax.tree.map(lambda p, g: p + rho * g / length, params, first))
    assert_near(state.params, jax.tree.map(lambda p, g: p - rate * g, params, second))
    plain = jax.tree.map(lambda p, g: p - rate * g, params, first)
    gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), state.params, plain)
    assert max(jax.tree.leaves(gaps)) > 1e-4


def test_a_schedule_free_optimiser_has_its_own_place_to_evaluate():
    """The average is where it says: evaluated there, the state gives that network's outputs."""
    tx = optax.contrib.schedule_free_sgd(0.5)
    state = new_state(tx=tx)
    for start in (0, 12, 24):
        state, _ = step_of()(state, batch(start))
    averaged = optax.contrib.schedule_free_eval_params(state.opt_state, state.params)
    x, y = batch()
    metrics = {"loss": losses.cross_entropy}
    got = train.evaluate(state.replace(params=averaged), (x, y), metrics)["loss"]
    want = jnp.mean(losses.cross_entropy(NET.apply({"params": averaged}, x), y))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert abs(train.evaluate(state, (x, y), metrics)["loss"] - got) > 1e-4
