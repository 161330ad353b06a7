"""Configuration as people write it: what it means, and what is refused with its path."""

from __future__ import annotations

import pytest

from pipegraft.core.errors import ConfigError
from pipegraft.iac.config import read_config

WEB = ("components", "web")


@pytest.mark.parametrize(
    ("word", "path", "value"),
    [
        ("components.web.env.LIMIT=5", ("env", "LIMIT"), "5"),
        ("components.web.env.RATE=1.10", ("env", "RATE"), "1.10"),
        ("components.web.env.FLAG=true", ("env", "FLAG"), "true"),
        ("components.web.env.DAY=2026-11-25", ("env", "DAY"), "2026-11-25"),
        ("components.web.env.EMPTY=", ("env", "EMPTY"), ""),
        ("components.web.env.GONE=null", ("env", "GONE"), None),
        ('components.web.env.WORD="null"', ("env", "WORD"), "null"),
        ('components.web.env.LINES="a\\nb"', ("env", "LINES"), "a\nb"),
        ("components.web.env.NOTE=a # b", ("env", "NOTE"), "a # b"),
        ("components.web.env.NOTE=a: b", ("env", "NOTE"), "a: b"),
        ("components.web.env.QUERY=a=b&c=d", ("env", "QUERY"), "a=b&c=d"),
        ("components.web.env.STAR=*", ("env", "STAR"), "*"),
        (
            "components.web.env.TOKEN={secret: shop, key: token}",
            ("env", "TOKEN"),
            {"secret": "shop", "key": "token"},
        ),
        ("components.web.replicas=3", ("replicas",), 3),
        ("components.web.memory=256Mi", ("memory",), "256Mi"),
        ("components.web.limits.memory=512Mi", ("limits", "memory"), "512Mi"),
        ("components.web.args=[--fast, '3']", ("args",), ["--fast", "3"]),
        ('components.web.annotations["example.com/a=b"]=x', None, None),
        (
            'components.web.annotations["example.com/scrape"]=yes',
            ("annotations", "example.com/scrape"),
            "yes",
        ),
    ],
)
def test_a_value_is_what_the_app_spec_understands(
    word: str, path: tuple[str, ...] | None, value: object
) -> None:
    if path is None:
        with pytest.raises(ConfigError, match="expected the name of an annotation"):
            read_config([word])
        return
    found = read_config([word])
    assert found == {(*WEB, *path): value}
    assert type(found[*WEB, *path]) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("components.web.evn.LIMIT=5", r"^components\.web\.evn\.LIMIT: unknown key 'components\.web\.evn'"),
        ("components.web.replicas=many", "'components.web.replicas': .*found 'many'"),
        ("components.web.env.LIMIT=[1]", "'components.web.env.LIMIT': expected text"),
        ("components.web.env.TOKEN={secret: shop}", "'components.web.env.TOKEN.key' is missing"),
        ("components.web.env.PIPEGRAFT_PORT_WEB=1", "are set by Pipegraft"),
        ("components.web.image=web:2", "an image is no configuration"),
        ("components.web={image: x}", "expected components.NAME.KEY"),
        ("policies.update.surge=1", "expected components.NAME.KEY"),
        ("gray.weight=100", "expected components.NAME.KEY"),
        ("components.web.args[0]=x", "an item of a list cannot be set by itself"),
        ("components.web.env", "expected PATH=VALUE, found 'components.web.env'"),
        ("components..web=1", "path 'components..web'"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_path(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config([word])


def test_everything_wrong_is_told_at_once() -> None:
    words = ["components.web.evn.A=1", "namespace=x", "components.web.env.B=2", "components.web.env={C: d}"]
    with pytest.raises(ConfigError) as refused:
        read_config(words)
    assert [str(problem.place) for problem in refused.value.problems] == [
        "components.web.evn.A",
        "namespace",
        "components.web.env",
    ]
