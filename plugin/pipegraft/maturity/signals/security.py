"""Security: no secrets in the repository, few rights, and proof of where things come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pipegraft.appspec.model import Reference
from pipegraft.core.errors import Place
from pipegraft.core.plugins import hookimpl
from pipegraft.maturity.model import Dimension, Evidence, Finding, Repository, Signal, absent, no, unseen, yes
from pipegraft.maturity.signals import (
    NO_DELIVERY,
    NO_IAC,
    aside,
    at_job,
    at_line,
    dockerfiles,
    each,
    in_delivery,
    jobs,
    jobs_that_run,
    manifests,
    stage_jobs,
)

__all__ = ["SIGNALS", "pipegraft_maturity_signals"]

_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abpr]-[0-9A-Za-z-]{20,}"
    r"|-----BEGIN (?:RSA |EC |OPENSSH |DSA |PGP )?PRIVATE KEY(?: BLOCK)?-----\s*\n[A-Za-z0-9+/=\s]{40,}"
    r"|\bAIza[0-9A-Za-z_-]{35}\b|\bsk_live_[0-9a-zA-Z]{24,}|\bnpm_[A-Za-z0-9]{36}\b"
    r"|\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}"
)
"""Formats that mean one thing alone: AWS, GitHub, GitLab, Slack, private keys, Google, Stripe, npm, JWT."""
_MARKS = (
    "AKIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "glpat-",
    "xox",
    "PRIVATE KEY",
    "AIza",
    "sk_live_",
    "npm_",
    ".eyJ",
)
"""One of these is in every such form; most files have none, and are not looked at any closer."""
_MADE_UP = re.compile(
    r"EXAMPLE|example|dummy|fake|placeholder|xxxx|XXXX|0{8}|1234567|abcdef|(.)\1{7}", re.IGNORECASE
)
_GENERATED = re.compile(r"\.lock$|-lock\.")
_SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIALS?)$", re.IGNORECASE
)
_PROSE = re.compile(
    r"(^|/)(LICEN[CS]E|\.git(ignore|attributes|keep)|CODEOWNERS)$|\.(md|rst|adoc)$", re.IGNORECASE
)
"""Files of a repository in which no work has begun."""
_MOST_BYTES = 8 << 20
"""Text that is searched for secrets; more would cost an assessment its second."""
_SCAN = (
    r"\b(trivy|grype|snyk|clair|anchore|dependency-check|npm audit|yarn audit|pnpm audit|pip-audit"
    r"|safety check|cargo (audit|deny)|govulncheck|osv-scanner|bundle audit|docker scout|gemnasium)\b"
)
_BOTS = (
    "renovate.json",
    "renovate.json5",
    ".renovaterc",
    ".renovaterc.json",
    "dependabot.yml",
    "dependabot.yaml",
)


def _no_secrets(repository: Repository) -> Finding:
    found: list[Evidence] = []
    searched = 0
    for path in repository.files:
        if aside(path) or _GENERATED.search(path):
            continue
        text = repository.read(path) or ""
        searched += len(text)
        if searched > _MOST_BYTES:
            break
        if not any(mark in text for mark in _MARKS):
            continue
        for match in _SECRET.finditer(text):
            if not _MADE_UP.search(match[0]):
                line = text.count("\n", 0, match.start()) + 1
                found.append(
                    at_line(path, line, f"{match[0][:8]}…")
                )  # enough to find it, too little to use it
    if found:
        return no("something that looks like a secret", *found[:3])
    return yes("no known form of a secret is there") if _has_begun(repository) else absent(_NOTHING)


def _no_env_files(repository: Repository) -> Finding:
    found = [
        path
        for path in repository.find(
            ".env", ".env.*", "id_rsa", "*.pem", "*.p12", "*.pfx", "*.jks", "credentials.json"
        )
        if not path.endswith((".example", ".sample", ".template", ".dist"))
        and not aside(path)
        and not re.search(r"BEGIN (PUBLIC KEY|CERTIFICATE)", repository.read(path) or "")
        and (repository.read(path) is None or _assigns_secret(path, repository.read(path) or ""))
    ]
    evidence = [Evidence(Place(path, 1), path) for path in found]
    if found:
        return no("files that hold secrets are committed", *evidence[:3])
    return yes("no such file is committed") if _has_begun(repository) else absent(_NOTHING)


_NOTHING = "there is nothing yet that could hold one"


def _has_begun(repository: Repository) -> bool:
    """Whether there is more than prose: where nothing is, keeping nothing secret is no merit."""
    return any(not _PROSE.search(path) for path in repository.files)


def _assigns_secret(path: str, text: str) -> bool:
    if not path.rpartition("/")[2].startswith(".env"):
        return True
    values = re.findall(r"^(?:export\s+)?(\w+)\s*=\s*[\"']?([^\s\"'#$]+)", text, re.MULTILINE)
    return any(_SECRET_NAME.search(name) and len(value) > 5 for name, value in values)


def _ci_variables(repository: Repository) -> Finding:
    if not jobs(repository):
        return absent("there is no pipeline")
    bad: list[Evidence] = []
    settings = repository.ci.settings if repository.ci else None
    shared = (settings or {}).get("variables") or {}
    for job, variables in [
        (None, shared),
        *((job, job.keys.get("variables") or {}) for job in jobs(repository)),
    ]:
        for name, value in variables.items() if isinstance(variables, Mapping) else ():
            text = str(value.get("value", "") if isinstance(value, Mapping) else value)
            if _SECRET_NAME.search(str(name)) and len(text) > 5 and "$" not in text:
                bad.append(
                    at_job(job, str(name))
                    if job
                    else Evidence(Place(repository.ci.file if repository.ci else "", 1), str(name))
                )
    bad = list(dict.fromkeys(bad))
    return (
        no("secrets are written into the CI configuration", *bad[:3])
        if bad
        else yes("no secret is written into it")
    )


def _non_root(repository: Repository) -> Finding:
    good: list[Evidence] = []
    bad: list[Evidence] = []
    for path, steps in dockerfiles(repository):
        start = max((at for at, step in enumerate(steps) if step.keyword == "FROM"), default=0)
        users = [step for step in steps[start:] if step.keyword == "USER"]
        base = next((step.rest for step in steps[start:] if step.keyword == "FROM"), "")
        if users and users[-1].rest.split(":")[0].strip() not in ("root", "0", ""):
            good.append(at_line(path, users[-1].line, f"USER {users[-1].rest}"))
        elif not users and re.search(r"nonroot|rootless|-unprivileged", base):
            good.append(at_line(path, steps[start].line, f"FROM {base}"))
        else:
            bad.append(at_line(path, (users[-1] if users else steps[start]).line if steps else 1, path))
    return each("images that run as root", [*good, *bad], bad, "there is no Dockerfile")


def _no_secret_in_image(repository: Repository) -> Finding:
    bad = [
        at_line(path, step.line, f"{step.keyword} {name}")
        for path, steps in dockerfiles(repository)
        for step in steps
        if step.keyword in ("ENV", "ARG")
        for name in re.findall(r"(\w+)=\S", step.rest)
        if _SECRET_NAME.search(name)
    ]
    there = [Evidence(Place(path, 1), path) for path, _ in dockerfiles(repository)]
    return each("secrets become part of the image", there, bad, "there is no Dockerfile")


def _updates(repository: Repository) -> Finding:
    found = repository.find(*_BOTS)
    if found:
        return yes("dependencies are kept new by a program", Evidence(Place(found[0], 1), found[0]))
    return no("nobody is told of newer dependencies")


def _scans(repository: Repository) -> Finding:
    found = [at_job(job, line) for job, line in jobs_that_run(repository, _SCAN)]
    found += list(repository.search(r"template:\s*(Security|Jobs)/\S*(Scanning|SAST)\S*", ".gitlab-ci.yml"))
    return (
        yes("known vulnerabilities are looked for", *found[:3])
        if found
        else no("no job looks for known vulnerabilities")
    )


def _references(repository: Repository) -> Finding:
    iac = repository.iac
    if iac is None:
        return unseen(NO_IAC) if repository.delivery else no(NO_DELIVERY)
    good: list[Evidence] = []
    bad: list[Evidence] = []
    layers = [("app.yaml", iac.app.components)] if iac.app else []
    layers += [(f"environments/{name}.yaml", one.components) for name, one in iac.environments.items()]
    for file, components in layers:
        for name, component in components.items():
            for variable, value in (component.env or {}).items():
                if _SECRET_NAME.search(variable) and value is not None:
                    evidence = Evidence(Place(f"{iac.folder}{file}"), f"{name}: {variable}")
                    (good if isinstance(value, Reference) else bad).append(evidence)
    plain = manifests(iac.tree).kinds.get("Secret")
    if plain is not None:
        bad.append(Evidence(plain, "a Secret in the open"))
    if not (good or bad):
        return yes("no secret is written there")
    return each("secrets that can be read in the IaC repository", good, bad, "")


def _provenance(repository: Repository) -> Finding:
    stage = stage_jobs(repository, "image-build")
    if stage:
        return yes("image-build attaches provenance and an SBOM", at_job(stage[0]))
    found = jobs_that_run(repository, r"\b(cosign (attest|sign)|syft|--provenance|--attest|--sbom|slsa)\b")
    return (
        yes("images get attestations", *(at_job(job, line) for job, line in found[:3]))
        if found
        else no("nothing says what an image was built from")
    )


def _required(repository: Repository) -> Finding:
    delivery = repository.delivery
    if delivery is None:
        return no(NO_DELIVERY)
    name = list(delivery.environments)[-1]
    evidence = in_delivery(repository, "environments", name, "require")
    if delivery.environments[name].require.provenance:
        return yes(f"{name} takes no image without provenance", evidence)
    return no(f"{name} takes images that nobody vouches for", in_delivery(repository, "environments", name))


def _signal(name: str, stage: int, claim: str, look: object, step: str) -> Signal:
    return Signal(name, Dimension.SECURITY, stage, claim, look, step)  # type: ignore[arg-type]


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "no-secrets",
        2,
        "no secret is in the repository",
        _no_secrets,
        "revoke it, take it out, and keep it in a masked CI variable",
    ),
    _signal(
        "no-secret-files",
        2,
        "no file for secrets is committed",
        _no_env_files,
        "take it out with git rm --cached, and name it in .gitignore",
    ),
    _signal(
        "no-ci-secrets",
        2,
        "no secret is written into the CI configuration",
        _ci_variables,
        "keep it in a masked and protected CI variable",
    ),
    _signal(
        "no-image-secrets",
        3,
        "no secret becomes part of an image",
        _no_secret_in_image,
        "mount it while building: RUN --mount=type=secret",
    ),
    _signal(
        "non-root",
        3,
        "images do not run as root",
        _non_root,
        "write USER with a number above 0 at the end of the Dockerfile",
    ),
    _signal("dependency-updates", 3, "a program keeps dependencies new", _updates, "add renovate.json"),
    _signal(
        "secret-references",
        4,
        "the IaC repository names secrets, it does not hold them",
        _references,
        "write `{secret: NAME, key: KEY}` instead of the value",
    ),
    _signal(
        "vulnerability-scan",
        4,
        "a job looks for known vulnerabilities",
        _scans,
        "add a job with trivy, grype or the language's own scanner",
    ),
    _signal(
        "provenance",
        4,
        "every image says what it was built from",
        _provenance,
        "pipegraft assess --fix --signal ci-delivers",
    ),
    _signal(
        "provenance-required",
        5,
        "production takes no image without provenance",
        _required,
        "add `require: {provenance: true}` to the environment in delivery.yaml",
    ),
)
"""The signals of security."""


@hookimpl
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """All of them."""
    return SIGNALS
