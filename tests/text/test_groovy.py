"""The Groovy scanner: spans tile the text, and nothing in strings or comments counts as structure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.groovy import Script, scan, string_value


def kinds(source: str) -> list[tuple[str, str]]:
    return [(token.kind, source[token.start : token.end]) for token in scan(source) if token.kind != "space"]


def strings(source: str) -> list[str]:
    return [text for kind, text in kinds(source) if kind == "string"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("sh 'a { b'", ["'a { b'"]),
        (r"sh 'it\'s { '", [r"'it\'s { '"]),
        ("sh '''a 'quoted' { b'''", ["'''a 'quoted' { b'''"]),
        ("sh ''", ["''"]),
        ("sh ''''''", ["''''''"]),
        ('sh "a ${b("}")} c }"', ['"a ${b("}")} c }"']),
        ('sh "${a.collect { "${it}}" }}"', ['"${a.collect { "${it}}" }}"']),
        ('sh "\\${"', ['"\\${"']),
        ('x = """a "b" ${c ? "}" : \'{\'} d"""', ['"""a "b" ${c ? "}" : \'{\'} d"""']),
        ("x = a / b / c", []),
        ("x = (a) / 2 + b[1] / 3", []),
        ("x = a ? /b}/ : /c{/", ["/b}/", "/c{/"]),
        ("if (a ==~ /x{1,3}/) {}", ["/x{1,3}/"]),
        ("def x = [/{/, /}/]", ["/{/", "/}/"]),
        ("x = $/a $/ $$ {/}\n/$ + y", ["$/a $/ $$ {/}\n/$"]),
        ("x = /a ${b / 2} c/", ["/a ${b / 2} c/"]),
        ("x = a /b/ c", []),
        ("foo(a\n/ 2)", []),
        ("x = '''a\n\\''''", ["'''a\n\\''''"]),
    ],
)
def test_strings_end_where_the_lexer_of_groovy_ends_them(source: str, expected: list[str]) -> None:
    assert strings(source) == expected


@pytest.mark.parametrize(
    ("source", "comments"),
    [
        ("#!groovy {\nx", ["#!groovy {"]),
        ("\ufeff#!groovy\nx", ["#!groovy"]),
        ("a // { it's\nb", ["// { it's"]),
        ("a /* { ' \n */ b", ["/* { ' \n */"]),
        ("a /**/ b", ["/**/"]),
        ("x = 1 // a\r\n// b\r// c\n", ["// a", "// b", "// c"]),
        ("'//' + \"/* ${/* } */ 1} */\"", []),
    ],
)
def test_comments_are_one_token(source: str, comments: list[str]) -> None:
    assert [text for kind, text in kinds(source) if kind == "comment"] == comments


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        ("a {\n  b 'x\n}", Place("F", 2, 5), "the end of the string"),
        ('a "${', Place("F", 1, 5), "the end of the bracket"),
        ('a "${b', Place("F", 1, 5), "the end of the bracket"),
        ('a "b', Place("F", 1, 3), "the end of the string"),
        ("a {\r\n  b(\r\n", Place("F", 2, 4), "the end of the bracket"),
        ("a {\n b)\n}", Place("F", 2, 3), "expected '}', found ')'"),
        ("a }", Place("F", 1, 3), "expected no closing bracket, found '}'"),
        ("a /* b", Place("F", 1, 3), "the end of the comment"),
        ('x = "\\u0022', Place("F", 1, 10), "unicode escape"),
    ],
)
def test_what_has_no_end_is_refused_with_its_place(source: str, place: Place, message: str) -> None:
    with pytest.raises(EditRefused, match=message.replace("{", r"\{").replace(")", r"\)")) as refused:
        Script(source, "F").tokens  # noqa: B018 - reading it is the act
    if "unicode" not in message:
        assert refused.value.problem.place == place


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'a b'", "a b"),
        (r"'it\'s \\ \t\u0041\101'", "it's \\ \tAA"),
        ('"plain"', "plain"),
        (r'"a \$b"', "a $b"),
        ('"a $b"', None),
        ('"""a ${b}"""', None),
        ("'''a $b'''", "a $b"),
        ("/a\\/b/", "a/b"),
        ("'a\\\nb'", "ab"),
    ],
)
def test_value_of_a_string(source: str, value: str | None) -> None:
    assert string_value(source) == value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a()\nb()", ["a()", "b()"]),
        ("a(); b()", ["a()", "b()"]),
        ("stage('x')\n\n// why\n{ a() }\nb", ["stage('x')\n\n// why\n{ a() }", "b"]),
        ("node\n{\n}\nb", ["node\n{\n}", "b"]),
        ("a = b +\n c\nd", ["a = b +\n c", "d"]),
        ("a = b\n  ? c\n  : d\ne", ["a = b\n  ? c\n  : d", "e"]),
        ("foo {\n}.bar()\n  .baz { }\nb", ["foo {\n}.bar()\n  .baz { }", "b"]),
        ("if (a)\n  b()\nelse\n  c()\nd", ["if (a)\n  b()\nelse\n  c()", "d"]),
        ("try { a }\ncatch (e) { b }\nfinally { c }\nd", ["try { a }\ncatch (e) { b }\nfinally { c }", "d"]),
        ("@Library('x')\nimport a.b\nc", ["@Library('x')\nimport a.b", "c"]),
        ("@Library('x') _\nc", ["@Library('x') _", "c"]),
        ("import a.*\nb", ["import a.*", "b"]),
        ("@groovy.transform.Field\ndef a = 1\nb", ["@groovy.transform.Field\ndef a = 1", "b"]),
        ("parallel a: {\n x },\n b: { y }\nc", ["parallel a: {\n x },\n b: { y }", "c"]),
        ("a = [1,\n2]\nb", ["a = [1,\n2]", "b"]),
        ("i++\nb", ["i++", "b"]),
        ("a \\\n  b\nc", ["a \\\n  b", "c"]),
    ],
)
def test_statements_end_where_groovy_ends_them(source: str, expected: list[str]) -> None:
    script = Script(source)
    assert [script.source(found) for found in script.statements(script.whole)] == expected


def test_parameters_of_a_closure_are_no_statement() -> None:
    script = Script("a { x, y ->\n b(x)\n c(y) }")
    brace = next(index for index in script.partner if script.word(index) == "{")
    assert [script.source(found) for found in script.statements(script.inside(brace))] == ["b(x)", "c(y)"]


# Pieces of source that each hold brackets or quotes which must not count, and the name that follows.
_OPAQUE = st.sampled_from(
    [
        "'{ } ( ['",
        '"} ${ x("{") } {"',
        "'''\n } ' {\n'''",
        '"""\n{ "quoted" ${[1, 2].collect { "${it}" }}\n"""',
        "// } it's ] \"\n",
        "/* { ' */",
        "x =~ /[{(]\\/ '/",
        "y = $/ { ' \" ( /$",
        "a / b / c",
        "1.5e3",
        "x?.y*.z",
    ]
)
_CODE = st.recursive(
    _OPAQUE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("\n".join),
        inner.map(lambda code: f"stage('{{') {{\n{code}\n}}"),
        inner.map(lambda code: f"foo(\n{{ -> {code}\n}})"),
        inner.map(lambda code: f"x = [\n a: {{ {code}\n }}]"),
    ),
    max_leaves=12,
)


@given(_CODE, st.sampled_from(["\n", "\r\n", "\r"]))
def test_spans_tile_the_text_and_brackets_pair_up(code: str, eol: str) -> None:
    source = code.replace("\n", eol)
    script = Script(source)
    assert "".join(source[token.start : token.end] for token in script.tokens) == source
    depth = 0
    for index, token in enumerate(script.code):
        depth += (token.kind == "open") - (token.kind == "close")
        if token.kind == "open":
            assert script.partner[script.partner[index]] == index
            assert script.word(index) + script.word(script.partner[index]) in ("()", "[]", "{}")
    assert depth == 0


@given(_CODE)
def test_a_block_ends_at_its_own_brace(code: str) -> None:
    source = f"node {{\n{code}\n}}\nlast()"
    script = Script(source)
    first, last = script.statements(script.whole)
    assert script.source(first) == source[: source.rindex("\n")]
    assert script.source(last) == "last()"


@given(st.text(alphabet="a/'\"${}()[]\\\n \t;,.*", max_size=40))
def test_any_text_is_read_to_its_end_or_refused(source: str) -> None:
    try:
        tokens = scan(source)
    except EditRefused:
        return
    assert "".join(source[token.start : token.end] for token in tokens) == source
    assert all(token.end > token.start for token in tokens)
