"""Images: one for each component, pinned, locked, small rights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pipegraft.core.errors import Place
from pipegraft.core.plugins import hookimpl
from pipegraft.maturity.model import Dimension, Evidence, Finding, Repository, Signal, absent, no, yes
from pipegraft.maturity.signals import (
    NO_DELIVERY,
    aside,
    at_job,
    at_line,
    commands,
    dependencies_locked,
    dockerfiles,
    each,
    in_delivery,
    jobs,
    jobs_that_run,
    stage_jobs,
)

__all__ = ["SIGNALS", "pipegraft_maturity_signals"]

_BUILD = (
    r"\b(docker (buildx )?build|docker-compose build|podman build|buildah (bud|build)|kaniko|img build"
    r"|nerdctl build|ko build|jib)\b|/executor\b"
)
_TOOLCHAINS = (
    *(
        ".python-version",
        ".nvmrc",
        ".node-version",
        ".tool-versions",
        "mise.toml",
        ".ruby-version",
        ".java-version",
    ),
    *(
        "rust-toolchain",
        "rust-toolchain.toml",
        "global.json",
        ".sdkmanrc",
        "flake.lock",
        "gradle-wrapper.properties",
    ),
    "maven-wrapper.properties",
)
_BY_COMMIT = r"\$\{?(CI_COMMIT_(SHORT_)?SHA|GIT_COMMIT|BUILD_TAG|CI_COMMIT_TAG)|env\.GIT_COMMIT|git rev-parse"
_LATEST = r"(docker|podman|nerdctl|buildah|crane|skopeo)\b.*[\w}]:latest\b"


def _dockerfile(repository: Repository) -> Finding:
    found = [Evidence(Place(path, 1), path) for path, _ in dockerfiles(repository)]
    if found:
        return yes(f"{len(found)} Dockerfiles", *found[:3])
    if repository.delivery:
        return yes("delivery.yaml says how each component is packed", in_delivery(repository, "components"))
    return no("there is neither a Dockerfile nor a delivery.yaml")


def _image_job(repository: Repository) -> Finding:
    found = [at_job(job, line) for job, line in jobs_that_run(repository, _BUILD)]
    found += [at_job(job) for job in stage_jobs(repository, "image-build")]
    return yes(f"{len(found)} jobs build images", *found[:3]) if found else no("no job builds an image")


def _tag_by_commit(repository: Repository) -> Finding:
    if stage := stage_jobs(repository, "image-build"):
        return yes("image-build names images by digest", at_job(stage[0]))
    building = jobs_that_run(repository, _BUILD)
    if not building:
        return absent("no job builds an image")
    tagged = [
        (job, text)
        for job, _ in building
        if (text := next((line for line in _with_variables(job) if re.search(_BY_COMMIT, line)), ""))
    ]
    bad = [at_job(job, line) for job, line in building if job not in [one for one, _ in tagged]]
    return each(
        "images that no commit names",
        [at_job(job, line) for job, line in tagged],
        bad,
        "no job builds an image",
    )


def _with_variables(job: object) -> list[str]:
    variables = job.keys.get("variables") or {}  # type: ignore[attr-defined]
    values = [
        str(value.get("value") if isinstance(value, Mapping) else value) for value in variables.values()
    ]
    return [*commands(job), *values]  # type: ignore[arg-type]


def _no_latest(repository: Repository) -> Finding:
    if not jobs(repository):
        return absent("there is no pipeline")
    bad = [at_job(job, line) for job, line in jobs_that_run(repository, _LATEST)]
    return (
        no("a tag that means another image tomorrow", *bad[:3]) if bad else yes("no job moves the tag latest")
    )


def _toolchain(repository: Repository) -> Finding:
    found = [Evidence(Place(path, 1), path) for path in repository.find(*_TOOLCHAINS) if not aside(path)]
    found += _outside(repository.search(r"^(go|toolchain) (go)?\d+\.\d+", "go.mod"))
    found += _outside(repository.search(r"^requires-python\s*=", "pyproject.toml"))
    found += _outside(repository.search(r"\"(engines|packageManager)\"\s*:", "package.json"))
    versions = [job for job in jobs(repository) if re.search(r":\d+(\.\d+)?", job.image)]
    found += [at_job(job, job.image) for job in versions]
    return (
        yes("the toolchain's version is written down", *found[:3])
        if found
        else no("any version of the toolchain may build it")
    )


def _outside(found: Sequence[Evidence]) -> list[Evidence]:
    return [one for one in found if not aside(one.place.file)]


def _froms(repository: Repository) -> list[tuple[Evidence, str]]:
    """Base images that are not stages of the same file."""
    found: list[tuple[Evidence, str]] = []
    for path, steps in dockerfiles(repository):
        stages: set[str] = set()
        for step in steps:
            words = step.rest.split()
            if step.keyword != "FROM" or not words:
                continue
            if words[0].lower() not in stages and words[0] != "scratch":
                found.append((at_line(path, step.line, f"FROM {words[0]}"), words[0]))
            if len(words) == 3:
                stages.add(words[2].lower())
    return found


def _base_named(repository: Repository) -> Finding:
    froms = [(evidence, name) for evidence, name in _froms(repository) if "$" not in name]
    bad = [evidence for evidence, name in froms if "@" not in name and _tag(name) in ("", "latest")]
    return each("base images without a version", [one for one, _ in froms], bad, "there is no Dockerfile")


def _tag(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[2]


def _base_digest(repository: Repository) -> Finding:
    froms = _froms(repository)
    good = [evidence for evidence, _ in froms]
    bad = [
        evidence
        for evidence, name in froms
        if "@sha256:" not in name and not _pinned_argument(repository, evidence, name)
    ]
    if repository.delivery:
        bases = {name: one.base for name, one in repository.delivery.components.items() if one.base}
        for name, base in bases.items():
            evidence = in_delivery(repository, "components", name, "base")
            good.append(evidence)
            if "@sha256:" not in base and base not in repository.delivery.components:
                bad.append(evidence)
    return each("base images that a digest does not pin", good, bad, "nothing is built on another image")


def _pinned_argument(repository: Repository, evidence: Evidence, name: str) -> bool:
    """Whether an argument that stands for the image has a digest as its default."""
    found = re.search(r"\$\{?(\w+)", name)
    text = repository.read(evidence.place.file) or ""
    return found is not None and re.search(rf"^ARG\s+{found[1]}=\S+@sha256:", text, re.MULTILINE) is not None


def _each_component(repository: Repository) -> Finding:
    delivery = repository.delivery
    if delivery is None:
        return no(NO_DELIVERY)
    bad = [
        in_delivery(repository, "components", name)
        for name, one in delivery.components.items()
        if not any(path.startswith(f"{one.path.rstrip('/')}/") for path in repository.files)
    ]
    good = [in_delivery(repository, "components", name) for name in delivery.components]
    return each("components without a folder", good, bad, NO_DELIVERY)


def _ignore(repository: Repository) -> Finding:
    good: list[Evidence] = []
    bad: list[Evidence] = []
    for path, _ in dockerfiles(repository):
        folder = path.rpartition("/")[0]
        places = [f"{folder}/.dockerignore".lstrip("/"), f"{path}.dockerignore", ".dockerignore"]
        there = any(place in repository.files for place in places)
        (good if there else bad).append(Evidence(Place(path, 1), path))
    return each("contexts that send everything", good, bad, "there is no Dockerfile")


def _write_ignore(repository: Repository) -> Mapping[str, str]:
    finding = _ignore(repository)
    folders = {one.place.file.rpartition("/")[0] for one in finding.evidence}
    return {f"{folder}/.dockerignore".lstrip("/"): _IGNORED for folder in sorted(folders)}


_IGNORED = """\
# What no image needs.
.git
.gitlab-ci.yml
Jenkinsfile
.env*
**/node_modules
**/__pycache__
**/*.log
"""


def _unchanged_not_built(repository: Repository) -> Finding:
    stage = stage_jobs(repository, "image-build")
    if stage:
        return yes("image-build asks the registry first", at_job(stage[0]))
    return (
        no("every pipeline builds every image")
        if _image_job(repository).evidence
        else no("no job builds an image")
    )


def _one_platform(repository: Repository) -> Finding:
    adds = [
        at_line(path, step.line, f"ADD {step.rest}")
        for path, steps in dockerfiles(repository)
        for step in steps
        if step.keyword == "ADD" and re.match(r"https?://", step.rest) and "checksum" not in step.flags
    ]
    there = [Evidence(Place(path, 1), path) for path, _ in dockerfiles(repository)]
    return each("downloads that nothing checks", there, adds, "there is no Dockerfile")


def _renewed(repository: Repository) -> Finding:
    if not _froms(repository) and not (
        repository.delivery and any(one.base for one in repository.delivery.components.values())
    ):
        return absent("nothing is built on another image")
    renovate = repository.find("renovate.json", "renovate.json5", ".renovaterc", ".renovaterc.json")
    docker = repository.search(r"package-ecosystem:\s*[\"']?docker", "dependabot.yml", "dependabot.yaml")
    if renovate:
        return yes("a program renews them", Evidence(Place(renovate[0], 1), renovate[0]))
    return yes("a program renews them", *docker) if docker else no("nobody is told of newer base images")


def _signal(name: str, stage: int, claim: str, look: object, step: str, **more: object) -> Signal:
    return Signal(name, Dimension.IMAGES, stage, claim, look, step, **more)  # type: ignore[arg-type]


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "dockerfile",
        2,
        "it is written down how images are built",
        _dockerfile,
        "add a Dockerfile, or describe the components in delivery.yaml: pipegraft schema",
    ),
    _signal(
        "image-job",
        2,
        "the pipeline builds images",
        _image_job,
        "pipegraft assess --fix --signal ci-delivers",
        command=("inject", "{ci}"),
    ),
    _signal(
        "image-tag-commit",
        2,
        "an image's name tells its commit or content",
        _tag_by_commit,
        "tag images with $CI_COMMIT_SHA, or let image-build name them by digest",
    ),
    _signal(
        "image-no-latest",
        2,
        "no job moves the tag latest",
        _no_latest,
        "tag by commit alone: nobody can tell what latest was yesterday",
    ),
    _signal(
        "base-image-named", 2, "base images name a version", _base_named, "write a version behind every FROM"
    ),
    _signal(
        "dependencies-locked",
        2,
        "dependencies are locked",
        dependencies_locked,
        "commit the lock file of the package manager, or pin every version (requirements.txt, pom.xml)",
    ),
    _signal(
        "toolchain-pinned",
        2,
        "the toolchain's version is written down",
        _toolchain,
        "write it down: .python-version, .nvmrc, .tool-versions, a toolchain line",
    ),
    _signal(
        "base-image-digest",
        3,
        "base images are pinned by digest",
        _base_digest,
        "write the digest behind the tag: FROM name:tag@sha256:…",
    ),
    _signal(
        "image-each-component",
        3,
        "every component is an image of its own",
        _each_component,
        "list the components in delivery.yaml: pipegraft schema",
    ),
    _signal(
        "dockerignore",
        3,
        "build contexts leave out what no image needs",
        _ignore,
        "pipegraft assess --fix --signal dockerignore",
        mend=_write_ignore,
    ),
    _signal(
        "image-downloads-checked",
        3,
        "what a Dockerfile downloads is checked",
        _one_platform,
        "use ADD --checksum=sha256:…",
    ),
    _signal(
        "image-by-content",
        4,
        "what has not changed is not built again",
        _unchanged_not_built,
        "pipegraft assess --fix --signal ci-delivers",
        command=("inject", "{ci}"),
    ),
    _signal(
        "base-images-renewed",
        5,
        "a program renews the base images' digests",
        _renewed,
        "add renovate.json with docker:pinDigests",
    ),
)
"""The signals of images."""


@hookimpl
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """All of them."""
    return SIGNALS
