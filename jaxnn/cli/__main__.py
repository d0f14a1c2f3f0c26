"""``python -m jaxnn.cli``: the command line without the installed script."""

import sys

from jaxnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
