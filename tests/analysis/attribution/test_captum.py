"""Parity with captum on copied weights; skipped without it.

Random methods are given the same draws: orders, coalitions and copies are those of our keys.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import activations, attribution
from jaxnn.analysis.attribution._kernel_shap import coalition
from tests.analysis.attribution import convolutional as cnn

captum = pytest.importorskip("captum.attr")
torch = pytest.importorskip("torch")

PARAMS, IMAGE = cnn.weights(), cnn.image()
OTHER = cnn.image(2)
MASK = (np.arange(8)[:, None] // 4 * 2 + np.arange(8)[None, :] // 4).astype(np.int64)
X, BASELINE = jnp.asarray(IMAGE), jnp.asarray(OTHER)
TENSOR, OTHER_TENSOR = cnn.to_torch(IMAGE), cnn.to_torch(OTHER)
MASK_TENSOR = torch.tensor(MASK)[None, None]
SCORE = cnn.score(PARAMS)
OPTIONS = {"target": 1, "baselines": OTHER_TENSOR}


def close(ours, theirs, atol=1e-5):
    """Compare an image or the value of a layer, channels first in torch."""
    theirs = theirs.detach().numpy()[0]
    theirs = np.moveaxis(theirs, 0, -1) if theirs.ndim == 3 else theirs
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), atol=atol)
    assert np.abs(theirs).max() > 100 * atol


@functools.cache
def network():
    return cnn.torch_network(PARAMS)


def halves(name):
    """Cut our network for one image, and name captum's layer."""
    variables = {"params": jax.tree.map(jnp.asarray, PARAMS)}
    before, after = activations.cut(cnn.Network(), variables, name)
    layers = [m for m in network().modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    return (
        jax.jit(lambda x: before(x[None])[0]),
        jax.jit(lambda h, x: after(h[None], x[None])[0, 1]),
        layers[list(cnn.SHAPES).index(name)],
    )


def drawing(rows):
    """Make the generator that gives captum our draws; it tells generators by their code."""

    def generate(*_, **__):
        yield from torch.tensor(rows)[:, None]

    return generate


def test_saliency_and_input_x_gradient():
    close(
        attribution.gradient(SCORE, X), captum.Saliency(network()).attribute(TENSOR, 1, abs=False)
    )
    magnitudes = captum.Saliency(network()).attribute(TENSOR, 1)
    close(jnp.abs(attribution.gradient(SCORE, X)), magnitudes)
    close(
        attribution.input_x_gradient(SCORE, X),
        captum.InputXGradient(network()).attribute(TENSOR, 1),
    )


@pytest.mark.parametrize(
    ("statistic", "theirs"),
    [("mean", "smoothgrad"), ("square", "smoothgrad_sq"), ("variance", "vargrad")],
)
def test_noise_tunnel(key, monkeypatch, statistic, theirs):
    method = attribution.smooth(attribution.gradient, statistic=statistic)
    got = method(SCORE, X, key=key, stdev=0.3, samples=7)
    noise = [jax.random.normal(k, X.shape) for k in jax.random.split(key, 7)]
    drawn = torch.cat([cnn.to_torch(0.3 * np.asarray(n)) for n in noise])
    monkeypatch.setattr(torch, "normal", lambda *_: drawn)
    tunnel = captum.NoiseTunnel(captum.Saliency(network()))
    want = tunnel.attribute(TENSOR, nt_type=theirs, nt_samples=7, stdevs=0.3, target=1, abs=False)
    close(got, want)


def test_gradient_shap(key, monkeypatch):
    baselines = np.stack([cnn.image(seed) for seed in (2, 3, 4)])
    got = attribution.gradient_shap(SCORE, X, jnp.asarray(baselines), key=key, samples=6)
    row_key, point_key = jax.random.split(key)
    rows = np.asarray(jax.random.randint(row_key, (6,), 0, 3))
    points = np.asarray(jax.random.uniform(point_key, (6,)))
    assert len(set(rows.tolist())) > 1
    monkeypatch.setattr(np.random, "choice", lambda *_: rows)
    monkeypatch.setattr(np.random, "uniform", lambda *_: points)
    tensors = torch.cat([cnn.to_torch(image) for image in baselines])
    want = captum.GradientShap(network()).attribute(TENSOR, tensors, n_samples=6, target=1)
    close(got, want)


@pytest.mark.parametrize("mask", [None, MASK])
def test_feature_ablation(mask):
    got = attribution.feature_ablation(
        SCORE, X, baseline=BASELINE, feature_mask=mask, batch_size=64
    )
    tensor = None if mask is None else MASK_TENSOR
    close(got, captum.FeatureAblation(network()).attribute(TENSOR, feature_mask=tensor, **OPTIONS))


def test_occlusion():
    got = attribution.occlusion(SCORE, X, window=(3, 2, 1), stride=(2, 1, 1), batch_size=64)
    method = captum.Occlusion(network())
    close(got, method.attribute(TENSOR, (1, 3, 2), strides=(1, 2, 1), target=1))


def test_feature_permutation(key):
    """The orders drawn are ours."""
    x = np.stack([cnn.image(seed) for seed in range(5)])
    f = jax.vmap(SCORE)
    got = attribution.feature_permutation(f, jnp.asarray(x), key=key, feature_mask=MASK)
    orders = iter([jax.random.permutation(k, 5) for k in jax.random.split(key, 4)])

    def shuffle(x, mask):
        return torch.where(mask, x[np.asarray(next(orders))], x)

    method = captum.FeaturePermutation(network(), perm_func=shuffle)
    tensor = torch.tensor(np.moveaxis(x, -1, 1))
    want = method.attribute(tensor, target=1, feature_mask=MASK_TENSOR)
    np.testing.assert_allclose(got[..., 0], want.numpy()[:, 0], atol=1e-5)


def test_shapley_values():
    got = attribution.shapley_values(SCORE, X, baseline=BASELINE, feature_mask=MASK)
    method = captum.ShapleyValues(network())
    close(got, method.attribute(TENSOR, feature_mask=MASK_TENSOR, **OPTIONS))


def test_shapley_sampling(key):
    got = attribution.shapley_sampling(
        SCORE, X, key=key, samples=6, baseline=BASELINE, feature_mask=MASK
    )
    method = captum.ShapleyValueSampling(network())
    ranks = [np.argsort(jax.random.uniform(k, (4,))) for k in jax.random.split(key, 6)]
    method.permutation_generator = lambda *_: [np.argsort(rank).tolist() for rank in ranks]
    close(got, method.attribute(TENSOR, feature_mask=MASK_TENSOR, n_samples=6, **OPTIONS))


def test_kernel_shap(key):
    """Its weight of a million for the constraint leaves an error of about as many parts."""
    samples = 20
    got = attribution.kernel_shap(
        SCORE, X, key=key, samples=samples, baseline=BASELINE, feature_mask=MASK
    )
    members = jax.vmap(lambda k: coalition(k, 4))(jax.random.split(key, samples))
    rows = np.concatenate([np.ones((1, 4)), np.zeros((1, 4)), members, ~members]).astype(int)
    method = captum.KernelShap(network())
    method.perturb_func = drawing(rows)
    want = method.attribute(TENSOR, feature_mask=MASK_TENSOR, n_samples=len(rows), **OPTIONS)
    close(got, want, atol=1e-4)


def test_lime(key):
    from captum._utils.models.linear_model import SkLearnRidge

    samples = 30
    got = attribution.lime(
        SCORE, X, key=key, samples=samples, penalty=0.1, baseline=BASELINE, feature_mask=MASK
    )
    keys = jax.random.split(key, samples)
    rows = np.stack([jax.random.bernoulli(k, 0.5, (4,)) for k in keys]).astype(int)

    def similarity(x, copy, z, **_):
        return torch.exp(-((1 - torch.sqrt(z.float().mean())) ** 2) / (2 * 0.25**2))

    method = captum.Lime(
        network(),
        interpretable_model=SkLearnRidge(alpha=0.1),
        similarity_func=similarity,
        perturb_func=drawing(rows),
    )
    want = method.attribute(TENSOR, feature_mask=MASK_TENSOR, n_samples=samples, **OPTIONS)
    close(got, want)


def test_layer_grad_cam():
    before, after, layer = halves("Conv_1")
    got = attribution.grad_cam(lambda h: after(h, X), before(X), rectify=False)
    close(got, captum.LayerGradCam(network(), layer).attribute(TENSOR, target=1))


def test_guided_grad_cam():
    before, after, layer = halves("Conv_1")
    cam = attribution.grad_cam(lambda h: after(h, X), before(X))
    guided = attribution.guided_backpropagation(SCORE, X)
    got = attribution.guided_grad_cam(cam, guided, method="nearest")
    want = captum.GuidedGradCam(network(), layer).attribute(TENSOR, target=1)
    np.testing.assert_allclose(got[..., 0], want.detach().numpy()[0, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["Conv_0", "Dense_0"])
def test_layers_through_the_methods_for_inputs(name):
    before, after, layer = halves(name)
    net, on_layer = network(), lambda h: after(h, X)
    close(
        attribution.input_x_gradient(on_layer, before(X)),
        captum.LayerGradientXActivation(net, layer).attribute(TENSOR, target=1),
    )
    close(
        attribution.integrated_gradients(on_layer, before(X), before(BASELINE)),
        captum.LayerIntegratedGradients(net, layer).attribute(TENSOR, **OPTIONS),
    )
    close(
        attribution.internal_influence(before, after, X, BASELINE),
        captum.InternalInfluence(net, layer).attribute(TENSOR, **OPTIONS),
    )
    # Theirs takes differences, of first order in the steps.
    even: Any = {"method": "riemann_trapezoid"}
    close(
        attribution.conductance(before, after, X, BASELINE, steps=10_000, batch_size=500, **even),
        captum.LayerConductance(net, layer).attribute(TENSOR, n_steps=20_000, **even, **OPTIONS),
        atol=2e-5,
    )


@pytest.mark.parametrize(("name", "unit"), [("Conv_0", (2, 1, 2)), ("Dense_0", 3)])
def test_units_through_the_methods_for_inputs(name, unit):
    before, after, layer = halves(name)
    net, one = network(), lambda x: before(x)[unit]
    theirs = unit if isinstance(unit, int) else (unit[2], unit[0], unit[1])
    close(
        attribution.gradient(one, X),
        captum.NeuronGradient(net, layer).attribute(TENSOR, theirs),
    )
    close(
        attribution.integrated_gradients(one, X, BASELINE),
        captum.NeuronIntegratedGradients(net, layer).attribute(
            TENSOR, theirs, baselines=OTHER_TENSOR
        ),
    )
    close(
        attribution.integrated_gradients(attribution.through(before, after, unit), X, BASELINE),
        captum.NeuronConductance(net, layer).attribute(
            TENSOR, theirs, method="gausslegendre", **OPTIONS
        ),
    )
