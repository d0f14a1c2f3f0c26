"""A file of one's own as a sequence of bytes."""

import numpy as np
import pytest

from jaxnn import data


def test_a_file_is_cut_in_two_and_loses_no_byte(tmp_path):
    content = bytes(range(200)) + "é\r\n".encode()
    (tmp_path / "mine.txt").write_bytes(content)
    dataset = data.load_text(tmp_path / "mine.txt", test_fraction=0.25)
    for split in (dataset.train, dataset.test):
        assert split.x.dtype == split.y.dtype == np.uint8
        np.testing.assert_array_equal(split.x[1:], split.y[:-1])
    parts = [bytes(split.x) + bytes(split.y[-1:]) for split in (dataset.train, dataset.test)]
    assert b"".join(parts) == content
    assert len(parts[1]) == 51
    assert (dataset.name, dataset.num_classes) == ("mine", 256)
    rows = data.windows(dataset.train, length=10)
    assert rows.x.shape == (15, 10)


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        (None, {}, "there is no such file"),
        (b"", {}, "the file is empty"),
        (b"a" * 10, {}, "10 bytes are too few"),
        (b"a" * 100, {"test_fraction": 1.0}, r"`test_fraction` is 1.0; it needs to be in \(0, 1\)"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, options, match):
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"load_text\('.*mine.txt'\): " + match):
        data.load_text(path, **options)
    with pytest.raises(ValueError, match="this is a directory"):
        data.load_text(tmp_path)
