"""What the pages on security promise is proven: every sentence names tests, and they exist.

A proof is a comment in the page's source behind a sentence, a row or a point: ``<!-- test_name … -->``.
Advice, and what only others can do, carries ``<!-- yours -->``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROOF = re.compile(r"<!-- (yours|test_\w+(?: test_\w+)*) -->")
SENTENCE = re.compile(r"[^.!?]*?[.!?](?=\s|$)", re.DOTALL)


def sections() -> dict[str, str]:
    security = (ROOT / "docs" / "security.md").read_text()
    guard = (ROOT / "docs" / "guard.md").read_text()
    return {"security": security, "the guard": guard}


def statements(text: str) -> list[str]:
    """Sentences, points and rows, each up to its proof; not headings, blocks and lead-ins."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^#.*$|^<!-- (?:run|set-up)[^>]*-->$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\|[^\n]*\n\|[-|: ]+\|$", "", text, flags=re.MULTILINE)
    found = []
    for part in re.split(r"\n\s*\n|\n(?=[-|])", text):
        rest = part.strip()
        if rest.endswith(":") and not rest.startswith(("-", "|")):
            continue
        while rest.strip("| \n"):
            proof = PROOF.search(rest)
            found.append(rest[: proof.end()] if proof else rest)
            rest = rest[proof.end() :] if proof else ""
    return found


def known_tests() -> set[str]:
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        if "node_modules" not in path.parts
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("section", ["security", "the guard"])
def test_every_sentence_names_a_test_that_exists(section: str) -> None:
    said, tests = statements(sections()[section]), known_tests()
    assert len(said) > 10
    for one in said:
        proof = PROOF.search(one)
        assert proof, f"nothing proves: {one}"
        if not one.startswith(("-", "|")):
            bare = re.sub(r"`[^`]*`|\([^)]*\)", "x", one[: proof.start()])
            assert len(SENTENCE.findall(bare)) <= 1, f"several sentences have one proof: {one}"
        if proof[1] != "yours":
            assert set(proof[1].split()) <= tests, f"there is no such test: {set(proof[1].split()) - tests}"
