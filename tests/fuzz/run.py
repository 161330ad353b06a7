"""Fuzz our readers: ``run.py SECONDS [TARGET...]``; by coverage where atheris is installed, else by mutation.

Exit code 1 and the input in ``crash-…`` if anything but an error for people comes out.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

try:
    import atheris
except ImportError:  # it has no wheel for this interpreter
    atheris = None

if atheris is not None and sys.argv[1:2] == ["--one"]:
    with atheris.instrument_imports(include=["pipegraft"]):
        from targets import SEEDS, TARGETS
else:
    from targets import SEEDS, TARGETS

_SPECIAL = (
    b"\0",
    b"\xff",
    b"[" * 40,
    b"{a: " * 40,
    b"\n",
    b"&a ",
    b"*a",
    b"!!",
    b"\\",
    b'"',
    b"'",
    b"9" * 30,
    b"- ",
)


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """A seed with bytes changed, cut, repeated and put in."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 8)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.randint(0, 12))
        kind = chance.randrange(5)
        if kind == 0:
            data[at:end] = chance.choice(_SPECIAL)
        elif kind == 1:
            data[at:at] = bytes(data[at:end]) * chance.randint(1, 30)
        elif kind == 2:
            del data[at:end]
        elif kind == 3 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        else:
            data[at:at] = chance.randbytes(chance.randint(1, 4))
    return bytes(data[: 1 << 16])


def inputs(target: str, seed: int) -> Iterator[bytes]:
    """The seeds of a target, then mutations of them and of one another, without end."""
    chance, known = random.Random(seed), list(SEEDS[target])
    yield from known
    while True:
        data = mutated(chance.choice(known), chance)
        if chance.random() < 0.02 and len(known) < 500:
            known.append(data)
        yield data


def _mutate(target: str, seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    for data in inputs(target, time.time_ns()):
        count += 1
        try:
            TARGETS[target](data)
        except Exception:  # noqa: BLE001 - whatever it is, it is a find
            place = Path(f"crash-{target}")
            place.write_bytes(data)
            sys.stderr.write(f"{target}: {place} after {count} inputs\n{traceback.format_exc()}")
            return 1
        if time.monotonic() > end:
            break
    sys.stdout.write(f"{target}: {count} inputs, no crash\n")
    return 0


def _cover(target: str, seconds: float) -> int:
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[target]):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds:.0f}", "-max_len=65536", "-rss_limit_mb=4096", "-timeout=30"]
        options = [*limits, f"-artifact_prefix=crash-{target}-", "-print_final_stats=1", corpus]
        return subprocess.run([sys.executable, __file__, "--one", target, *options], check=False).returncode


def main(words: list[str]) -> int:
    """Fuzz one target after another."""
    if words[0] == "--one":
        atheris.Setup([sys.argv[0], *words[2:]], TARGETS[words[1]])
        atheris.Fuzz()
    seconds = float(words[0])
    fuzz = _cover if atheris is not None else _mutate
    return max(fuzz(target, seconds) for target in words[1:] or TARGETS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
