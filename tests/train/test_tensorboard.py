import sys

import pytest

from jaxnn import train


def test_writes_each_value_at_its_step(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    write = train.tensorboard_writer(tmp_path)
    write({"step": 10, "seconds": 0.5, "loss": 0.25})
    write({"step": 20, "seconds": 1.0, "loss": 0.125, "test_accuracy": 0.75})
    (path,) = tmp_path.iterdir()
    content, place, found = path.read_bytes(), 0, []
    while place < len(content):
        # A record: its length in 8 bytes, a checksum of 4, the event, a checksum of 4.
        length = int.from_bytes(content[place : place + 8], "little")
        event = Event.FromString(content[place + 12 : place + 12 + length])
        place += 12 + length + 4
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    assert found == [
        (10, "seconds", 0.5),
        (10, "loss", 0.25),
        (20, "seconds", 1.0),
        (20, "loss", 0.125),
        (20, "test_accuracy", 0.75),
    ]


def test_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxnn\[tensorboard\]'"):
        train.tensorboard_writer(tmp_path)
