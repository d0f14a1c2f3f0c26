"""Batches from data that stay off the device, with a position that a checkpoint can hold."""

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from jaxnn._check import require
from jaxnn.data._dataset import Split, permutation

if TYPE_CHECKING:
    import grain


@dataclasses.dataclass(frozen=True)
class _Take:
    """The number of a batch to the batch: one gather an array, not one example at a time.

    Grain's own shuffle and batch go through the examples singly, which was measured at 50
    microseconds each; here an epoch's order is one permutation.
    """

    split: Split
    batch_size: int
    seed: int

    def __call__(self, batch: int, _: object) -> Split:
        count = len(self.split.x)
        epoch, place = divmod(int(batch), count // self.batch_size)
        order = _order(count, self.seed, epoch)
        indices = order[place * self.batch_size : (place + 1) * self.batch_size]
        return Split(self.split.x[indices], self.split.y[indices])


@functools.lru_cache(maxsize=2)  # the threads that read ahead may straddle two epochs
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return permutation(count, (seed, epoch))


def grain_loader(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    epochs: int | None = None,
    worker_count: int = 0,
) -> "grain.DatasetIterator":
    """Stream shuffled batches ``(x, y)``; each epoch in another order, its remainder dropped.

    Data that fit on the device train faster from there; this is for those that do not. The
    arrays may be memory-mapped files (``np.load(path, mmap_mode="r")``).

    Args:
      split: NumPy arrays of the same length.
      batch_size: examples in a batch.
      seed: makes the orders, in [0, 2**32).
      epochs: how often to go through the data; without end if ``None``.
      worker_count: processes that gather batches, each with a copy of the arrays; 0 gathers
        in threads of this one, which is enough for plain arrays. The batches are the same.

    Returns:
      An iterator. ``get_state()`` is its position, to be saved beside the model;
      ``set_state(position)`` of an iterator made with the same arguments goes on from there.

    Raises:
      ValueError: the arrays' lengths disagree, or an argument is out of range.
    """
    import grain

    where, (x, y) = "grain_loader", split
    require(len(x) == len(y), where, "y", y, f"a first axis of {len(x)}, that of `x`")
    require(
        1 <= batch_size <= len(x), where, "batch_size", batch_size, f"a number in [1, {len(x)}]"
    )
    require(0 <= seed < 2**32, where, "seed", seed, "a number in [0, 2**32)")
    require(epochs is None or epochs >= 1, where, "epochs", epochs, "at least 1, or None")
    require(worker_count >= 0, where, "worker_count", worker_count, "at least 0")
    batches = (
        grain.MapDataset.range(len(x) // batch_size)
        .repeat(epochs)
        .map_with_index(_Take(Split(x, y), batch_size, seed))
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
