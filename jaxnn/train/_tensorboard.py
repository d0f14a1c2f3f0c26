"""Records as TensorBoard scalars (extra ``tensorboard``)."""

from collections.abc import Callable
from pathlib import Path


def tensorboard_writer(folder: str | Path) -> Callable[[dict[str, float]], None]:
    """Make a function for ``fit(on_record=...)`` that writes each record as scalars.

    Args:
      folder: where TensorBoard reads, e.g. ``runs/NAME/tensorboard``.

    Returns:
      ``record -> None``.

    Raises:
      ImportError: tensorboardX is not installed (``pip install 'jaxnn[tensorboard]'``).
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "tensorboard_writer: needs tensorboardX; pip install 'jaxnn[tensorboard]'."
        ) from error
    writer = SummaryWriter(str(folder))

    def write(record: dict[str, float]) -> None:
        for name, value in record.items():
            if name != "step":
                writer.add_scalar(name, value, int(record["step"]))
        writer.flush()

    return write
