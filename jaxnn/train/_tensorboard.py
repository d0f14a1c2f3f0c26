"""Records as TensorBoard scalars (extra ``tensorboard``)."""

import time
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
        # SummaryWriter hands values to a thread that writes them within two minutes, if the
        # process lives that long; these write at once.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.summary import scalar
    except ImportError as error:
        raise ImportError(
            "tensorboard_writer: needs tensorboardX; pip install 'jaxnn[tensorboard]'."
        ) from error
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Names have the second they were made in; the suffix keeps a resumed run's file apart.
    writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")

    def write(record: dict[str, float]) -> None:
        for name, value in record.items():
            if name != "step":
                summary, step = scalar(name, float(value)), int(record["step"])
                writer.write_event(Event(summary=summary, step=step, wall_time=time.time()))
        writer.flush()

    return write
