import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train.parallel import Collective, collectives, expert_parallel, make_mesh

RNG = np.random.default_rng(0)
TOKENS, WIDTH, EXPERTS, CHOICES, WAYS = 24, 3, 8, 2, 4
X = jnp.asarray(RNG.normal(size=(TOKENS, WIDTH)), jnp.float32)
PARAMS = jnp.asarray(RNG.normal(size=(EXPERTS, WIDTH, 2)), jnp.float32)
WEIGHTS = jnp.asarray(RNG.uniform(size=(TOKENS, CHOICES)), jnp.float32)
# Two different experts for each token, the first few liked best.
INDICES = np.stack([RNG.choice(EXPERTS, 2, replace=False, p=np.arange(8, 0, -1) / 36) for _ in X])


def expert(kernel, x):
    return jnp.tanh(x @ kernel)


def keep(capacity):
    """Device by device, first choices first, each queue until it is full."""
    kept, part = np.zeros((TOKENS, CHOICES), np.float32), TOKENS // WAYS
    for device in range(WAYS):
        room = [capacity] * EXPERTS
        for choice in range(CHOICES):
            for token in range(device * part, (device + 1) * part):
                number = INDICES[token, choice]
                kept[token, choice] = room[number] > 0
                room[number] -= 1
    return kept


@pytest.mark.parametrize("capacity", [TOKENS // WAYS, 1])
def test_equals_every_expert_on_every_token(capacity):
    """The output and all derivatives, with nothing dropped and with much."""
    run = expert_parallel(expert, make_mesh({"expert": WAYS}), capacity=capacity)
    cotangent = jnp.asarray(RNG.normal(size=(TOKENS, 2)), jnp.float32)

    def split(*args):
        y, pull = jax.vjp(lambda *a: run(*a, jnp.asarray(INDICES)), *args)
        return y, *pull(cotangent)

    got = jax.jit(split)(PARAMS, X, WEIGHTS)
    kept = keep(capacity)

    def whole(params, x, weights):
        dense = jnp.tanh(jnp.einsum("td,edf->tef", x, params))
        chosen = dense[jnp.arange(TOKENS)[:, None], INDICES]
        return jnp.sum(chosen * (weights * kept)[..., None], axis=1)

    y, pull = jax.vjp(whole, PARAMS, X, WEIGHTS)
    for a, b in zip(got, (y, *pull(cotangent)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert (kept.sum() < kept.size) == (capacity == 1)


def test_two_exchanges_and_nothing_else():
    mesh = make_mesh({"expert": WAYS})
    split = jax.NamedSharding(mesh, jax.P("expert"))
    run = jax.jit(expert_parallel(expert, mesh, capacity=2), in_shardings=(split,) * 4)
    found = collectives(run.lower(PARAMS, X, WEIGHTS, jnp.asarray(INDICES)).compile())
    there, back = (4 * EXPERTS * 2 * width for width in (WIDTH, 2))
    assert found == tuple(Collective("all-to-all", size, WAYS, 1) for size in (there, back))


def route(x, router):
    """Give a router's weights, experts and its loss that asks for an even load."""
    gates = jax.nn.softmax(x @ router)
    weights, indices = jax.lax.top_k(gates, CHOICES)
    share = jnp.mean(jax.nn.one_hot(indices[:, 0], EXPERTS), axis=0)
    balance = EXPERTS * jnp.sum(share * jnp.mean(gates, axis=0))
    return weights / jnp.sum(weights, axis=-1, keepdims=True), indices, {"balance": balance}


def test_a_router_learns_through_the_experts():
    """The loss and its gradients are those of one device, and a step along them lowers it."""
    run = expert_parallel(expert, make_mesh({"expert": WAYS}), capacity=TOKENS // WAYS)
    targets = jnp.asarray(RNG.normal(size=(TOKENS, 2)), jnp.float32)
    router = jnp.asarray(RNG.normal(size=(WIDTH, EXPERTS)), jnp.float32)

    def whole(params, x, weights, indices):
        dense = jnp.tanh(jnp.einsum("td,edf->tef", x, params))
        chosen = jnp.take_along_axis(dense, indices[..., None], axis=1)
        return jnp.sum(chosen * weights[..., None], axis=1)

    def loss(apply, both):
        weights, indices, auxiliary = route(X, both["router"])
        y = apply(both["experts"], X, weights, indices)
        return jnp.mean((y - targets) ** 2) + 0.01 * sum(auxiliary.values())

    both = {"router": router, "experts": PARAMS}
    split, one = (jax.jit(jax.value_and_grad(functools.partial(loss, f))) for f in (run, whole))
    (value, found), (want, wanted) = split(both), one(both)
    assert float(value) == pytest.approx(float(want), abs=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, wanted)
    # Not by the load's loss alone: the experts' outputs teach the router too.
    alone = jax.jit(jax.grad(lambda router: 0.01 * route(X, router)[2]["balance"]))(router)
    assert float(jnp.abs(found["router"] - alone).max()) > 1e-3
    after = jax.tree.map(lambda p, g: p - 0.1 * g, both, found)
    assert float(split(after)[0]) < float(value)


def test_what_does_not_fit_is_named():
    run = expert_parallel(expert, make_mesh("expert=4"), capacity=2)
    indices = jnp.asarray(INDICES)
    with pytest.raises(ValueError, match=r"expert_parallel: `params` .* the 4 devices of 'expert'"):
        run(PARAMS[:6], X, WEIGHTS, indices)
    with pytest.raises(ValueError, match=r"`x` is .* a number of tokens that the 4 devices"):
        run(PARAMS, X[:6], WEIGHTS[:6], indices[:6])
    with pytest.raises(ValueError, match=r"`indices` is .* integers of shape \(24, 2\)"):
        run(PARAMS, X, WEIGHTS, indices[:, :1])
    with pytest.raises(ValueError, match=r"`capacity` is 0"):
        expert_parallel(expert, make_mesh("expert=4"), capacity=0)
