"""``python -m benchmarks [AREA…]``: every ``bench_*.py``, or those named."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> None:
    """Run the benchmarks one after another."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
    areas = sys.argv[1:] or sorted(
        path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")
    )
    for area in areas:
        print(f"== {area}", flush=True)
        importlib.import_module(f"benchmarks.bench_{area}").main()
        print(flush=True)


if __name__ == "__main__":
    main()
