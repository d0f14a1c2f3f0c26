"""Importing jaxnn is light, and its links lead into the package."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("sklearn", "matplotlib", "grain", "orbax", "rich.progress", "tyro", "jinja2")


def modules_after(statement):
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_import_is_light():
    loaded = modules_after("import jax, flax.linen, optax")
    loaded = modules_after("import jax, flax.linen, optax, jaxnn") - loaded
    assert {name for name in loaded if not name.startswith("jaxnn")} == set()
    assert loaded == {"jaxnn", "jaxnn._lazy", "jaxnn._version"}


@pytest.mark.parametrize("room", ["layers", "models", "train", "analysis", "data", "claims"])
def test_rooms_do_not_import_what_only_some_of_them_need(room):
    before = modules_after("import jax, flax.linen, optax")
    loaded = modules_after(f"import jax, flax.linen, optax, jaxnn\njaxnn.{room}") - before
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("room", ["layers", "train", "analysis"])
def test_links_lead_into_the_package(room):
    assert (ROOT / room).is_symlink()
    assert (ROOT / room).resolve() == ROOT / "jaxnn" / room


def test_unknown_name_is_an_attribute_error():
    import jaxnn

    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = jaxnn.nonsense
