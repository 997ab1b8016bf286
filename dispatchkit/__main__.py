"""`python -m dispatchkit` and the installed `dispatchkit`."""

import sys

from dispatchkit.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
