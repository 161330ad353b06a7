"""What is fuzzed: each target reads bytes of a stranger, and may end in nothing but an error for people."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipegraft.appspec.environment_file import read_environment
from pipegraft.ci.jenkins.outline import outline
from pipegraft.core.adapters.waiting import retry_after
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import PipegraftError
from pipegraft.core.faults import read_json
from pipegraft.core.foreign_text import printable
from pipegraft.core.reading import load_json, load_marked_all
from pipegraft.core.release import Release
from pipegraft.engine.adapters.server import read_push
from pipegraft.iac.adapters.git.objects import parse_tree
from pipegraft.iac.adapters.git.pre_receive import _COMMIT
from pipegraft.iac.guard.contents import pinned_in_manifests, strange_text
from pipegraft.iac.guard.documents import brought_in
from pipegraft.iac.guard.secret_forms import searchable, secrets_in
from pipegraft.iac.guard.secret_values import secret_manifests
from pipegraft.images.dockerfile import IgnoreRules, exposed_ports, read_dockerfile
from pipegraft.images.documents import (
    LAYER,
    LAYER_GZIP,
    MANIFEST,
    image_manifest,
    is_referrers_list,
    read_image,
)
from pipegraft.images.layers import unpack
from pipegraft.images.ports import Descriptor, FakeRegistry
from pipegraft.images.signatures import read_provenance
from pipegraft.testing.images_suite import blob_of
from pipegraft.text.groovy import Script
from pipegraft.text.yaml import set_values

__all__ = ["SEEDS", "TARGETS"]

Target = Callable[[bytes], None]


def _yaml(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in (
        lambda: load_marked_all(text, "f.yaml"),
        lambda: parse_document(text, "delivery.yaml", Delivery),
        lambda: read_environment(text, "environments/p.yaml"),
        lambda: set_values(text, {"a": "1"}, file="f.yaml"),
        lambda: list(pinned_in_manifests("rendered/f.yaml", text)),
        lambda: list(brought_in("rendered/kustomization.yaml", text, ())),
        lambda: list(secret_manifests("f.yaml", text)),
    ):
        with suppress(PipegraftError):
            read()


def _json(data: bytes) -> None:
    with suppress(ValueError):
        load_json(data)
    read_json(Release, data)
    read_provenance(data)
    is_referrers_list(data)
    retry_after(data.decode("latin-1"), 0.0)
    with suppress(PipegraftError):
        read_push({"x-gitlab-token": "s", "x-gitlab-event": "Push Hook"}, data, "s")
    with suppress(PipegraftError):
        read_image(_registry(data, MANIFEST), "web", "v1")


def _registry(manifest: bytes, media_type: str) -> FakeRegistry:
    registry = FakeRegistry()
    registry.push_manifest("web", "v1", manifest, media_type)
    return registry


def _tar(data: bytes) -> None:
    registry = FakeRegistry()
    kind = LAYER_GZIP if data[:2] == b"\x1f\x8b" else LAYER
    blob, source = blob_of(data, kind)
    registry.push_blob("web", blob, source)
    config: Descriptor = blob_of(b"{}")[0]
    pushed = registry.push_manifest("web", "v1", image_manifest(config, [blob]).content, MANIFEST)
    folder = Path(tempfile.mkdtemp())
    try:
        with suppress(PipegraftError):
            unpack(registry, "web", pushed.digest, folder / "image")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _dockerfile(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    read_dockerfile(text, {"A": "b"})
    exposed_ports(text)
    with suppress(PipegraftError):
        IgnoreRules(text).look("a/b/c.txt")


def _git(data: bytes) -> None:
    with suppress(PipegraftError):
        parse_tree(data)
    _COMMIT.fullmatch(data)
    list(strange_text("a/.gitattributes", data))
    text = searchable(data)
    list(secrets_in(text, "", "f"))
    printable(text).encode()


def _jenkinsfile(data: bytes) -> None:
    with suppress(PipegraftError):
        outline(Script(data.decode("utf-8", "replace"), "Jenkinsfile"))


def _archive(kind: int) -> bytes:
    """A folder, a file with a long name, and both kinds of links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, entry, target in (
            ("d", tarfile.DIRTYPE, ""),
            (f"d/{'n' * 120}", tarfile.REGTYPE, ""),
            ("l", tarfile.SYMTYPE, "d"),
            ("h", tarfile.LNKTYPE, f"d/{'n' * 120}"),
            (".wh.x", tarfile.REGTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = entry, target
            tar.addfile(info)
    return out.getvalue()


TARGETS: dict[str, Target] = {
    "yaml": _yaml,
    "json": _json,
    "tar": _tar,
    "dockerfile": _dockerfile,
    "git": _git,
    "jenkinsfile": _jenkinsfile,
}
SEEDS: dict[str, list[bytes]] = {
    "yaml": [
        b"a: &x [1, {b: c}]\nd: *x\n---\n<<: *x\n",
        b"app: shop\nregistry: r/x\ncomponents: {web: {path: w}}\n",
        b"release: {number: 1, source: x}\ncomponents: {web: {image: 'r/web@sha256:0'}}\n",
        b"components: {We: {image: 'r/w@sha256:0'}}\n",
        b"kind: {a: b}\nspec: {ref: [c]}\nname: [d]\nenv: {e: f}\ntargets: {g: h}\ntype: [i]\n",
        b"kind: !!binary U2VjcmV0\ndata: {a: eA==}\nimages: [{name: a, digest: none}]\n",
        b"? [a]\n: |-\n  x\n%YAML 1.2\n... \n\xef\xbb\xbf- 0x10\n- 2001-01-01\n- .inf\n- !!timestamp x\n",
    ],
    "json": [
        b'{"schemaVersion": 2, "config": {"mediaType": "a", "digest": "b", "size": 1}, "layers": []}',
        b'{"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}, "digest": "x"}]}',
        b'{"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": "a"}}]}',
        b'{"ref": "refs/heads/main", "after": "0", "project": {"git_http_url": "http://x/y.git"}}',
        b"\x1e4",
        b'{"source": {"commit": "a", "number": 1}, "environments": {"p": {"gate": {"verdict": "x"}}}}',
    ],
    "tar": [
        _archive(tarfile.PAX_FORMAT),
        _archive(tarfile.GNU_FORMAT),
        gzip.compress(_archive(tarfile.PAX_FORMAT)),
    ],
    "dockerfile": [
        b"# syntax=a\nARG A=b\nFROM ${A:-c} AS x\nRUN <<E\nE\nCOPY --from=x --chown=1 a b\nEXPOSE 80\n",
        b"*.md\n!a[b-d]e\n**/x*/\\?\n# c\nFROM a \\\n",
    ],
    "git": [
        b"100644 a\0" + b"1" * 20 + b"40000 b\0" + b"2" * 20,
        b"tree 0\nauthor a <b> 1 +0000\ncommitter a <b> 1 +0000\ngpgsig x\n y\n\nm\n",
        b"*.yaml working-tree-encoding=UTF-16\nglpat-0123456789\n-----BEGIN PRIVATE KEY-----",
    ],
    "jenkinsfile": [
        b"pipeline { agent any\n stages { stage('a') { when { branch 'main' } steps { sh 'x' } } } }\n",
        b'node { stage("a") { sh """x ${y} """ } }\n',
        b"node { stage('a') { sh '''x''' /* c */ } // d\n}\n",
    ],
}
"""Where mutation begins."""
