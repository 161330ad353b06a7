"""How a job comes by `pipegraft`: the lines of shell that every template begins with.

Nothing is installed unless the team said what and from where: the name on a public index is anybody's. Python
runs isolated (``-I``), since a repository's own ``pip.py`` would run with the job's tokens, and installs into
a new folder, which an externally managed Python (PEP 668) allows.
"""

from __future__ import annotations

import re

from pipegraft.core.errors import UsageError

__all__ = ["check_packages", "provision"]

_SAID = re.compile(
    r"(^|\s)(--index-url|--extra-index-url|-i|--find-links|-f|--require-hashes|-r|--requirement)\b"
)
_WHEEL = re.compile(r"(^|\s)\S*\.whl(#\S*)?($|\s)")
_HASH = re.compile(r"#sha256=[0-9a-f]{64}\b")

_LINES = """\
if ! command -v pipegraft >/dev/null; then
  case " $PIPEGRAFT_PACKAGES" in
    " ")
      echo "pipegraft is not installed here: name an image that has it, or what pip installs ({option})" >&2
      exit 2 ;;
    *://* | *" -"* | *" /"* | *" ./"*) ;;
    *)
      if [ -z "$PIP_INDEX_URL" ]; then
        echo "'$PIPEGRAFT_PACKAGES' names no index, wheel or list of requirements to come from ({option})" >&2
        exit 2
      fi ;;
  esac
  PIPEGRAFT_INSTALLED="$(mktemp -d)"
  trap 'rm -rf "$PIPEGRAFT_INSTALLED"' EXIT
  python3 -I -m pip install -q --target "$PIPEGRAFT_INSTALLED" $PIPEGRAFT_PACKAGES || exit 3
  export PYTHONPATH="$PIPEGRAFT_INSTALLED" PATH="$PIPEGRAFT_INSTALLED/bin:$PATH"
fi
case "$(pipegraft --version)" in
  *" {series}."*) ;;
  *) echo "made for pipegraft {series}, found: $(pipegraft --version)" >&2; exit 2 ;;
esac
"""


def provision(version: str, option: str) -> str:
    """Shell that finds or installs the program, and checks that it is of the templates' series.

    Arguments:
        version: the templates' version, such as ``0.2.1``; any release of ``0.2`` fits.
        option: what to set where the program is not there, for the message.

    Returns:
        Lines for a POSIX shell; they read ``PIPEGRAFT_PACKAGES``.
    """
    series = ".".join(version.split(".")[:2])
    return _LINES.format(series=series, option=option)


def check_packages(packages: str) -> None:
    """See that packages come from where somebody said, and are what somebody checked.

    Raises:
        UsageError: a name without an index, or a wheel without a hash.
    """
    if not packages:
        return
    if _WHEEL.search(packages):
        if "://" in packages and not _HASH.search(packages):
            raise UsageError(
                f"expected a wheel with its hash, found {packages!r}",
                fix="write --packages 'https://…/pipegraft-….whl#sha256=…'; `make wheel` prints the hash",
            )
    elif not _SAID.search(packages):
        raise UsageError(
            f"expected where {packages!r} comes from, found only a name: on a public index it is anybody's",
            fix="write --packages '--index-url https://… pipegraft==…', a wheel's URL with #sha256=…, "
            "or '--require-hashes -r FILE'",
        )
