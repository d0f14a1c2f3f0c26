import numpy as np
import pytest
from PIL import Image

from jaxnn import data


def loaded(source, **options):
    options = {"batch_size": 2, "seed": 0, "epochs": 1} | options
    return list(data.grain_loader(source, **options))


@pytest.mark.parametrize("kind", ["bare", "npy"])
def test_windows_of_a_token_file(tmp_path, kind):
    tokens = np.arange(60000, 60000 + 23, dtype=np.uint16)
    path = tmp_path / ("corpus.npy" if kind == "npy" else "corpus.bin")
    np.save(path, tokens) if kind == "npy" else tokens.tofile(path)
    source = data.TokenFile(path, context=5)
    assert len(source) == 4  # 4 x 5 tokens and the one after; two are left over
    x, y = source.gather(np.array([3, 0]))
    assert x.dtype == y.dtype == np.int32
    np.testing.assert_array_equal(x, [tokens[15:20], tokens[:5]])
    np.testing.assert_array_equal(y, [tokens[16:21], tokens[1:6]])
    seen = np.sort(np.concatenate([x.ravel() for x, _ in loaded(source)]))
    np.testing.assert_array_equal(seen, tokens[:20])


@pytest.mark.parametrize(("count", "windows"), [(10, 1), (11, 2), (15, 2), (16, 3)])
def test_the_last_window_needs_the_token_after_it(tmp_path, count, windows):
    np.arange(count, dtype=np.uint16).tofile(tmp_path / "corpus.bin")
    source = data.TokenFile(tmp_path / "corpus.bin", context=5)
    assert len(source) == windows
    _, y = source.gather(np.arange(windows))
    assert y.max() == 5 * windows


def test_shares_of_processes_are_the_batch_of_one():
    split = data.Split(np.arange(20) * 10, np.arange(20))
    whole = loaded(split, batch_size=6)
    shares = [loaded(split, batch_size=6, process_index=i, process_count=3) for i in range(3)]
    assert len(whole) == 3
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [len(x) for x, _ in parts] == [2, 2, 2]
        np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), batch[0])
        np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), batch[1])


def test_a_position_in_a_token_file_goes_on(tmp_path):
    np.arange(101, dtype=np.uint16).tofile(tmp_path / "corpus.bin")
    source = data.TokenFile(tmp_path / "corpus.bin", context=4)
    through = data.grain_loader(source, batch_size=3, seed=1)
    for _ in range(9):
        next(through)
    position = through.get_state()
    want = [next(through)[0].tolist() for _ in range(4)]
    resumed = data.grain_loader(source, batch_size=3, seed=1)
    resumed.set_state(position)
    assert [next(resumed)[0].tolist() for _ in range(4)] == want


@pytest.fixture
def folder(tmp_path):
    """Two classes of plain images of one colour each, of several sizes and kinds."""
    images = {
        "cats/a.png": ((8, 6), (255, 0, 0)),
        "cats/deep/b.bmp": ((6, 12), (0, 255, 0)),
        "dogs/c.PNG": ((5, 5), (0, 0, 255)),
    }
    for name, (size, colour) in images.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)
    (tmp_path / "dogs" / "notes.txt").write_text("no image")
    (tmp_path / "index.txt").write_text("no class")
    return tmp_path


def test_images_of_a_folder(folder):
    source = data.ImageFolder(folder, size=(4, 3))
    assert source.classes == ("cats", "dogs")
    assert len(source) == 3
    x, y = source.gather(np.array([2, 0, 1]))
    assert x.dtype == np.float32
    assert y.tolist() == [1, 0, 0]
    want = np.eye(3, dtype=np.float32)[[2, 0, 1]]
    np.testing.assert_allclose(x, np.broadcast_to(want[:, None, None], (3, 4, 3, 3)))
    x, _ = data.ImageFolder(folder, size=(4, 3), channels=1).gather(np.array([0]))
    np.testing.assert_allclose(x, np.full((1, 4, 3, 1), np.round(0.299 * 255) / 255))


def test_the_longer_side_is_cut_around_the_centre(tmp_path):
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 255
    (tmp_path / "one").mkdir()
    Image.fromarray(pixels).save(tmp_path / "one" / "a.png")
    x, _ = data.ImageFolder(tmp_path, size=(4, 4)).gather(np.array([0]))
    np.testing.assert_array_equal(x, 1)


class Columns:
    """What of a datasets.Dataset is used."""

    column_names = ("a", "b", "words", "label")

    def __init__(self):
        self.columns = {"a": [1.5, 2.5, 3.5], "b": [1.0, 2.0, 3.0]}
        self.columns |= {"words": ["x", "y", "z"], "label": [0, 1, 0]}
        self.column_names = list(self.columns)

    def __len__(self):
        return 3

    def __getitem__(self, rows):
        return {name: [values[row] for row in rows] for name, values in self.columns.items()}


def hugging_face():
    if (datasets := pytest.importorskip("datasets", reason="extra `datasets`")) is None:
        return None
    return datasets.Dataset.from_dict(Columns().columns)


@pytest.mark.parametrize("make", [Columns, hugging_face])
def test_columns_of_a_data_set(make):
    dataset = make()
    x, y = data.HuggingFaceSource(dataset, x=("a", "b"), y="label").gather(np.array([2, 0]))
    np.testing.assert_array_equal(x, np.float32([[3.5, 3.0], [1.5, 1.0]]))
    assert y.dtype == np.int32
    assert y.tolist() == [0, 0]
    x, _ = data.HuggingFaceSource(dataset, x="b", y="label").gather(np.array([1]))
    assert x.tolist() == [2.0]
    source = data.HuggingFaceSource(dataset, x="words", y="label")
    with pytest.raises(ValueError, match="column 'words' makes no array of numbers"):
        source.gather(np.array([0]))
    with pytest.raises(ValueError, match="there is no column 'c'"):
        data.HuggingFaceSource(dataset, x="c", y="label")


def test_what_is_no_source_is_named(tmp_path, folder):
    path = tmp_path / "corpus.bin"
    np.arange(5, dtype=np.uint16).tofile(path)
    with pytest.raises(ValueError, match="has 5 tokens; `context` 5 needs 6"):
        data.TokenFile(path, context=5)
    with pytest.raises(ValueError, match="has 10 bytes; `dtype` uint32 needs a multiple of 4"):
        data.TokenFile(path, context=2, dtype=np.uint32)
    with pytest.raises(ValueError, match="there is no such file"):
        data.TokenFile(tmp_path / "none", context=2)
    np.save(tmp_path / "floats.npy", np.zeros(9))
    with pytest.raises(ValueError, match="holds float64 in shape"):
        data.TokenFile(tmp_path / "floats.npy", context=2)
    with pytest.raises(ValueError, match="there is no such folder"):
        data.ImageFolder(tmp_path / "none", size=(2, 2))
    with pytest.raises(ValueError, match="`size` is"):
        data.ImageFolder(folder, size=(0, 2))
    (folder / "dogs" / "broken.png").write_bytes(b"\x89PNG no more")
    source = data.ImageFolder(folder, size=(2, 2))
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
        source.gather(np.arange(len(source)))
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="class 'empty' has no image"):
        data.ImageFolder(folder, size=(2, 2))
    with pytest.raises(ValueError, match=r"it needs a datasets\.Dataset"):
        data.HuggingFaceSource(iter([]), x="a", y="b")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"process_count": 3}, "`process_count` is 3; it needs a divisor of `batch_size`, 4"),
        ({"process_count": 2, "process_index": 2}, r"`process_index` is 2; it needs a number in"),
    ],
)
def test_bad_shares_are_named(options, match):
    split = data.Split(np.arange(8), np.arange(8))
    with pytest.raises(ValueError, match=match):
        loaded(split, batch_size=4, **options)
