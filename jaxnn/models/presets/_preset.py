"""What the presets share: reading a hub's config.json, building the model, files of weights."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxnn._check import require, require_count
from jaxnn.layers.attention import MultiHeadAttention
from jaxnn.layers.position import (
    interpolated_frequencies,
    llama3_frequencies,
    rotary_embedding,
    rotary_frequencies,
    yarn_attention_factor,
    yarn_frequencies,
)
from jaxnn.models._block import TransformerBlock
from jaxnn.models.presets._weights import Table, read_tensors, write_new, write_tensors

Family = TypeVar("Family", bound="Preset")

_tanh_gelu = functools.partial(jax.nn.gelu, approximate=True)

# The hub's names of element-wise functions.
ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_fast": _tanh_gelu,
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A published family: fields as in the hub's config.json, a model made of slots, its files.

    A subclass says what the model is (:meth:`build`) and which tensor is which parameter
    (:meth:`table`).
    """

    model_type: ClassVar[str]
    # Fields that change the architecture, and the values of them that are supported.
    fixed: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    def __post_init__(self) -> None:
        where = type(self).__name__
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                require_count(where, **{field.name: value})
            elif field.type is bool:
                require(isinstance(value, bool), where, field.name, value, "True or False")
            elif field.type is float:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                require(number, where, field.name, value, "a number")

    @classmethod
    def from_json(cls: type[Family], path: str | os.PathLike[str]) -> Family:
        """Read a config.json of the hub, or the one in a folder.

        Fields that change nothing in the architecture are left aside.

        Raises:
          ValueError: the file is not one of this family, or asks for what is not supported.
        """
        where = f"{cls.__name__}.from_json"
        data = read_config(where, path)
        kind = data.get("model_type", cls.model_type)
        require(kind == cls.model_type, where, "model_type", kind, repr(cls.model_type))
        for name, allowed in {"quantization_config": (None,), **cls.fixed}.items():
            value = data.get(name, allowed[0])
            needs = " or ".join(repr(each) for each in allowed)
            require(value in allowed, where, name, value, f"{needs}, all that is supported")
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in cls._translate(data).items() if k in names})

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Give a config.json's fields the names and forms that this class has them in."""
        return data

    def to_json(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a config.json that :meth:`from_json` reads; give its path.

        Raises:
          FileExistsError: there is such a file, and ``overwrite`` is False.
        """
        file = Path(path)
        file = file if file.suffix == ".json" else file / "config.json"
        data: dict[str, Any] = {"model_type": self.model_type}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # What is left to be worked out from other fields is left out.
            if not (value is None and field.default is None):
                data[field.name] = value
        text = json.dumps(data, indent=2, sort_keys=True) + "\n"
        where = f"{type(self).__name__}.to_json"
        write_new(where, file, lambda to: to.write_text(text), overwrite)
        return file

    def build(self, **overrides: Any) -> nn.Module:
        """Make the model; ``overrides`` are slots and settings that the file says nothing of.

        These are the model's ``dtype``, ``param_dtype``, ``scan``, ``remat``, ``pooling``,
        ``head`` and ``outputs``, and its blocks' ``attention``, ``dense``, ``feedforward``,
        ``norm``, ``dropout_rate`` and ``stochastic_depth``. What a file does say is changed with
        ``dataclasses.replace``.
        """
        raise NotImplementedError

    def table(self) -> Table:
        """Say which tensors a file has and which parameters they are."""
        raise NotImplementedError

    def from_safetensors(
        self, path: str | os.PathLike[str], *, dtype: DTypeLike | None = None
    ) -> dict[str, Any]:
        """Read the parameters of :meth:`build`'s model from a hub's file.

        Args:
          path: a safetensors file, an index of several, or a folder with ``model.safetensors``
            or ``model.safetensors.index.json``.
          dtype: what the parameters are cast to; the file's if ``None``.

        Returns:
          The parameters. Those of a model with ``scan=True`` are ``stack_blocks`` of them.

        Raises:
          ValueError: a tensor is missing, not of this configuration, of another shape or not of
            floating-point numbers, or a file is damaged; nothing is loaded then.
        """
        where = f"{type(self).__name__}.from_safetensors"
        return read_tensors(where, self.table(), path, dtype)

    def to_safetensors(
        self,
        params: Mapping[str, Any],
        path: str | os.PathLike[str],
        *,
        dtype: DTypeLike | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write parameters as a file with the hub's names, all of it or nothing.

        Args:
          params: as :meth:`from_safetensors` returns them, or stacked for ``scan=True``.
          path: the file, or the folder for ``model.safetensors``.
          dtype: what the tensors are cast to; the parameters' if ``None``.
          overwrite: whether a file that is there may be replaced.

        Returns:
          The file's path.

        Raises:
          ValueError: ``params`` are not those of this configuration.
          FileExistsError: there is such a file, and ``overwrite`` is False.
        """
        where = f"{type(self).__name__}.to_safetensors"
        table = self.table()
        return write_tensors(where, table, params, path, dtype=dtype, overwrite=overwrite)


def read_config(where: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a config.json, or the one in a folder."""
    file = Path(path)
    file = file / "config.json" if file.is_dir() else file
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{where}: file {str(file)!r} is not a JSON file: {error}.") from error
    require(isinstance(data, dict), where, "path", str(file), "a JSON object")
    return data


def activation(where: str, field: str, name: str) -> Callable[[jax.Array], jax.Array]:
    """Give the element-wise function that the hub calls ``name``."""
    require(name in ACTIVATIONS, where, field, name, f"one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def rope_fields(data: dict[str, Any]) -> dict[str, Any]:
    """Give ``rope_theta`` and ``rope_scaling`` where newer files say ``rope_parameters``."""
    data = dict(data)
    rope = dict(data.pop("rope_parameters", None) or {})
    if "rope_theta" in rope:
        data["rope_theta"] = rope.pop("rope_theta")
    scaling = dict(data.get("rope_scaling") or rope)
    if scaling.get("partial_rotary_factor") == 1:
        del scaling["partial_rotary_factor"]
    plain = all(value == "default" for value in scaling.values())
    data["rope_scaling"] = None if plain else scaling
    return data


def rotary(
    where: str, theta: float, scaling: Mapping[str, Any] | None, *, fraction: float = 1.0
) -> Callable[..., jax.Array]:
    """Make the function that turns queries and keys as the fields say."""
    options = dict(scaling or {})
    options.pop("rope_theta", None)
    kind = options.pop("type", "default")
    kind = options.pop("rope_type", kind)
    require(kind in SCALINGS, where, "rope_scaling", scaling, f"a `rope_type` of {[*SCALINGS]}")
    makes, names = SCALINGS[kind]
    known = {names[name]: value for name, value in options.items() if name in names}
    rest = sorted(options.keys() - names.keys())
    require(not rest, where, "rope_scaling", scaling, f"no {rest}: {kind!r} has {[*names]}")
    lacking = sorted(NEEDED.get(kind, set()) - options.keys())
    require(not lacking, where, "rope_scaling", scaling, f"{lacking} as well")
    attention_factor = known.pop("attention_factor", None)
    if kind == "yarn" and attention_factor is None:
        attention_factor = yarn_attention_factor(known["factor"])
    return functools.partial(
        _turn,
        fraction=fraction,
        attention_factor=attention_factor or 1.0,
        frequencies=functools.partial(makes, base=theta, **known),
    )


# The hub's kinds of scaling: our function, and its arguments by the hub's names.
SCALINGS: Mapping[str, tuple[Callable[..., jax.Array], Mapping[str, str]]] = {
    "default": (rotary_frequencies, {}),
    "linear": (interpolated_frequencies, {"factor": "factor"}),
    "llama3": (
        llama3_frequencies,
        {
            "factor": "factor",
            "original_max_position_embeddings": "original_length",
            "low_freq_factor": "low_factor",
            "high_freq_factor": "high_factor",
        },
    ),
    "yarn": (
        yarn_frequencies,
        {
            "factor": "factor",
            "original_max_position_embeddings": "original_length",
            "beta_fast": "fast",
            "beta_slow": "slow",
            "attention_factor": "attention_factor",
        },
    ),
}
NEEDED = {
    "linear": {"factor"},
    "llama3": {*SCALINGS["llama3"][1]},
    "yarn": {"factor", "original_max_position_embeddings"},
}


def _turn(
    x: jax.Array,
    positions: jax.Array,
    *,
    fraction: float,
    attention_factor: float,
    frequencies: Callable[[int], jax.Array],
) -> jax.Array:
    return rotary_embedding(
        x,
        positions,
        fraction=fraction,
        frequencies=frequencies(int(x.shape[-1] * fraction)),
        attention_factor=attention_factor,
    )


# What a user may set beside the configuration: of the model, and of its blocks.
MODEL_SETTINGS = ("dtype", "head", "outputs", "param_dtype", "pooling", "remat", "scan")
BLOCK_SETTINGS = ("attention", "dense", "dropout_rate", "feedforward", "norm", "stochastic_depth")


def assemble(
    where: str,
    model: type[nn.Module],
    fields: Mapping[str, Any],
    blocks: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]],
    overrides: Mapping[str, Any],
) -> Any:
    """Make a model of :class:`TransformerBlock` blocks, with each override where it belongs.

    Args:
      where: who asks, for errors.
      model: class of the model.
      fields: of the model.
      blocks: of each kind of block, used in turn: its fields, where ``mixer`` and ``cross`` hold
        those of :class:`MultiHeadAttention`. They are the model's field ``block``, or those
        named.
      overrides: of the user.
    """
    known = {field.name for field in dataclasses.fields(model)}
    free = sorted({*BLOCK_SETTINGS, *(known & set(MODEL_SETTINGS))})
    for name, value in overrides.items():
        hint = f"one of the settings {free}; what a file says is changed in the configuration"
        require(name in free, where, name, value, hint)
    inner = {name: overrides[name] for name in BLOCK_SETTINGS if name in overrides}
    outer = {k: v for k, v in overrides.items() if k not in inner}
    shared = {k: v for k, v in inner.items() if k in ("dense", "dropout_rate", "norm")}
    named = blocks if isinstance(blocks, Mapping) else {"block": blocks}
    slots = {name: [_block(block, inner) for block in each] for name, each in named.items()}
    # One factory for blocks that are all alike, which `scan` asks for.
    made = {name: each[0] if len(each) == 1 else each for name, each in slots.items()}
    return model(**{**fields, **shared, **outer, **made})


def _block(block: Mapping[str, Any], settings: Mapping[str, Any]) -> Callable[..., nn.Module]:
    of_mixer = {k: v for k, v in settings.items() if k in ("attention", "dense")}
    of_block = {k: v for k, v in settings.items() if k not in of_mixer}
    if "dense" in settings:
        of_block.setdefault(
            "feedforward", functools.partial(block["feedforward"], dense=settings["dense"])
        )
    parts = {
        name: functools.partial(MultiHeadAttention, **{**block[name], **of_mixer})
        for name in ("mixer", "cross")
        if name in block
    }
    return functools.partial(TransformerBlock, **{**block, **of_block, **parts})
