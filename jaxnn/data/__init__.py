"""Data: embedded sets, files, tasks generated from a key, and batches that stream.

``load("digits")`` and its like need no download. ``load_npz`` and ``load_csv`` read files.
``two_spirals``, ``teacher_student`` and ``spike_patterns`` are pure functions of a random
key. ``grain_loader`` feeds data that do not fit on the device.
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

_HOMES = {
    "Dataset": "_dataset",
    "Split": "_dataset",
    "breast_cancer": "_embedded",
    "diabetes": "_embedded",
    "digits": "_embedded",
    "load": "_embedded",
    "stdlib_text": "_embedded",
    "windows": "_embedded",
    "wine": "_embedded",
}

__all__ = (*_HOMES,)

__getattr__, __dir__ = _lazy.attach(__name__, names=_HOMES)
