"""What the parts of the analysis share: its records, the names of its measures, its compiler."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxnn.analysis import visualization
from jaxnn.data import Dataset

QUIET = 0.01  # of a layer's largest magnitude: below it a unit counts as silent


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigureEntry:
    """One figure of the report.

    Attributes:
      title: a short heading.
      caption: what the picture shows and what to look for, in plain words.
      svg: the drawing, a self-contained SVG element.
    """

    title: str
    caption: str
    svg: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelAnalysis:
    """The figures and numbers of one model, all JSON-able.

    Attributes:
      measures: name to value; nested mappings hold one value a layer or a method.
      figures: in reading order.
    """

    measures: Mapping[str, Any]
    figures: tuple[FigureEntry, ...] = ()


@dataclasses.dataclass(frozen=True)
class Label:
    """How a measure is called and explained.

    Attributes:
      label: in full.
      short: as the head of a column.
      says: what it means, to somebody who does not know it.
      share: whether it is written in per cent.
      summary: whether it belongs in the table that compares all models.
    """

    label: str
    short: str
    says: str = ""
    share: bool = False
    summary: bool = False


LABELS = {
    "test_accuracy": Label("test accuracy", "test accuracy", share=True),
    "accuracy": Label("test accuracy", "test accuracy", share=True),
    "test_loss": Label("test loss", "test loss"),
    "test_bits_per_byte": Label(
        "test bits a byte",
        "bits a byte",
        "How many bits it takes, on average, to tell the model the next byte of a text it has "
        "never seen: 8 for one that knows nothing.",
        summary=True,
    ),
    "test_error": Label("mean absolute test error", "test error"),
    "test_absolute_error": Label("mean absolute test error", "test error"),
    "test_squared_error": Label("mean squared test error", "squared error"),
    "explained_variance": Label("variance explained", "variance explained", share=True),
    "completeness_gap": Label(
        "completeness gap of integrated gradients",
        "completeness gap",
        "Attributions by integrated gradients should add up to the model's output. This is how "
        "far they are off, relative to it: near 0 the explanation accounts for everything. "
        "Spikes have no slope; a spiking network is explained by the stand-in slope it was "
        "trained with, which need not add up.",
        share=True,
        summary=True,
    ),
    "attribution_focus": Label(
        "focus of integrated gradients (Gini)",
        "attribution focus",
        "How few inputs carry the explanation: 0 if all count the same, 1 if a single one "
        "counts (the Gini index).",
        summary=True,
    ),
    "deletion_gain": Label(
        "deletion, below random order",
        "deletion gain",
        "Inputs are erased, those with the largest attribution first. This is how much lower "
        "the model's confidence is, on average, than when they are erased at random: the "
        "higher, the more the explanation found what matters to the model.",
        share=True,
        summary=True,
    ),
    "silent_activations": Label(
        "silent activations",
        "silent units",
        "The share of hidden values that are nothing, or below a hundredth of the layer's "
        "largest: the part of the network that rests for an example.",
        share=True,
        summary=True,
    ),
    "dead_units": Label(
        "dead units",
        "dead units",
        "Hidden units that are silent for every example looked at, and so could go.",
        share=True,
        summary=True,
    ),
    "weight_hoyer": Label(
        "weight sparsity (Hoyer)",
        "weight sparsity",
        "How unequal the weights are: 0 if all have the same magnitude, 1 if one has it all "
        "(Hoyer's index). High means that many connections hardly count.",
        summary=True,
    ),
    "spike_rate": Label(
        "spikes a step and unit",
        "spike rate",
        "How often a spiking unit fires in a time step, on average.",
        share=True,
        summary=True,
    ),
    "spikes_per_example": Label("spikes for an example", "spikes"),
    "attention_entropy": Label(
        "evenness of attention",
        "evenness",
        share=True,
    ),
    "attention_sink": Label("attention on the first byte", "on the first byte", share=True),
    "kan_edges_for_90_percent": Label(
        "edges that make 90 % of the strength", "edges for 90 %", share=True
    ),
    "class_separation": Label(
        "class separation of the last hidden layer (GDV)",
        "class separation",
        "How far the classes lie apart in the last hidden layer, by the generalized "
        "discrimination value: 0 where they are mixed, -1 where they are wholly apart.",
    ),
    "by_method": Label("method", "method"),
    "by_layer": Label("layer", "layer"),
    "by_weights": Label("weights", "weights"),
    "by_part": Label("part", "part"),
    "by_edge": Label("edge", "edge"),
    "separation": Label("class separation", "class separation"),
    "missed": Label("loss added without it", "loss added without it"),
    "along": Label("loss added without it", "loss added without it"),
    "focus": Label("focus (Gini)", "focus (Gini)"),
    "deletion_area": Label("confidence left under deletion", "confidence left", share=True),
    "silent": Label("silent", "silent", share=True),
    "dead": Label("dead", "dead", share=True),
    "hoyer": Label("Hoyer", "Hoyer"),
    "gini": Label("Gini", "Gini"),
    "pq_index": Label("PQ index", "PQ index"),
    "rate": Label("rate", "rate", share=True),
}


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a program that runs once: fast to make rather than fast.

    On a CPU full optimisation takes seconds, most of them for the drawing of random numbers,
    and saves milliseconds.
    """
    quick = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=quick)


def is_picture(dataset: Dataset) -> bool:
    return dataset.test.x.ndim in (3, 4) and min(dataset.test.x.shape[1:3]) > 1


def short(name: str) -> str:
    """Shorten a path: ``blocks_0/feedforward/up/kernel`` to ``blocks_0 up``."""
    dull = {"kernel", "feedforward", "hidden", "coefficients"}
    parts = [part for part in name.split("/") if part not in dull]
    short = " ".join(parts) or name
    return short.replace("base_kernel", "base")


def entry(figure: Any, title: str, caption: str) -> FigureEntry:
    svg = visualization.to_svg(figure, description=f"{title}. {caption}")
    return FigureEntry(title=title, caption=caption, svg=svg)
