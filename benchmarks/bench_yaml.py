"""One scalar in a 1 MB YAML file: the span editor against ruamel.yaml's round trip, in the same run."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

from ruamel.yaml import YAML

from pipegraft.text.yaml import Put, Remove, apply, get_value, set_values

BAR = 25.0
SERVICES = 3700
ROUNDS = 7
ENTRY = """\
service-{n}:
  image: registry.example.com/team/app-{n}@sha256:{n:064x}   # pinned
  replicas: {replicas}
  env:
  - name: LOG_LEVEL
    value: "info"
  - {{name: REGION, value: 'eu-{n}'}}

  notes: >-
    kept as
    it was
"""


def main() -> None:
    """Print the times, their ratio, and what each changed."""
    text = "".join(ENTRY.format(n=n, replicas=n % 7) for n in range(SERVICES))
    old = get_value(text, (f"service-{SERVICES // 2}", "image"))
    assert isinstance(old, str)
    new = f"{old[:-4]}beef"
    expected = text.replace(old, new)
    print(f"{len(text) / 1e6:.2f} MB, {text.count(chr(10)):,} lines, one digest replaced")
    ruamel_seconds, printed = _timed(lambda: _round_trip(text, new), rounds=1)
    _print("ruamel.yaml round trip", ruamel_seconds, _changed(text, printed))
    paths = {
        where: f"service-{n}.image"
        for where, n in (("first", 0), ("middle", SERVICES // 2), ("last", SERVICES - 1))
    }
    for where, path in paths.items():
        seconds, after = _timed(lambda path=path: set_values(text, {path: new}))  # type: ignore[misc]
        changed = _changed(text, after)
        assert where != "middle" or after == expected, "another byte changed"
        ratio = ruamel_seconds / seconds
        bar = f"  bar {BAR}" if where == "middle" else ""
        _print(f"set_values, {where} entry", seconds, changed, f"{ratio:6.1f} x{bar}")
    edits = [Put(("gray",), {"weight": 5, "images": {"web": new}}), Remove(("gray",))]
    seconds, after = _timed(lambda: apply(text, edits))
    assert after == text
    _print("a gray block put and taken out", seconds, 0)


def _print(what: str, seconds: float, changed: int, note: str = "") -> None:
    print(f"{what:<32} {1000 * seconds:9.1f} ms  {changed:6,} lines changed  {note}".rstrip())


def _round_trip(text: str, new: str) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    data = yaml.load(text)
    data[f"service-{SERVICES // 2}"]["image"] = new
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _timed(run: Callable[[], str], rounds: int = ROUNDS) -> tuple[float, str]:
    """The best time of some rounds, and what came out."""
    best, result = float("inf"), ""
    for _ in range(rounds):
        started = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - started)
    return best, result


def _changed(before: str, after: str) -> int:
    """How many lines of the text before are gone."""
    kept = set(after.splitlines())
    return sum(line not in kept for line in before.splitlines())


if __name__ == "__main__":
    main()
