"""The README's Python is executed as it stands."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_every_example_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert len(names["texts"]) == 2
    assert names["maps"].shape == (360, 8, 8)
    assert names["history"][-1]["step"] == 200
    assert names["accuracy"]["accuracy"] > 0.9
