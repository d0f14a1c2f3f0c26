import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from jaxnn.models._vision import VisionTransformer, VisionTransformerConfig, _patches, _shift

TINY = {"outputs": 3, "features": 8, "depth": 1, "num_heads": 2}
IMAGES = jnp.asarray(np.random.default_rng(0).random((2, 4, 6)), jnp.float32)


@functools.cache
def tiny(**options):
    model = VisionTransformer(**TINY, **options)
    variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
    keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(variables))))
    move = lambda v: v + 0.3 * jax.random.normal(next(keys), v.shape)  # noqa: E731
    return model, jax.tree.map(move, variables), jax.jit(model.apply)


def test_patches_are_the_squares_of_the_image():
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    got = _patches(x, 2)
    assert got.shape == (2, 2, 3, 12)
    for r in range(2):
        for c in range(3):
            want = np.asarray(x)[:, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2].reshape(2, 12)
            np.testing.assert_array_equal(got[:, r, c], want)


def test_shift_moves_each_image_whole_and_fills_with_zeros(key):
    image = jnp.zeros((4, 4, 1)).at[1, 2, 0].set(5.0)
    moved = np.asarray(_shift(jnp.tile(image, (200, 1, 1, 1)), key, 1))
    at = np.argwhere(moved[..., 0] == 5)
    assert len(at) == 200
    assert moved.sum() == 1000
    # Nine places, each expected 22 times out of 200.
    places, counts = np.unique(at[:, 1:] - [1, 2], axis=0, return_counts=True)
    np.testing.assert_array_equal(places, [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1)])
    assert counts.min() >= 5


def test_shift_and_dropout_act_exactly_when_given_a_key(key):
    _, variables, apply = tiny()
    plain = apply(variables, IMAGES)
    for options in ({"shift": 1}, {"shift": 0, "dropout_rate": 0.5}):
        apply = jax.jit(VisionTransformer(**TINY, **options).apply, static_argnames="deterministic")
        np.testing.assert_allclose(apply(variables, IMAGES), plain, atol=1e-6)
        assert not np.allclose(apply(variables, IMAGES, rngs={"dropout": key}), plain)
        forced = apply(variables, IMAGES, deterministic=True, rngs={"dropout": key})
        np.testing.assert_allclose(forced, plain, atol=1e-6)
    still = VisionTransformer(**TINY, shift=0)
    got = jax.jit(still.apply)(variables, IMAGES, rngs={"dropout": key})
    np.testing.assert_allclose(got, plain, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kind", ["learned", "sincos2d"])
def test_the_order_of_the_patches_matters(kind, pooling):
    model, variables, apply = tiny(position=kind, pooling=pooling)
    assert ("position" in variables["params"]) == (kind == "learned")
    assert ("cls" in variables["params"]) == (pooling == "cls")
    flipped = IMAGES.reshape(2, 2, 2, 6)[:, ::-1].reshape(2, 4, 6)  # rows of patches swapped
    assert not np.allclose(apply(variables, IMAGES), apply(variables, flipped), atol=1e-3)
    _, sown = jax.jit(model.apply, static_argnames="mutable")(
        variables, IMAGES, mutable=("intermediates",)
    )
    tokens = 6 + (pooling == "cls")
    weights = sown["intermediates"]["blocks_0"]["attention"]["attention_weights"][0]
    assert weights.shape == (2, 2, tokens, tokens)
    assert sown["intermediates"]["features"][0].shape == (2, 8)


def test_without_positions_the_mean_does_not_see_the_order():
    _, variables, apply = tiny()
    params = dict(variables["params"])
    params["position"] = jax.tree.map(jnp.zeros_like, params["position"])
    flipped = IMAGES.reshape(2, 2, 2, 6)[:, ::-1].reshape(2, 4, 6)
    both = [apply({"params": params}, x) for x in (IMAGES, flipped)]
    np.testing.assert_allclose(*both, atol=1e-5)


def test_fixed_positions_let_one_set_of_parameters_see_two_sizes():
    _, variables, apply = tiny(position="sincos2d")
    assert apply(variables, IMAGES).shape == (2, 3)
    assert apply(variables, jnp.ones((1, 8, 8))).shape == (1, 3)


def test_one_channel_may_be_left_out(key):
    _, variables, apply = tiny()
    np.testing.assert_allclose(
        apply(variables, IMAGES), apply(variables, IMAGES[..., None]), atol=1e-6
    )
    colour = jax.jit(VisionTransformer(**TINY).init)(key, jnp.ones((1, 4, 4, 3)))
    assert colour["params"]["patches"]["kernel"].shape == (12, 8)


def test_a_zero_head_starts_with_equal_classes(key):
    model = VisionTransformer(**TINY, zero_head=True)
    got, _ = jax.jit(model.init_with_output)(key, IMAGES)
    np.testing.assert_array_equal(got, 0)


def test_every_config_builds_and_steps_once(key):
    small = {"width": 8, "depth": 1, "num_heads": 2, "hidden": 8}
    for config in (
        VisionTransformerConfig(**small),
        VisionTransformerConfig(**small, attention="sigmoid", position="sincos2d", pooling="cls"),
    ):
        model = config.build((4, 6), 3)
        params = jax.jit(model.init)(key, IMAGES)["params"]

        def loss(params, model=model):
            return jnp.mean(model.apply({"params": params}, IMAGES, rngs={"dropout": key}) ** 2)

        gradients = jax.jit(jax.grad(loss))(params)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_config_builds_what_it_says():
    model = VisionTransformerConfig(
        width=16, depth=3, num_heads=4, hidden=20, patch_size=4, attention="sigmoid",
        position="sincos2d", pooling="cls", dropout=0.2, shift=2,
    ).build((8, 8, 3), 5)  # fmt: skip
    assert (model.outputs, model.features, model.depth, model.num_heads) == (5, 16, 3, 4)
    assert (model.hidden_features, model.patch_size, model.shift) == (20, 4, 2)
    assert (model.position, model.pooling, model.dropout_rate) == ("sincos2d", "cls", 0.2)
    assert model.attention is attention.sigmoid_attention


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(key):
    with pytest.raises(ValueError, match=r"VisionTransformer: `x` .*patch size 2 divides"):
        VisionTransformer(**TINY).init(key, jnp.ones((2, 5, 4)))
    with pytest.raises(ValueError, match=r"VisionTransformer: `x` .*needs images"):
        VisionTransformer(**TINY).init(key, jnp.ones((2, 8)))
    with pytest.raises(ValueError, match=r"VisionTransformerConfig: `input_shape` is \(8,\)"):
        VisionTransformerConfig().build((8,), 10)
    with pytest.raises(ValueError, match=r"VisionTransformerConfig: `input_shape` is \(9, 8\)"):
        VisionTransformerConfig().build((9, 8), 10)
    with pytest.raises(ValueError, match="VisionTransformerConfig: `shift` is -1"):
        VisionTransformerConfig(shift=-1).build((8, 8), 10)
