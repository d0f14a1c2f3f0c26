"""Batches from data that stay off the device, with a position that a checkpoint can hold."""

import dataclasses
import functools
from typing import TYPE_CHECKING, cast

import numpy as np

from jaxnn._check import require
from jaxnn.data._dataset import Split, permutation
from jaxnn.data._sources import Source

if TYPE_CHECKING:
    import grain


@dataclasses.dataclass(frozen=True)
class _Take:
    """The number of a batch to the batch: one gather an array, not one example at a time.

    Grain's own shuffle and batch go through the examples singly, which was measured at 50
    microseconds each; here an epoch's order is one permutation.
    """

    source: Source
    batch_size: int
    seed: int
    process: tuple[int, int]

    def __call__(self, batch: int, _: object) -> Split:
        count, (process, processes) = len(self.source), self.process
        epoch, place = divmod(int(batch), count // self.batch_size)
        share = self.batch_size // processes
        first = place * self.batch_size + process * share
        return self.source.gather(_order(count, self.seed, epoch)[first : first + share])


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """Arrays as a source."""

    split: Split

    def __len__(self) -> int:
        return len(self.split.x)

    def gather(self, rows: np.ndarray) -> Split:
        return Split(self.split.x[rows], self.split.y[rows])


@functools.lru_cache(maxsize=2)  # the threads that read ahead may straddle two epochs
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return permutation(count, (seed, epoch))


def grain_loader(
    split: Split | Source,
    *,
    batch_size: int,
    seed: int,
    epochs: int | None = None,
    worker_count: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> "grain.DatasetIterator":
    """Stream shuffled batches ``(x, y)``; each epoch in another order, its remainder dropped.

    Data that fit on the device train faster from there; this is for those that do not. The
    arrays may be memory-mapped files (``np.load(path, mmap_mode="r")``).

    Args:
      split: NumPy arrays of the same length; or a source: :class:`TokenFile`,
        :class:`ImageFolder`, :class:`HuggingFaceSource`, or anything with a length and
        ``gather(rows)``.
      batch_size: examples in a batch, those of all processes together.
      seed: makes the orders, in [0, 2**32).
      epochs: how often to go through the data; without end if ``None``.
      worker_count: processes that gather batches, each with a copy of the arrays; 0 gathers
        in threads of this one, which is enough for plain arrays. The batches are the same.
      process_index: which share of each batch this process reads, ``jax.process_index()``; one
        after the other, the shares are the batch of one process.
      process_count: how many there are, ``jax.process_count()``.

    Returns:
      An iterator. ``get_state()`` is its position, to be saved beside the model;
      ``set_state(position)`` of an iterator made with the same arguments goes on from there.

    Raises:
      ValueError: the arrays' lengths disagree, or an argument is out of range.
    """
    import grain

    where = "grain_loader"
    if hasattr(split, "gather"):
        source = cast(Source, split)
    else:
        x, y = cast(Split, split)
        require(len(x) == len(y), where, "y", y, f"a first axis of {len(x)}, that of `x`")
        source = _Arrays(Split(x, y))
    count = len(source)
    require(1 <= batch_size <= count, where, "batch_size", batch_size, f"a number in [1, {count}]")
    ok = process_count >= 1 and batch_size % process_count == 0
    needs = f"a divisor of `batch_size`, {batch_size}"
    require(ok, where, "process_count", process_count, needs)
    ok = 0 <= process_index < process_count
    require(ok, where, "process_index", process_index, f"a number in [0, {process_count})")
    require(0 <= seed < 2**32, where, "seed", seed, "a number in [0, 2**32)")
    require(epochs is None or epochs >= 1, where, "epochs", epochs, "at least 1, or None")
    require(worker_count >= 0, where, "worker_count", worker_count, "at least 0")
    batches = (
        grain.MapDataset.range(count // batch_size)
        .repeat(epochs)
        .map_with_index(_Take(source, batch_size, seed, (process_index, process_count)))
        .to_iter_dataset()
    )
    if worker_count:
        from absl import flags

        # Grain reads its settings from the command line's flags, which only absl's own
        # programs parse (grain 0.2.18).
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=worker_count))
    return iter(batches)
