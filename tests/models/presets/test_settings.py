"""What presets say of their models: published sizes, settings, and their own slots."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import position
from jaxnn.layers.attention import dot_product_attention
from jaxnn.models import presets
from tests.models.presets.check import check_table
from tests.models.presets.make_references import FOLDER

PUBLISHED = {
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
    "num_gqa_groups": 4,
    "qkv_multipliers": (0.5, 1.0),
    "ffn_multipliers": (0.5, 4.0),
}


def count(config):
    return sum(math.prod(x) for entry in config.table().entries for x in entry.params.values())


@pytest.mark.parametrize(
    ("depth", "width", "head", "billions"),
    # The paper's table of the four models.
    [(16, 1280, 64, 0.27), (20, 1536, 64, 0.45), (28, 2048, 64, 1.08), (36, 3072, 128, 3.04)],
)
def test_openelm_sizes(depth, width, head, billions):
    config = presets.OpenELM(
        num_transformer_layers=depth, model_dim=width, head_dim=head, **PUBLISHED
    )
    assert abs(count(config) / 1e9 - billions) < 0.01
    if depth == 16:
        check_table(config)
    # Narrow near the input: half as many heads, an eighth of the hidden units.
    assert config.num_query_heads[0] / config.num_query_heads[-1] == pytest.approx(0.5, abs=0.1)
    assert config.hidden_widths[-1] == 4 * width
    assert abs(config.hidden_widths[0] - width / 2) <= 128


def test_openelm_270m_is_the_published_table():
    config = presets.OpenELM(num_transformer_layers=16, model_dim=1280, head_dim=64, **PUBLISHED)
    assert config.num_query_heads == (12,) * 5 + (16,) * 7 + (20,) * 4
    assert config.num_kv_heads == (3,) * 5 + (4,) * 7 + (5,) * 4


def test_openelm_of_one_width_is_llama():
    """Without normalised queries and keys, and with all blocks alike, nothing else differs."""
    config = presets.OpenELM(
        vocab_size=11, num_transformer_layers=2, model_dim=16, head_dim=4, num_gqa_groups=2,
        ffn_multipliers=1.5, ffn_dim_divisor=8,
    )  # fmt: skip
    llama = presets.Llama(
        vocab_size=11, num_hidden_layers=2, hidden_size=16, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=24,
    )  # fmt: skip
    tokens = jnp.arange(6).reshape(2, 3)
    models = config.build(), llama.build()
    made = jax.eval_shape(models[0].init, jax.random.key(0), tokens)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), made)
    got, want = (jax.jit(model.apply)(params, tokens) for model in models)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "millions", "tolerance"),
    # As the papers' tables, and the models' cards, say.
    [
        (presets.BERT(), 110, 1),
        (presets.OPT(), 125, 1),
        (presets.ViT(num_labels=1000), 86.6, 0.1),
        (presets.Llama(), 6738, 1),
        (presets.GPTNeoX(), 20554.57, 0.01),
        (presets.Gemma2(), 2614, 1),
        (presets.OLMo2(vocab_size=100352), 7299, 1),
        (presets.Bloom(hidden_size=1024, n_layer=24, n_head=16), 559, 1),
        (
            presets.T5(
                d_model=768, d_ff=2048, num_layers=12, num_heads=12,
                feed_forward_proj="gated-gelu", tie_word_embeddings=False,
            ),
            248, 1,
        ),
    ],
)  # fmt: skip
def test_published_sizes(config, millions, tolerance):
    assert abs(count(config) / 1e6 - millions) < tolerance


def test_settings_reach_model_and_blocks():
    config = presets.Llama.from_json(FOLDER / "llama")
    seen = []

    def attention(query, key, value, **options):
        seen.append(query.shape)
        return dot_product_attention(query, key, value, **options)

    model = config.build(attention=attention, dropout_rate=0.5, dtype=jnp.bfloat16)
    tokens = jnp.zeros((1, 3), jnp.int32)
    params = config.from_safetensors(FOLDER / "llama")
    logits = jax.jit(model.apply)({"params": params}, tokens)
    assert logits.dtype == jnp.bfloat16
    assert seen == [(1, 3, 4, 4)] * 2
    assert model.dropout_rate == model.block.keywords["dropout_rate"] == 0.5
    # To tell texts apart: one row of new logits for each, read from the last token, or the first.
    bert = presets.BERT.from_json(FOLDER / "bert")
    for classes in (
        config.build(pooling="last", outputs=5),
        bert.build(pooling="first", outputs=5, head=True),
    ):
        made = jax.eval_shape(functools.partial(classes.init, jax.random.key(0)), tokens)
        assert made["params"]["head"]["kernel"].shape == (16, 5)


@pytest.mark.parametrize(
    ("kind", "fields", "slowed"),
    [
        ("linear", {}, position.interpolated_frequencies(4, factor=4.0, base=100.0)),
        (
            "llama3",
            {"low_freq_factor": 1.5, "high_freq_factor": 5.0},
            position.llama3_frequencies(
                4, factor=4.0, original_length=8, base=100.0, low_factor=1.5, high_factor=5.0
            ),
        ),
        (
            "yarn",
            {"beta_fast": 16.0, "beta_slow": 2.0},
            position.yarn_frequencies(
                4, factor=4.0, original_length=8, base=100.0, fast=16.0, slow=2.0
            ),
        ),
    ],
)
def test_fields_of_slower_rotations(kind, fields, slowed, key):
    scaling = {"rope_type": kind, "factor": 4.0, **fields}
    if kind != "linear":
        scaling["original_max_position_embeddings"] = 8
    config = presets.Llama(hidden_size=8, num_attention_heads=2, rope_theta=100.0)
    config = dataclasses.replace(config, rope_scaling=scaling)
    turn = config.build().block.keywords["mixer"].keywords["rotary"]
    x, steps = jax.random.normal(key, (3, 2, 4)), jnp.arange(3)
    factor = position.yarn_attention_factor(4.0) if kind == "yarn" else 1.0
    want = position.rotary_embedding(x, steps, frequencies=slowed, attention_factor=factor)
    np.testing.assert_allclose(turn(x, steps), want, atol=1e-6)


def test_positions_begin_at_a_later_row(key):
    x = jnp.zeros((1, 3, 2))
    module = position.PositionEmbedding(5, offset=2)
    variables = module.init(key, x)
    table = variables["params"]["embedding"]
    np.testing.assert_array_equal(module.apply(variables, x)[0], table[2:])
    picked = module.apply(variables, x, jnp.array([2, 0, 0]))
    np.testing.assert_array_equal(picked[0], table[jnp.array([4, 2, 2])])
