"""What a Dockerfile builds on, and when it needs BuildKit."""

from __future__ import annotations

import pytest

from pipegraft.images.dockerfile import read_dockerfile


@pytest.mark.parametrize(
    ("text", "images", "final"),
    [
        ("FROM python:3.12", ["python:3.12"], "python:3.12"),
        ("FROM scratch\nCOPY . /", [], None),
        ("from --platform=$BUILDPLATFORM golang:1.23 as build\nFROM scratch", ["golang:1.23"], None),
        ("FROM golang AS build\nFROM alpine\nCOPY --from=build /a /a", ["golang", "alpine"], "alpine"),
        ("FROM alpine AS base\nFROM base\nRUN true", ["alpine"], "alpine"),
        ("FROM alpine AS Base\nFROM BASE", ["alpine"], "alpine"),
        ("FROM a\nFROM b\nCOPY --from=0 /x /x\nCOPY --from=tools:1 /y /y", ["a", "b", "tools:1"], "b"),
        ("ARG TAG=3.12\nFROM python:${TAG}", ["python:3.13"], "python:3.13"),
        ("ARG V=3.12\nFROM python:${V}-slim", ["python:3.12-slim"], "python:3.12-slim"),
        ('ARG V="3.12"\nFROM python:$V', ["python:3.12"], "python:3.12"),
        ("FROM python:${MISSING:-3.11}", ["python:3.11"], "python:3.11"),
        ("ARG A=1\nFROM x:${A:+set}", ["x:set"], "x:set"),
        ("FROM a\nARG B=b\nFROM $B", ["a"], None),
        ("FROM \\\n  # a comment\n  python:3.12 \\\n  AS x", ["python:3.12"], "python:3.12"),
        ("# escape=`\nFROM `\npython", ["python"], "python"),
        ("# FROM not-this\n\nFROM alpine", ["alpine"], "alpine"),
        ("FROM alpine\nRUN --mount=type=bind,from=tools,target=/t true", ["alpine", "tools"], "alpine"),
        ("FROM alpine\nRUN <<EOF\nFROM inside\nEOF\nCOPY --from=b /x /x", ["alpine", "b"], "alpine"),
        ("FROM a\nRUN <<'A-1.x' <<B\nFROM b\nA-1.x\nFROM c\nB\nCOPY --from=d / /", ["a", "d"], "a"),
        ("ARG TAG\nFROM ${TAG:?name it}:${T?}x", ["3.13:x"], "3.13:x"),
        ("", [], None),
        ("\ufeffFROM alpine", ["alpine"], "alpine"),
        ("FROM\tpython:3.12\tAS\tx\r\nRUN true\r\n", ["python:3.12"], "python:3.12"),
        (
            "FROM a AS build-amd64\nFROM b AS build-arm64\nFROM build-${TARGETARCH}\nCOPY --from=c:1 / /",
            ["a", "b", "c:1"],
            "a",
        ),
        ("ARG TARGETARCH\nFROM x/base:static-$TARGETARCH", ["x/base:static-amd64"], "x/base:static-amd64"),
        ("ARG R=hub\nFROM ${BASE:-${R}/base:1}", ["hub/base:1"], "hub/base:1"),
        ("ARG B=\nFROM ${B-x}a${B:-b}", ["ab"], "ab"),
        (
            "FROM a\nRUN --mount=type=bind,from=b,target=/b --mount=type=cache,target=/c true",
            ["a", "b"],
            "a",
        ),
        ("FROM a\nRUN echo 1\u2028FROM b", ["a"], "a"),
        ("ARG T\nFROM alpine:${T-3.20}${T+x}", ["alpine:3.20"], "alpine:3.20"),
        ("ARG T=1\nARG T\nFROM alpine:$T", ["alpine:1"], "alpine:1"),
        ("ARG TAG\nFROM alpine:${TAG-3.20}", ["alpine:3.13"], "alpine:3.13"),
    ],
)
def test_finds_the_images_it_builds_on(text: str, images: list[str], final: str | None) -> None:
    found = read_dockerfile(text, {"TAG": "3.13"})
    assert list(found.images) == images
    assert found.final == final


_STAGES = "FROM a AS Base\nFROM b AS tools\nFROM base AS run\nCOPY --from=shared / /\nFROM node:latest"


@pytest.mark.parametrize(
    ("stage", "final"), [("", "node:latest"), ("run", "a"), ("RUN", "a"), ("1", "b"), ("none", None)]
)
def test_the_image_below_is_that_of_the_stage_to_build(stage: str, final: str | None) -> None:
    assert read_dockerfile(_STAGES, {}, stage=stage).final == final


def test_further_contexts_stand_for_images() -> None:
    found = read_dockerfile(_STAGES, {}, contexts=["shared", "node"])
    assert (found.images, found.final) == (("a", "b"), None)


def test_a_platform_chooses_stages_and_images() -> None:
    text = "FROM a:$TARGETARCH$TARGETVARIANT AS linux\nFROM ${TARGETOS}"
    assert read_dockerfile(text, {}, platform="linux/arm/v7").images == ("a:armv7",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM alpine\nRUN apk add x\nCOPY --chown=1 . /\nCOPY --from=x a b", ""),
        ("FROM alpine\nHEALTHCHECK --interval=5s CMD true", ""),
        ("FROM alpine\nRUN echo --mount=x", ""),
        ("FROM alpine\nRUN cat a << b | true; echo $((1<<2))", ""),
        ("# syntax=docker/dockerfile:1\nFROM alpine", "it names a syntax of its own"),
        ("FROM alpine\nRUN --mount=type=secret,id=t true", "line 2 uses RUN --mount"),
        ("FROM alpine\nRUN \\\n--network=none true", "line 2 uses RUN --network"),
        ("FROM alpine\nCOPY --link . /", "line 2 uses COPY --link"),
        ("FROM alpine\nADD --checksum=sha256:1 http://x /", "line 2 uses ADD --checksum"),
        ("FROM alpine\nRUN <<EOF\ntrue\nEOF", "line 2 uses a here-document"),
        ("FROM alpine\nCOPY <<'EOF' /etc/x\ntrue\nEOF", "line 2 uses a here-document"),
    ],
)
def test_says_why_it_needs_buildkit(text: str, reason: str) -> None:
    assert read_dockerfile(text, {}).needs_buildkit == reason
