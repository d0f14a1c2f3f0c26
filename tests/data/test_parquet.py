import numpy as np
import pytest

from jaxnn import data

pa = pytest.importorskip("pyarrow", reason="extra `parquet`")
parquet = pytest.importorskip("pyarrow.parquet", reason="extra `parquet`")

ROWS = {
    "width": [float(n) for n in range(10)],
    "count": list(range(10, 20)),
    "old": [n % 3 == 0 for n in range(10)],
    "kind": ["b", "a"] * 5,
}


@pytest.fixture
def path(tmp_path):
    def write(**columns):
        path = tmp_path / "table.parquet"
        parquet.write_table(pa.table(ROWS | columns), path)
        return path

    return write


def csv_of(tmp_path, columns):
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path / "table.csv"


@pytest.mark.parametrize("target", ["kind", "width", "count"])
def test_is_the_data_of_a_csv(path, tmp_path, target):
    """The same table as text, truth values as 0 and 1; a target of integers told to regress."""
    task = "regression" if target == "count" else None
    kinds = ROWS["kind"] if target == "kind" else [int(kind == "a") for kind in ROWS["kind"]]
    columns = dict(ROWS, old=[int(value) for value in ROWS["old"]], kind=kinds)
    got = data.load_parquet(path(kind=kinds), target=target, seed=3, task=task)
    want = data.load_csv(csv_of(tmp_path, columns), target=target, seed=3, task=task)
    assert got.feature_names == want.feature_names
    assert got.class_names == want.class_names
    assert (got.task, got.target_mean, got.target_scale) == (
        want.task,
        want.target_mean,
        want.target_scale,
    )
    for ours, theirs in zip((got.train, got.test), (want.train, want.test), strict=True):
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.y, theirs.y)


def test_what_cannot_serve_is_named(path, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'kind'"):
        data.load_parquet(path(), target="kinds")
    with pytest.raises(ValueError, match="column 'kind' holds str values"):
        data.load_parquet(path(), target="width")
    with pytest.raises(ValueError, match="'width' lacks 1"):
        data.load_parquet(path(width=[None, *ROWS["width"][1:]]), target="kind")
    with pytest.raises(ValueError, match="column 'width' holds inf in row 0"):
        data.load_parquet(path(width=[np.inf, *ROWS["width"][1:]]), target="kind")
    (tmp_path / "no.parquet").write_text("no table")
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        data.load_parquet(tmp_path / "no.parquet", target="kind")
    with pytest.raises(ValueError, match="there is no such file"):
        data.load_parquet(tmp_path / "none.parquet", target="kind")
