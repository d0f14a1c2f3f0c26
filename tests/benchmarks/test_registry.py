import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _registry

ROOT = Path(__file__).parents[2]


def test_benchmarks_are_found_by_file(tmp_path):
    for name in ("b_two", "a_one", "_machinery"):
        (tmp_path / f"{name}.py").write_text('"""What it times.\n\nMore.\n"""\nraise ImportError\n')
    assert _registry.names(tmp_path) == ("a-one", "b-two")
    assert _registry.about("a-one", tmp_path) == "What it times."


@pytest.mark.parametrize("name", _registry.names())
def test_every_file_describes_its_benchmark(name):
    assert _registry.about(name).endswith(".")
    benchmark = _registry.load(name)
    assert benchmark.name == name
    assert benchmark.others
    assert benchmark.shapes


@pytest.mark.slow
def test_describing_benchmarks_imports_no_peer():
    code = (
        "import sys; from benchmarks import _registry\n"
        "for name in _registry.names(): _registry.load(name)\n"
        "peers = {'torch', 'captum', 'snntorch', 'spyx', 'kan', 'jaxkan'}\n"
        "sys.exit(str(peers & set(sys.modules)) if peers & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
