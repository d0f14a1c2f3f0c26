"""Files that are damaged, incomplete or of something else are refused, whole and by name."""

import dataclasses
import json
import os

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxnn.models import presets, stack_blocks
from tests.models.presets.check import TOLERANCE
from tests.models.presets.make_references import FOLDER, POSITIONS, VALID

LLAMA = FOLDER / "llama"


@pytest.fixture
def config():
    return presets.Llama.from_json(LLAMA)


@pytest.fixture
def tensors():
    return load_file(LLAMA / "model.safetensors")


def refuses(config, folder, match):
    with pytest.raises(ValueError, match=match):
        config.from_safetensors(folder)


def test_damaged_files(config, tmp_path):
    file = tmp_path / "model.safetensors"
    whole = (LLAMA / "model.safetensors").read_bytes()
    for broken in (whole[:-5], whole[:100], b"", b"\x10" + b"\0" * 7 + b"not json at all!"):
        file.write_bytes(broken)
        refuses(config, tmp_path, r"Llama.from_safetensors: file '.*model.safetensors' is not a w")
    refuses(config, tmp_path / "nowhere", r"`path` is '.*nowhere', where there is no such file")
    file.unlink()
    refuses(config, tmp_path, r"`path` is .*no model.safetensors or model.safetensors.index.json")


def test_wrong_tensors(config, tensors, tmp_path):
    file = tmp_path / "some.safetensors"

    def put(**changes):
        new = {**tensors, **changes}
        save_file({name: x for name, x in new.items() if x is not None}, file)

    put(**{"model.norm.weight": None, "lm_head.weight": None})
    refuses(config, file, r"'.*some.safetensors' lacks tensor .* of shape .* and 1 more\.")
    put(**{"model.norm.weight": np.ones(15, np.float32)})
    refuses(config, file, r"holds tensor 'model.norm.weight' of shape \(15,\); .* needs \(16,\)")
    put(**{"model.layers.2.input_layernorm.weight": np.ones(16, np.float32)})
    refuses(config, file, r"holds tensor 'model.layers.2.*' of shape \(16,\), which .* no place")
    put(**{"model.norm.weight": np.ones(16, np.int8)})
    refuses(config, file, r"holds tensor 'model.norm.weight' as I8; it needs floating-point")
    put(**{"norm.weight": np.ones(16, np.float32)})
    refuses(config, file, r"which is '.*norm.weight' of 'some.safetensors' once more")
    # A buffer that some files keep means nothing.
    put(**{"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32)})
    assert set(config.from_safetensors(file)) == {"tokens", "blocks_0", "blocks_1", "norm", "head"}


def test_a_tied_head_may_be_there_if_it_is_the_embedding(tmp_path):
    folder = FOLDER / "llama-tied"
    config = presets.Llama.from_json(folder)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    file = tmp_path / "tied.safetensors"
    save_file({**tensors, "lm_head.weight": embedding.copy()}, file)
    assert "head" not in config.from_safetensors(file)
    save_file({**tensors, "lm_head.weight": embedding + 1}, file)
    refuses(config, file, r"'lm_head.weight' with other numbers than 'model.embed_tokens.weight'")


def test_shards(config, tensors, tmp_path):
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({name: tensors[name] for name in held}, tmp_path / file)
    index = {name: file for file, held in shards.items() for name in held}
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": index}))
    want = config.from_safetensors(LLAMA)
    for given in (tmp_path, path):
        jax.tree.map(np.testing.assert_array_equal, config.from_safetensors(given), want)
    (tmp_path / "b.safetensors").unlink()
    refuses(config, tmp_path, r"'.*b.safetensors', which 'model.safetensors.index.json' says holds")
    path.write_text("{}")
    refuses(config, tmp_path, "is not an index of shards: it needs a `weight_map`")


def test_names_without_the_prefix_and_older_names(tmp_path):
    for family, prefix in (("bloom", "transformer."), ("bert", "")):
        folder = FOLDER / family
        config = type(presets.load(folder)[2]).from_json(folder)
        tensors = load_file(folder / "model.safetensors")
        new = {name.removeprefix(prefix): x for name, x in tensors.items()}
        if family == "bert":
            old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
            for now, then in old.items():
                new = {f"bert.{k}".replace(now, then): v for k, v in new.items()}
                new = {k.replace("bert.bert.", "bert."): v for k, v in new.items()}
            new["cls.predictions.bias"] = np.zeros(17, np.float32)
        save_file(new, tmp_path / "old.safetensors")
        got, want = config.from_safetensors(tmp_path / "old.safetensors"), None
        want = config.from_safetensors(folder)
        jax.tree.map(np.testing.assert_array_equal, got, want)


def test_a_file_may_lack_what_is_optional(tmp_path):
    config = presets.BERT.from_json(FOLDER / "bert")
    tensors = load_file(FOLDER / "bert" / "model.safetensors")
    new = {name: x for name, x in tensors.items() if "pooler" not in name}
    save_file(new, tmp_path / "model.safetensors")
    params = config.from_safetensors(tmp_path)
    assert "pooler" not in params
    assert set(load_file(config.to_safetensors(params, tmp_path / "again"))) == set(new)


def test_writing_is_whole_and_never_over_another(config, tmp_path, monkeypatch):
    params = config.from_safetensors(LLAMA)
    file = config.to_safetensors(params, tmp_path / "new" / "x.safetensors")
    before = file.read_bytes()
    with pytest.raises(FileExistsError, match=r"Llama.to_safetensors: .* needs `overwrite=True`"):
        config.to_safetensors(params, file)
    other = jax.tree.map(lambda x: x + 1, params)

    def fail(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="full"):
            config.to_safetensors(other, file, overwrite=True)
    assert [each.name for each in file.parent.iterdir()] == ["x.safetensors"]
    assert file.read_bytes() == before
    config.to_safetensors(other, file, overwrite=True)
    jax.tree.map(np.testing.assert_array_equal, config.from_safetensors(file), other)
    with pytest.raises(FileExistsError, match=r"Llama.to_json: .* needs `overwrite=True`"):
        config.to_json(config.to_json(tmp_path))


def test_wrong_parameters_are_not_written(config, tmp_path):
    params = config.from_safetensors(LLAMA)

    def refused(match, **changes):
        with pytest.raises(ValueError, match=match):
            config.to_safetensors({**params, **changes}, tmp_path)
        assert not any(tmp_path.iterdir())

    refused(r"`params` lacks 'norm/scale' of shape \(16,\)", norm={})
    refused(r"`params` holds 'norm/scale' as an array of shape \(3,\)", norm={"scale": jnp.ones(3)})
    refused(r"`params` holds 'other' of shape \(\), which .* no place", other=jnp.ones(()))


def test_stacked_parameters_run_and_are_written_block_by_block(config, tensors, tmp_path):
    params = config.from_safetensors(LLAMA)
    stacked = stack_blocks(params)
    reference = load_file(LLAMA / "reference.safetensors")
    logits = jax.jit(config.build(scan=True).apply)(
        {"params": stacked},
        jnp.asarray(reference["tokens"]),
        valid=jnp.asarray(VALID),
        positions=jnp.asarray(POSITIONS),
    )
    np.testing.assert_allclose(
        np.asarray(logits)[VALID], reference["logits"][VALID], atol=TOLERANCE
    )
    written = load_file(config.to_safetensors(stacked, tmp_path))
    assert all(written[name].tobytes() == x.tobytes() for name, x in tensors.items())


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_bfloat16_files(family, tmp_path):
    folder = FOLDER / family
    config = type(presets.load(folder)[2]).from_json(folder)
    tensors = load_file(folder / "model.safetensors")
    narrow = {name: x.astype(ml_dtypes.bfloat16) for name, x in tensors.items()}
    save_file(narrow, tmp_path / "model.safetensors")
    params = config.from_safetensors(tmp_path)
    assert params["tokens"]["embedding"].dtype == jnp.bfloat16
    # One plus a scale has no place in bfloat16.
    wide = family == "gemma2"
    assert params["norm"]["scale"].dtype == (jnp.float32 if wide else jnp.bfloat16)
    file = config.to_safetensors(params, tmp_path / "again", dtype=jnp.bfloat16)
    for name, x in load_file(file).items():
        assert x.tobytes() == narrow[name].tobytes(), name
    wide = config.from_safetensors(tmp_path, dtype=jnp.float32)
    assert {x.dtype for x in jax.tree.leaves(wide)} == {jnp.dtype(jnp.float32)}


@pytest.mark.usefixtures("unchecked")
def test_wrong_configurations(config, tmp_path):
    file = tmp_path / "config.json"

    def refused(match, family=presets.Llama, **data):
        file.write_text(json.dumps(data))
        with pytest.raises(ValueError, match=match):
            family.from_json(tmp_path).build()

    refused("Llama.from_json: `model_type` is 'opt'; it needs 'llama'", model_type="opt")
    refused("Llama: `hidden_act` is 'mish'; it needs one of .*'silu'", hidden_act="mish")
    refused("Llama: `hidden_size` is '16'; it needs a whole number", hidden_size="16")
    refused("Llama: `mlp_bias` is 1; it needs True or False", mlp_bias=1)
    refused("`quantization_config` is .*; it needs None, all", quantization_config={"bits": 4})
    refused("`rope_scaling` is .*; it needs a `rope_type`", rope_scaling={"type": "dynamic"})
    refused(
        "it needs no .'partial_rotary_factor'.: 'default' has",
        rope_parameters={"rope_type": "default", "partial_rotary_factor": 0.5},
    )
    refused("it needs .'factor'. as well", rope_scaling={"type": "linear"})
    refused("no .'mscale'.: 'yarn' has", rope_scaling={"type": "yarn", "mscale": 1, "factor": 2})
    refused(
        "Bloom.from_json: `apply_residual_connection_post_layernorm` is True; it needs False",
        presets.Bloom,
        apply_residual_connection_post_layernorm=True,
    )
    refused("BERT.from_json: `is_decoder` is True", presets.BERT, is_decoder=True)
    refused("`position_embedding_type`", presets.BERT, position_embedding_type="relative_key")
    refused("`use_bidirectional_attention`", presets.Gemma2, use_bidirectional_attention=True)
    refused("Gemma2: `layer_types`", presets.Gemma2, layer_types=["full_attention"])
    refused("T5: `feed_forward_proj` is 'gated'", presets.T5, feed_forward_proj="gated")
    refused("ViT.from_json: `image_size` is .8, 4.; it needs one", presets.ViT, image_size=[8, 4])
    refused("ViT: `patch_size` is 5; it needs a divisor", presets.ViT, patch_size=5)
    refused("OpenELM: `qkv_multipliers`", presets.OpenELM, qkv_multipliers=[1, 2, 3])
    file.write_text("{")
    with pytest.raises(ValueError, match=r"Llama.from_json: file '.*' is not a JSON file"):
        presets.Llama.from_json(tmp_path)
    file.write_text('{"model_type": "mamba"}')
    with pytest.raises(ValueError, match=r"presets.load: `model_type` is 'mamba'; .*'bert'"):
        presets.load(tmp_path)
    with pytest.raises(ValueError, match="Llama: `depth` is 3; it needs one of the settings"):
        config.build(depth=3)
    # What changes nothing is left aside.
    file.write_text(json.dumps({"hidden_size": 32, "use_cache": True, "transformers_version": "4"}))
    assert presets.Llama.from_json(file) == dataclasses.replace(presets.Llama(), hidden_size=32)
