"""What looks like a key or a token: built-in forms, and gitleaks' rules where its configuration is given."""

from __future__ import annotations

import base64
import bisect
import bz2
import html
import itertools
import lzma
import math
import re
import tomllib
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote

from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.reading import load_marked_all

__all__ = ["BUILT_IN", "MEANT", "SecretForm", "read_gitleaks", "searchable", "secrets_in"]

MEANT = "pipegraft:not-secret"
"""A comment behind a line that looks like a secret and is none."""
_REVOKE_IT = "keep it in the secret store, refer to it by name, and revoke this one"
_BEGIN_PRIVATE = "LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,60}(?:UFJJVkFURS|QUklWQVRF|BSSVZBVE)"
"""`-----BEGIN …PRIVATE` in base64, at each of the three ways in which it can be divided."""


@dataclass(frozen=True, slots=True)
class SecretForm:
    """One kind of secret.

    Arguments:
        name: as messages say it.
        pattern: finds it.
        keywords: in small letters; one stands in every text that holds such a secret. None: look always.
        group: of the pattern, which is the secret; the first that took part if None.
        entropy: bits a character that the secret has more than (Shannon); 0 for none.
        allowed: what finds itself in the secret makes it none.
    """

    name: str
    pattern: re.Pattern[str]
    keywords: tuple[str, ...] = ()
    group: int | None = None
    entropy: float = 0.0
    allowed: tuple[re.Pattern[str], ...] = ()

    def find(self, text: str, lowered: str) -> Iterator[re.Match[str]]:
        """Where such secrets stand.

        Arguments:
            lowered: the text in small letters.
        """
        if self.keywords and not any(word in lowered for word in self.keywords):
            return
        for found in self.pattern.finditer(text):
            secret = found[self.group] if self.group else found[found.lastindex or 0]
            if self.entropy and _entropy(secret) <= self.entropy:
                continue
            if not any(one.search(secret) for one in self.allowed):
                yield found


_FORMS: dict[str, tuple[tuple[str, ...], str]] = {
    "a private key": (
        ("private key", "putty-user-key-file"),
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d",
    ),
    "a private key in base64": (("ls0tls1crudjti",), _BEGIN_PRIVATE),
    "an age key": (("age-secret-key-",), r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    "a GitLab token": (
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "gloas-", "glimt-"),
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt)-[\w-]{20,}",
    ),
    "a GitHub token": (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,})",
    ),
    "an AWS access key": (("akia", "asia", "abia", "acca"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    "an Azure storage key": (("accountkey=",), r"\bAccountKey=[A-Za-z0-9+/]{80,}"),
    "an Azure client secret": (("q~",), r"\b[\w~.]{3}\dQ~[\w~.-]{31,34}"),
    "a Google API key": (("aiza", "ya29."), r"\bAIza[\w-]{35}\b|\bya29\.[\w-]{30,}"),
    "a Slack token": (
        ("xox", "hooks.slack.com"),
        r"\bxox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{20,}",
    ),
    "an npm token": (("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    "a PyPI token": (("pypi-age",), r"\bpypi-AgE[\w-]{50,}"),
    "a Docker Hub token": (("dckr_",), r"\bdckr_(?:pat|oat)_[\w-]{20,}"),
    "credentials of a registry": (('"auth"',), r"\"auth\"\s*:\s*\"[A-Za-z0-9+/]{12,}={0,2}\""),
    "a Vault token": (("hvs.", "hvb."), r"\bhv[sb]\.[\w-]{24,}"),
    "a Terraform Cloud token": ((".atlasv1.",), r"\b\w{14}\.atlasv1\.[\w-]{60,}"),
    "a DigitalOcean token": (("_v1_",), r"\bdo[oprt]_v1_[a-f0-9]{64}\b"),
    "a Databricks token": (("dapi",), r"\bdapi[a-f0-9]{32}\b"),
    "a Grafana token": (("glsa_", "glc_"), r"\bgl(?:sa|c)_[\w+/=]{32,}"),
    "a SendGrid key": (("sg.",), r"\bSG\.[\w-]{16,}\.[\w-]{32,}"),
    "a Shopify token": (("shpat_", "shpca_", "shppa_", "shpss_"), r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    "a Telegram token": ((":aa",), r"\b\d{8,10}:AA[\w-]{33}\b"),
    "a Hugging Face token": (("hf_",), r"\bhf_[A-Za-z]{34}\b"),
    "a model provider's key": (("sk-",), r"\bsk-(?:ant-|proj-|svcacct-)[\w-]{24,}"),
    "a Stripe key": (("k_live_",), r"\b[sr]k_live_[A-Za-z0-9]{16,}"),
    "a signed web token": (("eyj",), r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "a password in a URL": (("://",), r"://[^\s/:@\"'{$]+:(?!\$|\{)[^\s/@\"'{$]{3,}@"),
}
BUILT_IN = tuple(
    SecretForm(what, re.compile(pattern), keywords) for what, (keywords, pattern) in _FORMS.items()
)
"""What is known without any configuration."""


def searchable(content: bytes) -> str:
    """Text to search, whatever the encoding: in UTF-16 and UTF-32, ASCII has zero bytes between."""
    return content.replace(b"\0", b"").decode("utf-8", "replace")


def secrets_in(
    text: str, known: str, place: str, forms: Sequence[SecretForm] = BUILT_IN
) -> Iterator[Problem]:
    """What looks like a secret, but for what was there before.

    Arguments:
        text: what to search.
        known: the text as it was.
        place: file or other name for messages.
        forms: what to look for.
    """
    before: set[str] | None = None
    told: set[tuple[str, int]] = set()
    for readable, place_of in _readings(text):
        if readable is None:
            message = f"packed text of more than {_MOST_UNPACKED // 1_000_000} MB: nobody looks into it"
            yield Problem(message, Place(place), "keep it in a registry or an object store")
            return
        lowered = readable.lower()
        for form in forms:
            looked_at = -1  # the end of the line of the last finding: one is enough for each
            for found in form.find(readable, lowered):
                start = place_of(found.start())
                if start <= looked_at:
                    continue
                first = text.rfind("\n", 0, start) + 1
                end = text.find("\n", start)
                line = text[first : end if end >= 0 else len(text)]
                looked_at = first + len(line)
                before = set(known.splitlines()) if before is None else before
                number = text.count("\n", 0, start) + 1
                if MEANT in line or line.removesuffix("\r") in before or (form.name, number) in told:
                    continue
                told.add((form.name, number))
                at = Place(place, number, start - first + 1)
                yield Problem(f"this looks like {form.name}", at, _REVOKE_IT)
                if len(told) == _MOST_TOLD:
                    return


_MOST_TOLD = 100
"""Findings of a text that are told: it is refused for one."""
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}(?:(?:\\?\n[ \t]*|\\n)[A-Za-z0-9+/_-]{4,}={0,2})*")
"""Base64, also that of URLs, in one line or several."""
_HEXADECIMAL = re.compile(r"[0-9a-f]{2,}", re.IGNORECASE)
_BASE_32 = re.compile(r"(?:[A-Z2-7]{24,}|[a-z2-7]{24,})")
_BASE_85 = re.compile(
    r"(?<![^\s\"'])(?=[0-9A-Za-z+_=-]*[!#$%&()*;<>?@^`{|}~])[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{25,}"
)
"""Base85 (RFC 1924) that is no base64."""
_SPELLED = re.compile(r"\\[xuU\n]|[>|][-+0-9]*\s*\n|%[2-7][0-9A-Fa-f]|&#")
"""What a document can spell a secret with, so that its text does not show it."""
_MOST_ENCODED = 3
"""Times that a text is encoded."""
_MOST_UNPACKED = 16_000_000
"""Bytes that are unpacked of all that is packed in a text."""


_Locate = Callable[[int], int]
"""Where something stands in a reading → where in the text."""


def _readings(text: str) -> Iterator[tuple[str | None, _Locate]]:
    """A text, what is encoded in it, and how documents read it; None if that is too much."""
    yield text, lambda at: at
    if _SPELLED.search(text):
        yield html.unescape(unquote(text)), lambda at: min(at, len(text))
        yield from _scalars(text)
    if not text.isascii():
        yield from _seen(text)
    waiting = [(found.start(), found[0], 1) for found in _ENCODED.finditer(text)]
    for found in _BASE_85.finditer(text):
        with suppress(ValueError):
            yield searchable(base64.b85decode(found[0])), partial(_constant, found.start())
    left = _MOST_UNPACKED
    while waiting:
        at, encoded, depth = waiting.pop()
        for content in _decoded(encoded):
            packed = content.startswith(_PACKED)
            inner = _unpacked(content, left) if packed else content
            left -= len(inner) if packed else 0
            if left <= 0:
                yield None, lambda _: 0
                return
            readable = searchable(inner)
            if readable.count("\ufffd") * 10 <= len(readable):
                yield readable, partial(_constant, at)
                if depth < _MOST_ENCODED:
                    waiting += [(at, found[0], depth + 1) for found in _ENCODED.finditer(readable)]


def _constant(place: int, _at: int) -> int:
    return place


def _seen(text: str) -> Iterator[tuple[str, _Locate]]:
    """A text as people see it: without characters that nobody sees, those that look alike as one (NFKC)."""
    lines = text.split("\n")
    shown = [unicodedata.normalize("NFKC", _UNSEEN.sub("", line)) for line in lines]
    if shown != lines:
        starts = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))
        seen = list(itertools.accumulate((len(line) + 1 for line in shown), initial=0))
        yield "\n".join(shown), lambda at: starts[bisect.bisect_right(seen, at) - 1]


_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
"""Invisible characters and marks of direction (Unicode, "Default_Ignorable_Code_Point")."""
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""As YAML 1.1 counts lines."""


def _scalars(text: str) -> Iterator[tuple[str, _Locate]]:
    """Values of YAML documents as they are read, one below the other."""
    try:
        documents = load_marked_all(text, "")
    except ConfigError:
        return
    lines = [0, *(found.end() for found in _LINE_END.finditer(text))]
    values: list[str] = []
    starts, places, length = [], [], 0
    for marked in documents:
        for route, place in marked.values.items():
            value = marked.at(route)
            if isinstance(value, str) and place.line:
                values.append(value)
                starts.append(length)
                places.append(lines[min(place.line, len(lines)) - 1] + (place.column or 1) - 1)
                length += len(value) + 1
    if values:
        yield "\n".join(values), lambda at: places[bisect.bisect_right(starts, at) - 1]


def _decoded(encoded: str) -> Iterator[bytes]:
    """What is in base64 or hexadecimal, wherever in the text it begins."""
    joined = re.sub(r"\\n|[\\\s=]", "", encoded)
    for word in dict.fromkeys([joined, *re.split(r"\\n|[\\\s=]+", encoded)]):
        if _HEXADECIMAL.fullmatch(word):
            yield bytes.fromhex(word[: len(word) // 2 * 2])
        if _BASE_32.fullmatch(word):
            part = word[: len(word) - (len(word) % 8 in (1, 3, 6))]
            yield base64.b32decode(part + "=" * (-len(part) % 8), casefold=True)
        for start in range(4) if len(word) >= _SHORTEST_ENCODED else ():
            part = word[start:].translate(_URL_ALPHABET)
            yield base64.b64decode(part[: len(part) - (len(part) % 4 == 1)] + "==")


def _unpacked(content: bytes, most: int) -> bytes:
    """What gzip, zlib, bzip2 or xz packed, up to a number of bytes; nothing if it is none of them."""
    try:
        if content.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(content, most)
        if content.startswith(b"\xfd7zXZ"):
            return lzma.LZMADecompressor(memlimit=_MOST_MEMORY).decompress(content, most)
        return zlib.decompressobj(wbits=47).decompress(content, most)
    except (zlib.error, OSError, EOFError, lzma.LZMAError):
        return b""


_PACKED = (b"\x1f\x8b", b"\x78", b"BZh", b"\xfd7zXZ")
"""How that begins."""
_MOST_MEMORY = 64_000_000
"""Bytes that unpacking may take."""


_SHORTEST_ENCODED = 16
_URL_ALPHABET = str.maketrans("-_", "+/")


def read_gitleaks(text: str, file: str) -> tuple[SecretForm, ...]:
    """The rules of a gitleaks configuration (its README, "Configuration") that look at content.

    Arguments:
        text: TOML, such as the `gitleaks.toml` that gitleaks ships.
        file: its name, for messages.

    Raises:
        ConfigError: it is none, or has an expression that cannot be translated.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem(f"expected TOML, found: {error}", Place(file))]) from None
    shared = [*_tables(data, "allowlists"), data.get("allowlist", {})]
    forms, problems = [], []
    for rule in _tables(data, "rules"):
        if "regex" not in rule:  # a rule about names of files alone
            continue
        try:
            forms.append(_form(rule, shared))
        except (re.error, TypeError, ValueError, AttributeError) as error:
            problems.append(Problem(f"the rule '{rule.get('id')}' cannot be used: {error}", Place(file)))
    if problems or not forms:
        raise ConfigError(problems or [Problem("expected [[rules]], found none", Place(file))])
    return tuple(forms)


def _tables(data: Any, name: str) -> list[Any]:
    """A list of tables; nothing where there is none."""
    found = data.get(name) if isinstance(data, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _form(rule: dict[str, Any], shared: Sequence[dict[str, Any]]) -> SecretForm:
    allowed = []
    for one in (*shared, *_tables(rule, "allowlists"), rule.get("allowlist", {})):
        if one.get("condition", "OR").upper() == "AND" or one.get("regexTarget", "secret") != "secret":
            continue  # it says less than that such a secret is none
        allowed += [_translated(regex) for regex in one.get("regexes", ())]
        allowed += [re.compile(re.escape(word), re.IGNORECASE) for word in one.get("stopwords", ())]
    keywords = tuple(str(word).lower() for word in rule.get("keywords", ()))
    named = f"a secret (gitleaks: {rule['id']})"
    group = int(rule.get("secretGroup", 0)) or None
    return SecretForm(
        named, _translated(rule["regex"]), keywords, group, float(rule.get("entropy", 0)), tuple(allowed)
    )


_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\(\?[ims]+\)|.", re.DOTALL)
"""Of an expression: an escape, a class, a flag, or one character."""
_BARE = re.compile(r"(?<!\\)\[")
_POSIX = {"alnum": "A-Za-z0-9", "alpha": "A-Za-z", "digit": "0-9", "word": r"\w", "xdigit": "0-9A-Fa-f"}


def _translated(expression: str) -> re.Pattern[str]:
    """An expression of Go's RE2 ("Syntax") for Python, where a flag in the midst needs a group of its own."""
    out, ends = "", [""]
    for part in _PART.findall(expression):
        if part == r"\z":
            out += r"\Z"
        elif part.startswith("(?"):
            out += f"{part[:-1]}:"
            ends[-1] += ")"
        elif part.startswith("[") and len(part) > 1:
            inner = re.sub(r"\[:(\w+):\]", lambda found: _POSIX[found[1]], part[1:-1])
            out += "[" + _BARE.sub(r"\\[", inner) + "]"
        elif part == "(":
            ends.append("")
            out += part
        elif part == ")":
            out += ends.pop() + part
        else:
            out += part
    return re.compile(out + "".join(ends))


def _entropy(text: str) -> float:
    """Bits a character (Shannon 1948)."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
