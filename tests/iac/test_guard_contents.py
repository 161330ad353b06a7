"""What may lie in an IaC repository: the guard's verdict against what tools read from the same bytes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from guarded import APP, STABLE, TOKEN, A
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.appspec.resource_binding import Platform
from pipegraft.core.adapters.vcs_info import SourceLog
from pipegraft.core.errors import ConfigError
from pipegraft.iac.adapters.git.access import trusting
from pipegraft.iac.adapters.git.pre_receive import open_received
from pipegraft.iac.guard import GuardRules
from pipegraft.iac.guard.checks import check_files
from pipegraft.iac.guard.documents import ChangedFile, Files
from pipegraft.iac.guard.secret_forms import BUILT_IN, read_gitleaks, secrets_in
from pipegraft.iac.guard.usecases import pusher_name

PLATFORM = Platform(dict)
BASE = {"app.yaml": APP, "environments/production.yaml": STABLE}
DIGEST = f"sha256:{'a' * 64}"
POD = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "r/web:latest"}]}}


def told(
    files: Mapping[str, str | bytes],
    rules: GuardRules | None = None,
    *,
    held: Mapping[str, str | bytes] | None = None,
    **options: Any,
) -> str:
    """What the guard says of files that come anew, where others are already."""
    there = {
        path: text if isinstance(text, bytes) else text.encode()
        for path, text in {**BASE, **(held or {}), **files}.items()
    }

    def names(folder: str) -> list[str]:
        below = [path.removeprefix(folder) for path in there if path.startswith(folder)]
        return sorted({name.partition("/")[0] + "/" * ("/" in name) for name in below})

    changed = [ChangedFile(path, "100644") for path in files]
    nothing, after = Files(lambda _: None, lambda _: ()), Files(there.get, names)
    found = check_files(changed, nothing, after, rules or GuardRules(), PLATFORM, **options)
    return "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("rendered/pod.json", json.dumps(POD)),
        ("rendered/Kustomization", "images: [{name: r/web, newTag: v1}]\n"),
        ("rendered/any.txt", yaml.dump(POD)),
        ("rendered/a.yaml", f"image: !!binary {'ci93ZWI6bGF0ZXN0'}\n"),
        ("rendered/a.yaml", "image: {repository: r/web, digest: none}\n"),
        ("rendered/a.yaml", "image: {repository: r/web, sha: abc}\n"),
        ("rendered/a.yaml", "images: [{newName: r/web, newTag: v1}]\n"),
        ("rendered/a.yaml", "images: ['web=r/web:v1']\n"),
        ("rendered/a.yaml", "'im\\x61ge': 1\n\"im\\x61ge\": r/web:latest\n"),
        ("rendered/a.yaml", "base: &b {image: r/web:1}\npod: {<<: *b}\n"),
        ("rendered/a.yaml", "volumes: [{image: {reference: r/web:1}}]\n"),
        ("rendered/a.yaml", "patches: [{patch: 'spec: {containers: [{image: r/web:1}]}'}]\n"),
        ("rendered/a.yaml", "patchesStrategicMerge:\n- |\n  spec: {image: r/web:1}\n"),
        ("rendered/a.yaml", "patches:\n- patch: '[{op: add, path: /spec/c/0/image, value: r/web:1}]'\n"),
        ("rendered/a.yaml", "source: {helm: {values: 'image: r/web:1'}}\n"),
        ("rendered/kustomization.yaml", "resources: ['https://github.com/x/y?ref=main']\n"),
        ("rendered/kustomization.yaml", "bases: ['github.com/x/y//base']\n"),
        ("rendered/kustomization.yaml", "components: ['git@host:x/y.git']\n"),
        ("rendered/a.yaml", "image: r/web:1\nimage: r/web:2\n"),
        ("rendered/a.yaml", "Image: r/web:1\n"),
        ("rendered/a.yaml", "kustomize: {images: ['r/web:1']}\n"),
        ("rendered/a.yaml", "images: {web: {repository: r/web, tag: v1}}\n"),
        ("rendered/a.yaml", "images: {web: 'r/web:1'}\n"),
        ("rendered/a.yaml", "helm: {parameters: [{name: web.image.tag, value: v1}]}\n"),
        ("rendered/a.json", '// c\n{"image": "r/web:1"}\n'),
        ("rendered/kustomization.yaml", "transformers: ['https://x.example.com/y']\n"),
    ],
)
def test_what_is_not_pinned_is_found_however_it_is_written(path: str, text: str) -> None:
    assert f"{path}:" in told({path: text})


def test_what_is_pinned_passes() -> None:
    kustomization = f"resources: [../base, pod.yaml]\nimages: [{{name: r/web, digest: {DIGEST}}}]\n"
    assert not told(
        {
            "rendered/a.yaml": f"image: {A}\nx: {{image: {{repository: r/web, tag: 'v1@{DIGEST}'}}}}\n",
            "rendered/kustomization.yaml": kustomization,
            "rendered/README.md": "# Rendered\n\nNever `image: r/web:latest`:\nuse a digest.\n",
            "rendered/values.yaml": f"image: {{repository: r/web, digest: {DIGEST}}}\n",
        }
    )


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.replace("kind:", '"kind":'),
        "\ufeff" + SECRET,
        json.dumps(yaml.safe_load(SECRET)),
        json.dumps({"kind": "List", "items": [yaml.safe_load(SECRET)]}),
        "a: 1\n---\n" + SECRET,
        "kind: &k Secret\nspec: {kind: *k, data: {a: eA==}}\n",
        'kind: "S\\x65cret"\ndata: {a: eA==}\n',
        "kind: !!binary U2VjcmV0\ndata: {a: eA==}\n",
        "secretGenerator: [{name: s, literals: [password=hunter2]}]\n",
        "kind: Secret\nkind: Secret\nmetadata:\n  name: s\ndata:\n  a: eA==\n",
        "{{ if .Values.x }}\nkind: Secret\ndata:\n  a: eA==\n{{ end }}\n",
        "kind: Secret\nsops: null\ndata: {a: eA==}\n",
        "kind: Secret\ndata: {a: eA==}\n{{ x }}\n",
        "kind: Config\nusers: [{name: u, user: {token: abc}}]\n",
        "kind: ConfigMap\ndata:\n  inner: |\n    kind: Secret\n    data: {a: eA==}\n",
    ],
)
def test_a_secret_with_its_value_is_found_however_it_is_written(text: str) -> None:
    assert "a Secret with its value" in told({"secrets/s.yaml": text})


def test_a_file_of_variables_holds_no_secret() -> None:
    assert "a variable with its value: 'DB_PASSWORD'" in told({"web/prod.env": "A=b\nDB_PASSWORD=hunter22\n"})
    assert not told({"web/prod.env": "A=b\nDB_PASSWORD=${FROM_VAULT}\n"})


def test_a_secret_without_values_passes() -> None:
    for text in (
        SECRET.replace("hunter2", "<path:kv/shop#password>"),
        "kind: Secret\nsops: {mac: x}\ndata: {a: 'ENC[x]'}\n",
        "kind: Secret\ndata:\n  a: {{ .Values.a | b64enc }}\n",
        "kind: SealedSecret\nspec: {encryptedData: {a: AgB}}\n",
        "secretGenerator: [{name: s, envs: [secret.env]}]\n",
    ):
        assert not told({"secrets/s.yaml": text})


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("notes/a.yaml", STABLE.encode("utf-16"), "expected text in UTF-8"),
        ("notes/a.yaml", STABLE.encode("utf-32-be"), "expected text"),
        ("notes/chart.tgz", b"\x1f\x8b\x08\x00", "expected text in UTF-8"),
        ("notes/a", b"a\0b", "found a NUL"),
        ("notes/a.yaml", b"version https://git-lfs.github.com/spec/v1\noid x\n", "a pointer of Git LFS"),
        (".gitattributes", b"*.yaml working-tree-encoding=UTF-16\n", "working-tree-encoding"),
        ("x/.gitattributes", b"*.yaml filter=lfs diff=lfs\n", "'filter'"),
        (".gitattributes", b"*.yaml ident\n", "'ident'"),
        (".gitattributes", b"*.yaml export-subst\n", "'export-subst'"),
    ],
)
def test_what_tools_would_read_otherwise_is_refused(path: str, content: bytes, says: str) -> None:
    assert says in told({path: content})


def test_files_that_are_no_text_pass_where_the_rules_name_them() -> None:
    packed = b"\x1f\x8b\x08\x00"
    assert not told({"charts/redis.tgz": packed}, GuardRules(binaries=("charts/*.tgz",)))
    assert not told({".gitattributes": "*.yaml text eol=lf\n*.tgz -text\n"})


RULES = r"""
[allowlist]
stopwords = ["example"]
[[rules]]
id = "acme"
regex = '''\b(acme_(?i)[a-z0-9]{12}[[:digit:]]{2})(?:["'\s]|\z)'''
entropy = 2.5
keywords = ["acme_"]
[[rules.allowlists]]
regexes = ["^acme_demo"]
"""


def test_rules_of_gitleaks_are_looked_for() -> None:
    forms = BUILT_IN + read_gitleaks(RULES, "gitleaks.toml")
    found = told({"notes/a.yaml": f"x: 1\nkey: acme_A1b2C3d4E5f6{78}\n"}, forms=forms)
    assert "notes/a.yaml:2:6: this looks like a secret (gitleaks: acme)" in found
    for text in ("acme_aaaaaaaaaaaa11", "acme_demo1b2c3d4e55", "acme_exampleA1b277", "ACME_A1b2C3d4E5f678"):
        assert not told({"notes/a.yaml": f"key: {text}\n"}, forms=forms)
    with pytest.raises(ConfigError, match="the rule 'bad' cannot be used"):
        read_gitleaks('[[rules]]\nid = "bad"\nregex = "("\n', "gitleaks.toml")
    with pytest.raises(ConfigError, match="expected TOML"):
        read_gitleaks("[", "gitleaks.toml")


@pytest.mark.parametrize("form", BUILT_IN, ids=lambda form: form.name)
def test_every_form_of_a_secret_finds_one_of_its_kind(form: Any) -> None:
    samples = Path(__file__).with_name("secret_samples.txt").read_text().splitlines()
    parts = dict(line.split(": ", 1) for line in samples)
    sample = parts[form.name].replace("·", "")  # so that no scanner takes the samples for secrets
    said = [str(one) for one in secrets_in(f"a: {sample}\n", "", "f")]
    assert any(form.name in one for one in said)
    assert not list(secrets_in(f"a: {sample}\n", f"a: {sample}\n", "f"))
    assert not list(secrets_in(f"a: {sample} # pipegraft:not-secret\n", "", "f"))


def images_read(content: bytes) -> list[str]:
    """Images that a tool finds, as kustomize and Argo CD read files: by YAML's own rules for encodings."""
    try:
        documents = list(yaml.safe_load_all(content))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        return []

    def walk(value: Any) -> list[str]:
        if isinstance(value, list):
            return [image for one in value for image in walk(one)]
        if not isinstance(value, dict):
            return []
        own = value.get("image")
        own = own.decode("latin-1") if isinstance(own, bytes) else own
        found = [own] if isinstance(own, str) else []
        return found + [image for one in value.values() for image in walk(one)]

    return [image for one in documents for image in walk(one)]


IMAGES = st.sampled_from(
    [A, "r/web:latest", "r/web", f"r/web@{DIGEST[:-1]}", f"{A} ", "x@sha256:" + "A" * 64]
)
KEYS = st.sampled_from(["image", '"image"', "'image'", '"im\\u0061ge"', "? image\n"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
SHAPES = st.sampled_from(
    [
        "KEY: IMAGE\n",
        "spec: {containers: [{KEY: 'IMAGE'}]}\n",
        "a: &x\n  KEY: IMAGE\nb: *x\n",
        "a: &x {KEY: IMAGE}\nb: {<<: *x}\n",
        "- 1\n---\nKEY: IMAGE\n...\n---\nb: 1\n",
        "KEY: >-\n  IMAGE\n",
        "%YAML 1.1\n---\nKEY: !!str IMAGE\n",
        '{"spec": {KEY: "IMAGE"}}\n',
    ]
)
NAMES = st.sampled_from(["rendered/a.yaml", "rendered/a.json", "a/rendered/kustomization", "rendered/b.txt"])


TEXTS = st.builds(
    lambda shape, key, image, end: shape.replace("KEY", key).replace("IMAGE", image).replace("\n", end),
    SHAPES,
    KEYS,
    IMAGES,
    st.sampled_from(["\n", "\r\n", "\r", "\x85"]),
)


@given(NAMES, TEXTS, ENCODINGS)
def test_the_guard_passes_nothing_that_a_tool_reads_as_an_image_without_digest(
    name: str, text: str, encoding: str
) -> None:
    content = text.encode(encoding)
    read = images_read(content)
    if any(one != A for one in read):
        assert told({name: content}), (content, read)
    elif read and encoding in ("utf-8", "utf-8-sig"):
        assert not told({name: content}), content


def test_only_signed_commits_change_what_the_rules_say(tmp_path: Path) -> None:
    def run(*words: str) -> None:
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)

    run("git", "init", "--quiet", ".")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other")
    (tmp_path / "signers").write_text(f"* {(tmp_path / 'key.pub').read_text()}")
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "gpg.format=ssh")
    run("git", *who, "commit", "--quiet", "--allow-empty", "-m", "unsigned")
    run("git", *who, "-c", "user.signingKey=other", "commit", "-S", "--quiet", "--allow-empty", "-m", "other")
    run("git", *who, "-c", "user.signingKey=key", "commit", "-S", "--quiet", "--allow-empty", "-m", "ours")
    received = open_received(tmp_path / ".git", {"PATH": "/usr/bin:/bin"}, tmp_path / "signers")
    assert [received.is_signed(one) for one in ("HEAD~2", "HEAD~1", "HEAD")] == [False, False, True]
    assert not open_received(tmp_path / ".git", {"PATH": "/usr/bin:/bin"}).is_signed("HEAD")
    source = SourceLog(tmp_path, trusting(tmp_path / "signers", {"PATH": "/usr/bin:/bin"}))
    names = subprocess.run(
        ["git", "rev-list", "--max-count=2", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    ours, other = (found.signature[0] for one in names.stdout.split() if (found := source.commit(one)))
    assert ours == "G"
    assert other != "G"


def test_a_token_is_found_in_any_encoding() -> None:
    for encoding in ("utf-8", "utf-16", "utf-32-be"):
        assert "this looks like a GitLab token" in told({"notes/a": TOKEN.encode(encoding)})


@pytest.mark.parametrize("name", ["GL_USERNAME", "GITEA_PUSHER_NAME", "REMOTE_USER"])
def test_the_servers_variables_say_who_pushes(name: str) -> None:
    assert pusher_name({"USER": "git", name: "ann"}) == "ann"
    assert pusher_name({}) == ""
