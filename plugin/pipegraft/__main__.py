"""Start of the program: one exit-code map, and as little imported as possible."""

from __future__ import annotations

import gc
import sys

from pipegraft import __version__
from pipegraft.cli import run


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.argv[1:] == ["--version"]:  # asked for by scripts, often: answer before the command line loads
        sys.stdout.write(f"pipegraft {__version__}\n")
        return
    gc.set_threshold(100_000, 20, 20)  # what imports make lives to the end: not worth looking through
    code = run()
    gc.freeze()  # nor worth it at the end: the interpreter would look through all of it twice more
    sys.exit(code)


if __name__ == "__main__":
    main()
