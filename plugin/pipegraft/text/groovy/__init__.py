"""Groovy, read by its tokens: where strings, comments and blocks begin and end, never what they do."""

from __future__ import annotations

from pipegraft.text.groovy.script import Script, Span, Statement, parse
from pipegraft.text.groovy.tokens import Token, place_of, scan, string_value

__all__ = ["Script", "Span", "Statement", "Token", "parse", "place_of", "scan", "string_value"]
