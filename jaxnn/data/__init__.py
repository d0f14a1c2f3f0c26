"""Data: embedded sets, files, tasks generated from a key, and batches that stream.

``load("digits")`` and its like need no download. ``load_npz``, ``load_csv``, ``load_parquet``
and ``load_text`` read files. ``feynman`` and ``special_function`` draw from formulas, of which
``FEYNMAN`` and ``SPECIAL_FUNCTIONS`` are the tables.
``two_spirals``, ``teacher_student``, ``spike_patterns`` and ``delay_coincidence`` are pure
functions of a random key, and so is ``poisson``, an operator to learn. ``copying_memory``,
``selective_copying`` and ``associative_recall`` are sequences to remember; ``reber_grammar`` draws
strings to be accepted or not, by the automaton of ``reber_accepts``. ``sequential_digits``
and ``event_digits`` are the digits as sequences and as spikes. ``modular_arithmetic`` and
``permutation_composition`` are tables of operations, part of them held out: "Grokking" (2022).
``grain_loader`` feeds data that do not fit on the device: arrays on disk, a ``TokenFile``, an
``ImageFolder`` or a ``HuggingFaceSource``, shared out to processes.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.data._dataset import Dataset as Dataset
    from jaxnn.data._dataset import Split as Split
    from jaxnn.data._embedded import breast_cancer as breast_cancer
    from jaxnn.data._embedded import diabetes as diabetes
    from jaxnn.data._embedded import digits as digits
    from jaxnn.data._embedded import load as load
    from jaxnn.data._embedded import stdlib_text as stdlib_text
    from jaxnn.data._embedded import windows as windows
    from jaxnn.data._embedded import wine as wine
    from jaxnn.data._files import load_csv as load_csv
    from jaxnn.data._files import load_npz as load_npz
    from jaxnn.data._files import load_text as load_text
    from jaxnn.data._formulas import FEYNMAN as FEYNMAN
    from jaxnn.data._formulas import SPECIAL_FUNCTIONS as SPECIAL_FUNCTIONS
    from jaxnn.data._formulas import Formula as Formula
    from jaxnn.data._formulas import feynman as feynman
    from jaxnn.data._formulas import special_function as special_function
    from jaxnn.data._grammar import REBER_SYMBOLS as REBER_SYMBOLS
    from jaxnn.data._grammar import GrammarStrings as GrammarStrings
    from jaxnn.data._grammar import reber_accepts as reber_accepts
    from jaxnn.data._grammar import reber_grammar as reber_grammar
    from jaxnn.data._loader import grain_loader as grain_loader
    from jaxnn.data._modular import modular_arithmetic as modular_arithmetic
    from jaxnn.data._modular import permutation_composition as permutation_composition
    from jaxnn.data._operator import Fields as Fields
    from jaxnn.data._operator import poisson as poisson
    from jaxnn.data._parquet import load_parquet as load_parquet
    from jaxnn.data._sequences import TokenTask as TokenTask
    from jaxnn.data._sequences import associative_recall as associative_recall
    from jaxnn.data._sequences import copying_memory as copying_memory
    from jaxnn.data._sequences import event_digits as event_digits
    from jaxnn.data._sequences import selective_copying as selective_copying
    from jaxnn.data._sequences import sequential_digits as sequential_digits
    from jaxnn.data._sources import HuggingFaceSource as HuggingFaceSource
    from jaxnn.data._sources import ImageFolder as ImageFolder
    from jaxnn.data._sources import Source as Source
    from jaxnn.data._sources import TokenFile as TokenFile
    from jaxnn.data._synthetic import DelayCoincidence as DelayCoincidence
    from jaxnn.data._synthetic import SpikePatterns as SpikePatterns
    from jaxnn.data._synthetic import Teacher as Teacher
    from jaxnn.data._synthetic import TeacherStudent as TeacherStudent
    from jaxnn.data._synthetic import delay_coincidence as delay_coincidence
    from jaxnn.data._synthetic import spike_patterns as spike_patterns
    from jaxnn.data._synthetic import spike_trains as spike_trains
    from jaxnn.data._synthetic import teacher_outputs as teacher_outputs
    from jaxnn.data._synthetic import teacher_student as teacher_student
    from jaxnn.data._synthetic import two_spirals as two_spirals

__all__ = [
    "Fields",
    "FEYNMAN",
    "REBER_SYMBOLS",
    "SPECIAL_FUNCTIONS",
    "Dataset",
    "DelayCoincidence",
    "Formula",
    "GrammarStrings",
    "HuggingFaceSource",
    "ImageFolder",
    "Source",
    "SpikePatterns",
    "Split",
    "Teacher",
    "TeacherStudent",
    "TokenFile",
    "TokenTask",
    "associative_recall",
    "breast_cancer",
    "copying_memory",
    "delay_coincidence",
    "diabetes",
    "digits",
    "event_digits",
    "feynman",
    "grain_loader",
    "load",
    "load_csv",
    "load_npz",
    "load_parquet",
    "load_text",
    "modular_arithmetic",
    "permutation_composition",
    "poisson",
    "reber_accepts",
    "reber_grammar",
    "selective_copying",
    "sequential_digits",
    "special_function",
    "spike_patterns",
    "spike_trains",
    "stdlib_text",
    "teacher_outputs",
    "teacher_student",
    "two_spirals",
    "windows",
    "wine",
]

_HOMES = {
    "FEYNMAN": "_formulas",
    "GrammarStrings": "_grammar",
    "REBER_SYMBOLS": "_grammar",
    "SPECIAL_FUNCTIONS": "_formulas",
    "Dataset": "_dataset",
    "DelayCoincidence": "_synthetic",
    "Formula": "_formulas",
    "Fields": "_operator",
    "HuggingFaceSource": "_sources",
    "ImageFolder": "_sources",
    "Source": "_sources",
    "TokenFile": "_sources",
    "SpikePatterns": "_synthetic",
    "Split": "_dataset",
    "Teacher": "_synthetic",
    "TeacherStudent": "_synthetic",
    "breast_cancer": "_embedded",
    "TokenTask": "_sequences",
    "associative_recall": "_sequences",
    "copying_memory": "_sequences",
    "event_digits": "_sequences",
    "selective_copying": "_sequences",
    "sequential_digits": "_sequences",
    "delay_coincidence": "_synthetic",
    "diabetes": "_embedded",
    "digits": "_embedded",
    "feynman": "_formulas",
    "grain_loader": "_loader",
    "load": "_embedded",
    "load_csv": "_files",
    "load_npz": "_files",
    "load_parquet": "_parquet",
    "modular_arithmetic": "_modular",
    "permutation_composition": "_modular",
    "load_text": "_files",
    "reber_accepts": "_grammar",
    "reber_grammar": "_grammar",
    "special_function": "_formulas",
    "poisson": "_operator",
    "spike_patterns": "_synthetic",
    "spike_trains": "_synthetic",
    "stdlib_text": "_embedded",
    "teacher_outputs": "_synthetic",
    "teacher_student": "_synthetic",
    "two_spirals": "_synthetic",
    "windows": "_embedded",
    "wine": "_embedded",
}

__getattr__, __dir__ = _lazy.attach(__name__, names=_HOMES)
