"""Sphinx configuration; the reference is generated from the packages' own lists of names."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

import generate  # noqa: E402 - found through the path above

import jaxnn  # noqa: E402

project = "jaxnn"
author = "The jaxnn developers"
copyright = "The jaxnn developers"
version = release = jaxnn.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = "jaxnn"
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}

# Notebooks are executed by the tests; here they are shown as committed.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # shapes are in the docstrings
autodoc_member_order = "bysource"
autodoc_mock_imports = []
napoleon_google_docstring = True
# Shapes such as "*batch time" would be read as emphasis.
napoleon_attr_annotations = False
suppress_warnings = ["myst.header", "misc.highlighting_failure", "ref.python"]


def setup(app):
    """Write the generated pages before Sphinx reads its sources."""
    app.connect("builder-inited", lambda app: generate.write_all(HERE))
