"""What Jenkinsfiles are made of: definitions, statements with blocks, and the words that open them."""

from __future__ import annotations

from collections.abc import Iterator

from pipegraft.text.groovy import Script, Statement

__all__ = ["block_of", "blocks", "is_definition", "method_name", "opener_index"]

_MODIFIERS = frozenset(
    {"def", "public", "private", "protected", "static", "final", "abstract", "synchronized"}
)
_BUILTIN_TYPES = frozenset({"void", "boolean", "byte", "char", "short", "int", "long", "float", "double"})
_CLASSES = frozenset({"class", "interface", "enum", "trait"})
_ENDINGS = frozenset({"return", "throw", "break", "continue"})


def block_of(script: Script, statement: Statement) -> Statement | None:
    """What the braces hold that a statement ends in, or None."""
    if script.word(statement.last) != "}":
        return None
    return script.inside(script.partner[statement.last])


def is_definition(script: Script, statement: Statement) -> bool:
    """Whether a statement defines a method or a class."""
    words = [index for index in script.top_level(statement) if script.code[index].kind == "word"]
    if any(script.word(index) in _CLASSES and script.word(index - 1) != "." for index in words[:4]):
        return True
    return method_name(script, statement) is not None


def method_name(script: Script, statement: Statement) -> str | None:
    """The name, if the statement defines a method: ``def x(…) {``, ``Map<String, String> x(…) {``."""
    if script.word(statement.last) != "}":
        return None
    close = _before(script, script.partner[statement.last])
    if script.word(close) != ")" or close <= statement.first:
        return None
    name = script.partner[close] - 1
    kind = script.word(name - 1) if name > statement.first else ""
    typed = kind in _MODIFIERS | _BUILTIN_TYPES or kind in (">", "]") or kind[:1].isupper()
    called = any(script.word(index) in ("=", "return", "new") for index in script.top_level(statement))
    return script.word(name) if typed and not called else None


def _before(script: Script, index: int) -> int:
    index -= 1
    while index > 0 and script.code[index].kind == "newline":
        index -= 1
    return index


def blocks(script: Script, statement: Statement) -> Iterator[tuple[int, str]]:
    """Braces of a statement that no other braces enclose, each with the word that opens it.

    The word is that of the call or the keyword; ``=`` for a closure that is a value.
    """
    index = statement.first
    while index <= statement.last:
        if script.word(index) == "{" and script.code[index].kind == "open":
            yield index, _opener(script, statement, index)
            index = script.partner[index]
        index += 1


def _opener(script: Script, statement: Statement, brace: int) -> str:
    at = opener_index(script, statement, brace)
    return "=" if at < 0 else script.word(at)


def opener_index(script: Script, statement: Statement, brace: int) -> int:
    """Index of the word that opens a block; -1 for a value."""
    before = _before(script, brace)
    if before < statement.first:
        return -1
    if script.code[before].kind == "word":
        return -1 if script.word(before) in _ENDINGS else before
    if script.word(before) == ")":
        return script.partner[before] - 1
    if script.word(before) == "}":  # a second closure of the same call
        return opener_index(script, statement, script.partner[before])
    if script.word(before) not in (",", "("):
        return -1
    enclosing = _enclosing(script, statement, brace)
    if enclosing >= 0:
        return enclosing - 1 if script.word(enclosing) == "(" else -1
    return statement.first if script.word(statement.first) != "def" else -1


def _enclosing(script: Script, statement: Statement, index: int) -> int:
    """Index of the bracket within the statement that encloses a token, or -1."""
    index -= 1
    while index >= statement.first:
        kind = script.code[index].kind
        if kind == "open":
            return index
        index = (script.partner[index] if kind == "close" else index) - 1
    return -1
