import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.train import optimizers

PEAK, STEPS, WARMUP, FINAL, DECAY, CLIP, B1, B2 = 0.1, 20, 0.25, 0.1, 0.3, 1.5, 0.8, 0.95


def rate(step):
    """Linear from zero over 5 of 20 steps, then half a cosine down to a tenth."""
    if step < 5:
        return PEAK * step / 5
    return PEAK * (FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * (step - 5) / 15)))


def numpy_loop(params, gradients, clip):
    """AdamW written out in float64, with clipping by the norm of all gradients together."""
    params = {k: v.astype(np.float64) for k, v in params.items()}
    m = {k: np.zeros_like(v) for k, v in params.items()}
    v = {k: np.zeros_like(v) for k, v in params.items()}
    for t, grads in enumerate(gradients, 1):
        grads = {k: g.astype(np.float64) for k, g in grads.items()}
        norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
        if clip is not None and norm > clip:
            grads = {k: g * clip / norm for k, g in grads.items()}
        for k, g in grads.items():
            m[k] = B1 * m[k] + (1 - B1) * g
            v[k] = B2 * v[k] + (1 - B2) * g**2
            direction = (m[k] / (1 - B1**t)) / (np.sqrt(v[k] / (1 - B2**t)) + 1e-8)
            if params[k].ndim > 1:
                direction = direction + DECAY * params[k]
            params[k] = params[k] - rate(t - 1) * direction
    return params


def problem():
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 4), "bias": (4,), "scale": ()}
    draw = lambda: {k: np.float32(rng.normal(size=s)) for k, s in shapes.items()}  # noqa: E731
    # Norms from about 0.4 to 8: some are clipped, some are not.
    return draw(), [jax.tree.map(lambda g, n=n: g * 0.1 * n, draw()) for n in range(1, STEPS + 3)]


def updater(tx):
    @jax.jit
    def update(params, opt_state, grads):
        changes, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, changes), opt_state

    return update


@pytest.mark.parametrize("clip", [CLIP, None])
def test_equals_a_numpy_loop(clip):
    """Two steps past the end of the schedule too, where the rate stays at its last value."""
    params, gradients = problem()
    tx = optimizers.warmup_cosine_adamw(
        PEAK,
        steps=STEPS,
        warmup=WARMUP,
        final=FINAL,
        weight_decay=DECAY,
        clip_norm=clip,
        b1=B1,
        b2=B2,
    )

    update = updater(tx)
    got = jax.tree.map(jnp.asarray, params)
    opt_state = tx.init(got)
    for grads in gradients[:STEPS]:
        got, opt_state = update(got, opt_state, grads)
    want = numpy_loop(params, gradients[:STEPS], clip)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), got, want)
    norms = [math.sqrt(sum((g**2).sum() for g in grads.values())) for grads in gradients]
    assert min(norms) < CLIP < max(norms), "clipping was not put to the test"
    other = numpy_loop(params, gradients[:STEPS], None if clip else CLIP)
    assert not np.allclose(got["kernel"], other["kernel"], atol=1e-3)


def moved(tx, params, grads):
    return updater(tx)(params, tx.init(params), grads)[0]


def test_only_kernels_decay():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2), "scale": jnp.ones(())}
    tx = optimizers.warmup_cosine_adamw(0.5, steps=10, warmup=0, final=1, weight_decay=0.2)
    new = moved(tx, params, jax.tree.map(jnp.zeros_like, params))
    np.testing.assert_allclose(new["kernel"], 1 - 0.5 * 0.2, rtol=1e-6)
    assert new["bias"].tolist() == [1, 1]
    assert new["scale"] == 1


def test_the_rate_of_each_update():
    """With constant gradients Adam's direction is one, so that the changes are the rates."""
    tx = optimizers.warmup_cosine_adamw(
        PEAK, steps=STEPS, warmup=WARMUP, final=FINAL, weight_decay=0, clip_norm=None
    )
    nothing, update = {"bias": jnp.zeros(1)}, updater(tx)
    opt_state = tx.init(nothing)
    for step in range(STEPS + 3):
        change, opt_state = update(nothing, opt_state, {"bias": jnp.ones(1)})
        want = rate(min(step, STEPS))
        np.testing.assert_allclose(change["bias"], -want, rtol=1e-4, atol=1e-9)
    assert want == pytest.approx(PEAK * FINAL)


def test_no_warmup_starts_at_the_peak():
    tx = optimizers.warmup_cosine_adamw(0.5, steps=10, warmup=0, weight_decay=0)
    new = moved(tx, {"bias": jnp.zeros(1)}, {"bias": jnp.ones(1)})
    np.testing.assert_allclose(new["bias"], -0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0; it needs a finite number above zero"),
        ({"learning_rate": math.nan}, "`learning_rate` is nan"),
        ({"steps": 0}, "`steps` is 0; it needs a whole number above zero"),
        ({"warmup": 1.0}, r"`warmup` is 1.0; it needs a share in \[0, 1\)"),
        ({"final": -0.1}, r"`final` is -0.1; it needs a share in \[0, 1\]"),
        ({"weight_decay": -1.0}, "`weight_decay` is -1.0; it needs a number >= 0"),
        ({"clip_norm": 0.0}, "`clip_norm` is 0.0; it needs a finite number above zero"),
        ({"b1": 1.0}, r"`b1` is 1.0; it needs a number in \[0, 1\)"),
        ({"b2": -0.1}, r"`b2` is -0.1; it needs a number in \[0, 1\)"),
    ],
)
def test_bad_options_are_named(options, match):
    options = {"learning_rate": 0.1, "steps": 10} | options
    with pytest.raises(ValueError, match=f"warmup_cosine_adamw: {match}"):
        optimizers.warmup_cosine_adamw(options.pop("learning_rate"), **options)
