"""Other random configurations, side by side with the hub's library where it is installed."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.models import presets
from tests.models.presets.check import TOLERANCE, run, worst
from tests.models.presets.make_references import COMMON, GATED, NEOX, hub_model, hub_outputs

YARN = {
    "rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0,
    "original_max_position_embeddings": 8,
}  # fmt: skip
CASES = {
    "bloom-power": ("BloomForCausalLM", {"vocab_size": 13, "hidden_size": 16, "n_head": 4}),
    "gemma2-full": (
        "Gemma2ForCausalLM",
        {**GATED, "head_dim": 4, "sliding_window": 2, "final_logit_softcapping": None}
        | {"attn_logit_softcapping": None, "num_hidden_layers": 3, "attention_bias": True}
        | {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
    ),
    "gpt-neox-tied": (
        "GPTNeoXForCausalLM",
        {**NEOX, "tie_word_embeddings": True, "hidden_act": "relu", "use_parallel_residual": False},
    ),
    "llama-linear": (
        "LlamaForCausalLM",
        {**GATED, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 50.0}},
    ),
    "llama-yarn": ("LlamaForCausalLM", {**GATED, "rope_parameters": YARN}),
    "olmo2-tied": (
        "Olmo2ForCausalLM",
        {**GATED, "tie_word_embeddings": True, "num_key_value_heads": 1, "rms_norm_eps": 1e-2},
    ),
    "opt-plain": (
        "OPTForCausalLM",
        {**COMMON, "ffn_dim": 8, "enable_bias": False, "layer_norm_elementwise_affine": False}
        | {"activation_function": "gelu"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_language_models(name, tmp_path, record_property):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    hub = hub_model(*CASES[name], seed=7)
    hub.save_pretrained(tmp_path)
    arrays = hub_outputs(hub, np.random.default_rng(7))
    model, params, _ = presets.load(tmp_path)
    whole, in_pieces = run(model, params, arrays["tokens"])
    errors = [worst(each, arrays["logits"]) for each in (whole, in_pieces)]
    record_property("errors", errors)
    assert max(errors) < TOLERANCE
    assert np.std(arrays["logits"]) > 0.1


def test_the_hub_reads_what_is_written(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = presets.OLMo2(
        vocab_size=13, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, rope_theta=100.0,
    )  # fmt: skip
    tokens = jnp.arange(10).reshape(2, 5)
    model = config.build()
    params = jax.jit(model.init)(jax.random.key(0), tokens)["params"]
    config.to_json(tmp_path)
    config.to_safetensors(params, tmp_path)
    hub = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        want = hub(torch.tensor(np.asarray(tokens)).long()).logits.numpy()
    np.testing.assert_allclose(model.apply({"params": params}, tokens), want, atol=TOLERANCE)


def test_the_hubs_defaults_are_ours():
    transformers = pytest.importorskip("transformers")
    from dataclasses import fields

    theirs = {
        presets.BERT: "BertConfig", presets.Bloom: "BloomConfig", presets.GPTNeoX: "GPTNeoXConfig",
        presets.Gemma2: "Gemma2Config", presets.Llama: "LlamaConfig", presets.OLMo2: "Olmo2Config",
        presets.OPT: "OPTConfig", presets.T5: "T5Config", presets.ViT: "ViTConfig",
    }  # fmt: skip
    # Under another name there, or worked out from others.
    moved = {"rope_theta", "rope_scaling", "rotary_pct", "rotary_emb_base", "num_labels"}
    moved |= {"word_embed_proj_dim", "num_key_value_heads", "head_dim", "layer_types"}
    moved |= {"num_decoder_layers", "scale_decoder_outputs"}
    for family, name in theirs.items():
        config = getattr(transformers, name)
        default = config()
        assert family.model_type == config.model_type
        assert inspect.signature(family).parameters
        for field in fields(family):
            if field.name not in moved:
                assert getattr(default, field.name) == field.default, (name, field.name)
