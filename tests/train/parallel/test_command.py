"""``jaxnn train --mesh``, in this process, as a user types it."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.cli import main
from jaxnn.cli._models import Devices, make_layout, with_split_heads

SMALL = ["--record-every", "4", "--evaluate-every", "8", "--checkpoint-every", "4"]
SMALL += ["--hidden", "16", "--batch-size", "32", "--name", "a", "--json"]
TRAIN = ["train", "mlp", "wine", "--steps", "8", *SMALL]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(capsys, *argv):
    assert main(argv) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def records(folder):
    return [json.loads(row) for row in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_on_a_mesh_says_so(folder, capsys):
    devices = {"mesh": "data=2,model=4", "fully_sharded": True}
    few = ["train", "mlp", "wine", "--steps", "2", "--hidden", "16", "--name", "a", "--json"]
    done = trained(capsys, *few, "--mesh", devices["mesh"], "--fully-sharded")
    assert done["steps"] == 2
    assert 0 < done["test_loss"] < 10
    assert json.loads((folder / "runs" / "a" / "config.json").read_text())["devices"] == devices


@pytest.mark.slow
def test_another_mesh_continues_a_run(folder, capsys):
    """The end is lost and trained again, on other devices: the records are the same."""
    run = folder / "runs" / "a"
    want = trained(capsys, *TRAIN, "--mesh", "data=2,model=4", "--fully-sharded")
    before = records(run)
    # Read back where there is no mesh.
    again = trained(capsys, "evaluate", "a", "--json")
    assert again["test_loss"] == pytest.approx(want["test_loss"], abs=1e-5)

    (run / "checkpoints" / "8").rename(folder / "lost")
    other = trained(capsys, *TRAIN, "--resume", "--mesh", "data=-1")
    assert other["steps"] == 8
    assert other["test_loss"] == pytest.approx(want["test_loss"], abs=1e-5)
    after = records(run)
    assert [r["step"] for r in after] == [4, 8]
    np.testing.assert_allclose([r["loss"] for r in after], [r["loss"] for r in before], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["mlp", "wine", "--mesh", "data=16"], "--mesh: make_mesh: .*needs 16 devices, and there"),
        (["mlp", "wine", "--mesh", "rows=2"], "axis 'rows'; the axes are data, fsdp, model"),
        (["mlp", "wine", "--fully-sharded"], "--fully-sharded needs --mesh"),
        (["mlp", "wine", "--mesh", "model=2", "--fully-sharded"], "needs an axis data or fsdp"),
        (["spiking-conv", "digits", "--mesh", "model=2"], "spiking-conv has no rules"),
        (["mlp", "wine", "--mesh", "data=8", "--batch-size", "20"], "parts of 20 .* 8 devices"),
        (["mlp", "wine", "--mesh", "model=8", "--hidden", "20"], "dense_1/kernel of shape"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(folder, capsys, options, message):
    assert main(["train", *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("jaxnn train: ")
    assert re.search(message, line), line
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("heads", "split"), [(4, True), (3, False)])
def test_heads_that_the_axis_divides_stay_split(heads, split):
    """And what a device then computes is the attention that was asked for."""
    layout = make_layout("vit", Devices(mesh="data=4,model=2"))
    network = models.VisionTransformer(outputs=3, features=12, num_heads=heads)
    got = with_split_heads(network, layout)
    assert (got.attention is network.attention) != split
    rng = np.random.default_rng(0)
    qkv = [jnp.asarray(rng.normal(size=(4, 6, heads, 3)), jnp.float32) for _ in range(3)]
    np.testing.assert_allclose(got.attention(*qkv), network.attention(*qkv), atol=1e-6)
    assert with_split_heads(network, None) is network
