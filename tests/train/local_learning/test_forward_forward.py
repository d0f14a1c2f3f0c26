"""Forward-forward against gradients written by hand, layer by layer, and black boxes in layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn import train
from jaxnn.train import local_learning
from jaxnn.train.local_learning import ForwardForward

CLASSES, UNITS, BATCH = 3, (5, 4), 6


def dense(units):
    return nn.Sequential([nn.Dense(units, use_bias=False), nn.relu])


def setting():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.uniform(size=(BATCH, 2, 2)), jnp.float32)
    y = jnp.asarray(random.integers(0, CLASSES, BATCH))
    network = ForwardForward([dense(n) for n in UNITS], CLASSES)
    params = jax.jit(network.init)(jax.random.key(0), x)["params"]
    return network, params, x, y


def by_hand(params, x, y, wrong, *, collaborative, threshold):
    """Give the gradients of both kernels from the paper's formulas, in float64."""
    kernels = [np.asarray(params[f"layers_{i}"]["layers_0"]["kernel"], float) for i in (0, 1)]
    gradients = [np.zeros_like(w) for w in kernels]
    for labels, sign in ((y, -1), (wrong, 1)):
        for image, label in zip(np.asarray(x, float), np.asarray(labels), strict=True):
            h = np.concatenate([np.eye(CLASSES)[label] * image.max(), image.ravel()])
            inputs, outputs = [], []
            for w in kernels:
                inputs.append(h)
                outputs.append(np.maximum(h @ w, 0))
                h = outputs[-1] * np.sqrt(len(outputs[-1])) / np.linalg.norm(outputs[-1])
            total = [(out**2).sum() for out in outputs]
            for i, out in enumerate(outputs):
                limit = threshold * (sum(UNITS) if collaborative else UNITS[i])
                good = sum(total) if collaborative else total[i]
                slope = sign / (1 + np.exp(-sign * (good - limit)))
                gradients[i] += slope * np.outer(inputs[i], 2 * out) / BATCH
    return gradients


@pytest.mark.parametrize("collaborative", [False, True])
def test_gradients_are_those_of_the_paper(collaborative):
    network, params, x, y = setting()
    loss = functools.partial(
        local_learning.goodness_loss, threshold=0.7, collaborative=collaborative
    )
    key = jax.random.key(1)
    gradients = jax.jit(local_learning.forward_forward(network, loss=loss))
    found, metrics = gradients(params, (x, y), key)
    wrong = local_learning.draw_wrong_labels(key, y, CLASSES)
    expected = by_hand(params, x, y, wrong, collaborative=collaborative, threshold=0.7)
    for i, wanted in enumerate(expected):
        kernel = found[f"layers_{i}"]["layers_0"]["kernel"]
        np.testing.assert_allclose(kernel, wanted, rtol=1e-4, atol=1e-5)
    assert 0 <= float(metrics["separation"]) <= 1


def test_no_derivative_leaves_a_layer():
    network, params, x, y = setting()

    @functools.partial(jax.jit, static_argnames="collaborative")
    def losses(params, *, collaborative):
        right, wrong = (
            network.apply({"params": params}, x, labels, method="activities")
            for labels in (y, (y + 1) % CLASSES)
        )
        loss = local_learning.goodness_loss(right, wrong, collaborative=collaborative)
        return jnp.sum(loss, axis=0)

    for collaborative in (False, True):
        slopes = jax.jit(jax.jacrev(functools.partial(losses, collaborative=collaborative)))(params)
        for own, other in ((0, 1), (1, 0)):
            kernel = slopes[f"layers_{own}"]["layers_0"]["kernel"]
            assert float(jnp.abs(kernel[other]).max()) == 0
            assert float(jnp.abs(kernel[own]).max()) > 0.1
    # All layers together give the collaborative verdict: the values agree, the gradients do not.
    together = losses(params, collaborative=True)
    np.testing.assert_allclose(together[0], together[1], rtol=1e-6)


def test_every_label_is_tried():
    network, params, x, _ = setting()
    scores = network.apply({"params": params}, x)
    everything = network.clone(skip=0).apply({"params": params}, x)
    for label in range(CLASSES):
        labels = jnp.full(BATCH, label)
        activities = network.apply({"params": params}, x, labels, method="activities")
        first, second = (jnp.sum(y**2, axis=-1) for y in activities)
        np.testing.assert_allclose(scores[:, label], second, rtol=1e-5)
        np.testing.assert_allclose(everything[:, label], first + second, rtol=1e-5)
    # What the second layer sees has no length: a longer first layer's output changes nothing.
    longer = dict(params, layers_0=jax.tree.map(lambda w: 3 * w, params["layers_0"]))
    np.testing.assert_allclose(network.apply({"params": longer}, x), scores, rtol=1e-5)


def test_wrong_labels_are_wrong_and_as_likely_as_asked():
    labels = jnp.arange(3000) % CLASSES
    draw = functools.partial(local_learning.draw_wrong_labels, jax.random.key(0), labels, CLASSES)
    even = draw()
    assert not bool(jnp.any(even == labels))
    assert set(np.unique(even)) == set(range(CLASSES))
    shift = (even - labels) % CLASSES
    assert abs(float(jnp.mean(shift == 1)) - 0.5) < 0.05  # five standard deviations
    hard = draw(logits=jnp.broadcast_to(jnp.log(jnp.array([[6.0, 3.0, 1.0]])), (3000, 3)))
    assert not bool(jnp.any(hard == labels))
    assert abs(float(jnp.mean(hard[labels == 2] == 0)) - 2 / 3) < 0.08
    assert abs(float(jnp.mean(hard[labels == 0] == 1)) - 3 / 4) < 0.08


def black_box(h):
    """Stand for a device: NumPy computes it, and JAX cannot differentiate it."""

    def measure(h):
        return np.sin(1.5 * np.asarray(h)[:, ::-1]).astype(np.float32)

    return jax.pure_callback(measure, jax.ShapeDtypeStruct(h.shape, jnp.float32), h)


@pytest.mark.parametrize("loss", [local_learning.goodness_loss, local_learning.cosine_loss])
def test_learns_around_black_boxes(loss):
    random = np.random.default_rng(0)
    y = jnp.asarray(np.arange(60) % CLASSES)
    x = jnp.asarray(np.eye(CLASSES)[y] + 0.2 * random.normal(size=(60, CLASSES)), jnp.float32)
    layers = [nn.Sequential([black_box, nn.Dense(16)]) for _ in range(2)]
    network = ForwardForward(layers, CLASSES)
    gradients = local_learning.forward_forward(network, loss=loss, hardness=1.0)
    step = train.make_gradient_step(gradients)
    state = train.create_state(network, optax.adam(0.02), x, key=jax.random.key(0))
    program = str(jax.make_jaxpr(gradients)(state.params, (x, y), state.key))
    # Two layers, for right labels, wrong ones and once for all: none for the backward pass.
    assert program.count("pure_callback[") == 6
    state, history = train.fit(state, step, (x, y), steps=150, batch_size=30, record_every=50)
    assert history[-1]["loss"] < history[0]["loss"]
    if loss is local_learning.goodness_loss:
        right = network.apply(state.variables, x).argmax(-1) == y
        assert float(jnp.mean(right)) > 0.9
    with pytest.raises(ValueError, match="Pure callbacks do not support JVP"):
        jax.grad(lambda h: black_box(h).sum())(x)


def test_cosine_loss_of_known_angles():
    right = [jnp.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])]
    wrong = [jnp.array([[3.0, 0.0], [-2.0, 0.0], [1.0, np.sqrt(3)], [1.0, 1.0]])]
    expected = np.logaddexp(0, 2 * np.array([1, -1, 0.5, 0]))[:, None]
    loss = functools.partial(local_learning.cosine_loss, sharpness=2.0)
    np.testing.assert_allclose(loss(right, wrong), expected, rtol=1e-6)
    slopes = jax.grad(lambda a: jnp.sum(loss([a], wrong)))(right[0])
    assert bool(jnp.all(jnp.isfinite(slopes)))


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument():
    network, params, x, y = setting()
    with pytest.raises(ValueError, match=r"ForwardForward: `skip` is 2; it needs .*fewer"):
        network.clone(skip=2).apply({"params": params}, x)
    with pytest.raises(ValueError, match=r"forward_forward: `hardness` is -1; it needs"):
        local_learning.forward_forward(network, hardness=-1)
    with pytest.raises(TypeError, match=r"draw_wrong_labels: `labels` has dtype float32"):
        local_learning.draw_wrong_labels(jax.random.key(0), x, 3)
    with pytest.raises(ValueError, match=r"draw_wrong_labels: `num_classes` is 1; .* two or more"):
        local_learning.draw_wrong_labels(jax.random.key(0), y, 1)
    with pytest.raises(ValueError, match=r"draw_wrong_labels: `logits` .* shape \(6, 3\)"):
        local_learning.draw_wrong_labels(jax.random.key(0), y, 3, logits=jnp.ones((6, 2)))
    with pytest.raises(ValueError, match=r"embed_label: `x` .* first axes \(6,\)"):
        local_learning.embed_label(x[:5], y, 3)
    with pytest.raises(ValueError, match=r"goodness_loss: `negative` is \[\]; it needs"):
        local_learning.goodness_loss([x], [])
    with pytest.raises(ValueError, match=r"cosine_loss: `sharpness` is 0; it needs"):
        local_learning.cosine_loss([x], [x], sharpness=0)
