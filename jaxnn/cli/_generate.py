"""``jaxnn generate RUN``: a trained model of text writes on from a prompt."""

import codecs
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from jaxnn.cli._evaluate import Loaded, load_run
from jaxnn.cli._parse import UsageError
from jaxnn.cli._session import use_compilation_cache
from jaxnn.models import generation


@dataclasses.dataclass(frozen=True)
class GenerateOptions:
    """Let a trained model of text write on from a prompt."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """The run's folder, or its name in the folder of runs."""
    prompt: str = "def "
    """What it begins with."""
    new_tokens: int = 200
    """How many bytes to write."""
    temperature: float = 0.8
    """Below 1 the likely become likelier; 0 always takes the likeliest byte."""
    top_k: int = 40
    """Draw from this many of the likeliest bytes; 0 for all."""
    top_p: float = 0.95
    """Draw from the likeliest bytes that together have this probability."""
    min_p: float = 0.0
    """Leave out bytes less likely than this share of the likeliest; 0 for none."""
    repetition_penalty: float = 1.0
    """Above 1, bytes that were read or written before become less likely."""
    num_samples: int = 1
    """How many texts to write."""
    seed: int = 0
    """Seed of the draws."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    json: bool = False
    """Print the texts as one JSON object."""


def generate_command(options: GenerateOptions) -> int:
    """Carry out ``jaxnn generate``."""
    _check(options)
    use_compilation_cache()
    prompt = options.prompt.encode("utf-8", "surrogateescape")
    loaded = load_run(options.run, options.runs, text_only=True)
    started = time.perf_counter()
    pieces = _write(loaded, prompt, options)
    if options.json:
        written = np.concatenate(list(pieces), axis=1)
        seconds = time.perf_counter() - started
        row = {
            "run": str(loaded.run.folder),
            "step": int(loaded.state.step),
            "prompt": _text(prompt),
            "samples": [_text(sample.tobytes()) for sample in written],
            "seed": options.seed,
            "seconds": round(seconds, 2),
        }
        print(json.dumps(row))
        return 0
    if options.num_samples == 1:
        # Shown as it is written; a character may be cut between two pieces.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        sys.stdout.write(_text(prompt))
        for piece in pieces:
            sys.stdout.write(decoder.decode(piece[0].tobytes()))
            sys.stdout.flush()
        sys.stdout.write(decoder.decode(b"", final=True) + "\n")
        return 0
    written = np.concatenate(list(pieces), axis=1)
    for number, sample in enumerate(written, 1):
        print(f"--- {number} of {len(written)} ---")
        print(_text(prompt + sample.tobytes()))
    return 0


def _write(loaded: Loaded, prompt: bytes, options: GenerateOptions) -> Iterator[np.ndarray]:
    """Write piece by piece, each ``(samples, bytes)``, within what the model reads at once.

    Before each piece the oldest bytes are forgotten, so that the rest, at most three quarters
    of its context, and the piece fit. All pieces have one shape, and so one program.
    """
    context = loaded.task.input_shape[0]
    piece = max(1, context // 4)
    memory = context - piece
    count, left = options.num_samples, options.new_tokens
    key, transform = jax.random.key(options.seed), _transform(options)
    rows = np.tile(np.frombuffer(prompt, np.uint8), (count, 1))
    for number in range(-(-left // piece)):
        tokens, valid = generation.pad_prompts(list(rows[:, -memory:]), length=memory)
        result = generation.generate(
            loaded.network,
            loaded.state.evaluation_variables,
            tokens,
            valid=valid,
            new_tokens=piece,
            key=jax.random.fold_in(key, number) if options.temperature else None,
            transform=transform,
        )
        new = np.asarray(result.tokens, np.uint8)
        rows = np.concatenate([rows, new], axis=1)
        yield new[:, :left]
        left -= piece


def _transform(options: GenerateOptions) -> Any:
    chosen = []
    if options.repetition_penalty != 1:
        chosen.append(generation.repetition_penalty(options.repetition_penalty))
    if options.temperature:
        chosen.append(generation.temperature(options.temperature))
    if options.top_k:
        chosen.append(generation.top_k(options.top_k))
    if options.top_p < 1:
        chosen.append(generation.top_p(options.top_p))
    if options.min_p:
        chosen.append(generation.min_p(options.min_p))
    return generation.chain(*chosen)


def _check(options: GenerateOptions) -> None:
    """Raise UsageError unless every option is in its range."""
    finite = float("inf")
    wrong = [
        ("prompt", bool(options.prompt), "at least one character"),
        ("new_tokens", options.new_tokens >= 1, "a number above 0"),
        ("temperature", 0 <= options.temperature < finite, "0 or a number above it"),
        ("top_k", options.top_k >= 0, "0 or a number above it"),
        ("top_p", 0 < options.top_p <= 1, "a number in (0, 1]"),
        ("min_p", 0 <= options.min_p <= 1, "a number in [0, 1]"),
        ("repetition_penalty", 0 < options.repetition_penalty < finite, "a number above 0"),
        ("num_samples", options.num_samples >= 1, "a number above 0"),
        ("seed", 0 <= options.seed < 2**63, "a number in [0, 2**63)"),
    ]
    for name, fine, needs in wrong:
        if not fine:
            value = getattr(options, name)
            raise UsageError(f"--{name.replace('_', '-')} is {value!r}; needs {needs}")


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")
