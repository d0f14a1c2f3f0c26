"""The models the command line trains, each with the recipe its defaults come from."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxnn import models, train
from jaxnn.cli._parse import UsageError
from jaxnn.train import parallel


@dataclasses.dataclass(frozen=True)
class Training:
    """How to train: the optimiser is AdamW with warm-up and cosine decay."""

    steps: int = 1000
    """Number of updates."""
    batch_size: int = 128
    """Examples per update; all training examples if there are fewer."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    weight_decay: float = 1e-4
    """Decoupled weight decay of kernels."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises."""
    clip_norm: float = 1.0
    """Largest global gradient norm let through; 0 lets all."""
    label_smoothing: float = 0.0
    """Share of each target spread over all classes."""
    ema_decay: float = 0.0
    """Keep an average of the parameters with this decay and evaluate with it; 0 keeps none."""
    accumulate_steps: int = 1
    """Split each batch into this many parts, to fit memory."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Compute in this precision; parameters and losses stay in float32."""
    seed: int = 0
    """Seed of the initial parameters, of dropout and of the order of the examples."""


@dataclasses.dataclass(frozen=True)
class Devices:
    """Training on several devices."""

    mesh: str = ""
    """Devices by axis, such as data=4,model=2; one size may be -1, the rest. Empty for one."""
    fully_sharded: bool = False
    """Keep only a part of every large parameter on each device of the axis data, or fsdp."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A model of the command line.

    Attributes:
      title: its name as people say it.
      config: the dataclass of its options.
      recipe: how it is trained unless told otherwise.
      text: whether it reads windows of a text, as long as its option ``context``, and writes.
      demo: whether ``jaxnn demo`` trains it unless told otherwise.
      rules: how the mesh axis ``model`` splits it; empty if it does not.
    """

    title: str
    config: type
    recipe: Training
    text: bool = False
    demo: bool = True
    rules: parallel.Rules = ()


MODELS = {
    "mlp": Model(
        "MLP",
        models.MLPConfig,
        Training(steps=1000, learning_rate=3e-3, weight_decay=1e-2, label_smoothing=0.1),
        rules=parallel.MLP_RULES,
    ),
    "vit": Model(
        "Vision transformer",
        models.VisionTransformerConfig,
        Training(steps=800, batch_size=64, learning_rate=5e-3, warmup=0.1),
        rules=parallel.TRANSFORMER_RULES,
    ),
    "spiking": Model(
        "Spiking MLP",
        models.SpikingMLPConfig,
        Training(steps=800, learning_rate=5e-3, weight_decay=1e-3),
        rules=parallel.MLP_RULES,
    ),
    "kan": Model(
        "KAN",
        models.KANConfig,
        Training(steps=800, learning_rate=3e-3),
        rules=parallel.KAN_RULES,
    ),
    "residual-mlp": Model(
        "Residual MLP",
        models.ResidualMLPConfig,
        Training(steps=600, learning_rate=3e-3, weight_decay=1e-2, label_smoothing=0.1),
        demo=False,
        rules=parallel.MLP_RULES,
    ),
    "spiking-conv": Model(
        "Spiking convolutional network",
        models.SpikingConvNetConfig,
        Training(steps=400, batch_size=64, learning_rate=5e-3),
        demo=False,
    ),
    "spiking-transformer": Model(
        "Spiking transformer",
        models.SpikingTransformerConfig,
        Training(steps=300, batch_size=64, learning_rate=5e-3, warmup=0.1),
        demo=False,
    ),
    "gpt": Model(
        "GPT",
        models.GPTConfig,
        Training(steps=600, batch_size=32, learning_rate=4e-3, weight_decay=0.1),
        text=True,
        rules=parallel.TRANSFORMER_RULES,
    ),
}


def find_model(name: str) -> Model:
    """Look a model up; raise UsageError with the known names if there is none."""
    if name not in MODELS:
        raise UsageError(f"unknown model {name!r}; the models are {', '.join(MODELS)}")
    return MODELS[name]


def make_optimizer(options: Training) -> optax.GradientTransformation:
    """Make the optimiser of a run."""
    return train.optimizers.warmup_cosine_adamw(
        options.learning_rate,
        steps=options.steps,
        warmup=options.warmup,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm or None,
    )


def make_state(
    network: nn.Module,
    options: Training,
    input_shape: tuple[int, ...],
    *,
    tokens: bool = False,
    layout: parallel.Layout | None = None,
) -> Any:
    """Initialise a run's state, the same for the same seed."""
    return train.create_state(
        network,
        make_optimizer(options),
        jnp.zeros((1, *input_shape), jnp.int32 if tokens else jnp.float32),
        key=jax.random.key(options.seed),
        ema_decay=options.ema_decay or None,
        layout=layout,
    )


def with_split_heads(network: Any, layout: parallel.Layout | None) -> Any:
    """Let a network whose heads the axis ``model`` divides attend with each device's own."""
    ways = layout.mesh.shape.get("model", 1) if layout else 1
    heads = getattr(network, "num_heads", None)
    if layout is None or ways == 1 or not hasattr(network, "attention") or not heads:
        return network
    if any(n % ways for n in (heads, getattr(network, "num_key_value_heads", None) or heads)):
        return network
    return network.clone(attention=parallel.head_parallel_attention(network.attention, layout.mesh))


def make_layout(name: str, devices: Devices) -> parallel.Layout | None:
    """Make the layout asked for; ``None`` for one device.

    Raises:
      UsageError: there are not these devices, or the model cannot be split so.
    """
    rules = MODELS[name].rules
    if not devices.mesh:
        if devices.fully_sharded:
            raise UsageError("--fully-sharded needs --mesh, e.g. --mesh data=-1")
        return None
    try:
        mesh = parallel.make_mesh(devices.mesh)
    except ValueError as error:
        raise UsageError(f"--mesh: {error}") from None
    unknown = [axis for axis in mesh.shape if axis not in ("data", "fsdp", "model")]
    if unknown:
        raise UsageError(f"--mesh has the axis {unknown[0]!r}; the axes are data, fsdp, model")
    if "model" not in mesh.shape:
        rules = ()
    elif not rules:
        raise UsageError(f"--mesh: {name} has no rules for the axis model; use data or fsdp")
    if devices.fully_sharded:
        axis = "fsdp" if "fsdp" in mesh.shape else "data"
        if axis not in mesh.shape:
            raise UsageError("--fully-sharded needs an axis data or fsdp in --mesh")
        rules = parallel.fully_sharded(rules, axis=axis)
    return parallel.Layout(mesh, rules)
