"""The pipeline: it runs, it tests, it ends, and nobody has to push a button."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial

from pipegraft.ci.gitlab.configuration import include_entries, load
from pipegraft.core.errors import Place
from pipegraft.core.plugins import hookimpl
from pipegraft.maturity.model import (
    Dimension,
    Evidence,
    Finding,
    Job,
    Repository,
    Signal,
    absent,
    no,
    unseen,
    yes,
)
from pipegraft.maturity.signals import (
    NO_CI,
    at_job,
    commands,
    each,
    jobs,
    jobs_that_run,
    put,
    stage_jobs,
)

__all__ = ["SIGNALS", "pipegraft_maturity_signals", "test_jobs"]

_TESTS = (
    r"\b(pytest|unittest|tox|nox|nosetests|go test|gotestsum|cargo (test|nextest)|dotnet test|ctest"
    r"|bats|phpunit|pest|rspec|jest|vitest|mocha|karma|playwright test|cypress run|sbt test|lein test"
    r"|mix test|rake (test|spec)|(npm|yarn|pnpm)( run)? test|(mvn|mvnw)\b.*\b(test|verify|package"
    r"|install)|(gradle|gradlew)\b.*\b(test|check|build)|make\b.*\b(test|check)|bazel test|swift test"
    r"|flutter test)\b"
)
_LINT = (
    r"\b(ruff|flake8|pylint|mypy|pyright|black --check|isort --check|eslint|tsc|prettier --check"
    r"|golangci-lint|go vet|staticcheck|cargo (clippy|fmt)|checkstyle|spotless|spotbugs|pmd|ktlint"
    r"|detekt|rubocop|phpstan|psalm|shellcheck|hadolint|yamllint|ansible-lint|tflint|sonar-scanner"
    r"|semgrep|compileall|dotnet format|(npm|yarn|pnpm)( run)? lint|make\b.*\b(lint|check))\b"
)
_INSTALL = (
    r"\b(pip install|uv sync|poetry install|npm (ci|i|install)|yarn install|pnpm i|go mod download"
    r"|bundle install|mvn|mvnw|gradlew?|cargo|composer install|dotnet restore)\b"
)
_DEPLOY = r"\b(kubectl (apply|set|rollout)|helm (upgrade|install)|pipegraft run|argocd app sync)\b"
_TEST_FILES = (
    "test_*.py", "*_test.py", "*_test.go", "*.test.ts", "*.test.tsx", "*.test.js", "*.spec.ts", "*.spec.js",
    "*Test.java", "*Tests.java", "*IT.java", "*Test.kt", "*Spec.scala", "*_spec.rb", "*_test.rb", "*Test.php",
    "*Tests.cs", "*Test.cs", "*_test.rs", "*.bats", "*_test.cc", "*_test.cpp", "*_test.exs",
)  # fmt: skip


def test_jobs(repository: Repository) -> list[tuple[Job, str]]:
    """Jobs that run tests, with the command."""
    return jobs_that_run(repository, _TESTS)


def _file(repository: Repository) -> Finding:
    ci = repository.ci
    if ci is None:
        return no("neither .gitlab-ci.yml nor Jenkinsfile is there, nor one file like them by another name")
    return yes(f"{ci.system} runs it", Evidence(Place(ci.file, 1), ci.file))


def _parses(repository: Repository) -> Finding:
    ci = repository.ci
    if ci is None:
        return no(NO_CI)
    if ci.problem:
        return no(ci.problem, Evidence(Place(ci.file)))
    if not ci.jobs and ci.opaque:
        return unseen(f"every job comes from {', '.join(ci.opaque)}")
    return yes(f"{len(ci.jobs)} jobs", *map(at_job, ci.jobs[:3])) if ci.jobs else no("it has no job")


def _on(repository: Repository, attribute: str, when: str) -> Finding:
    known = [job for job in jobs(repository) if getattr(job, attribute) is not None]
    if not jobs(repository):
        return no(NO_CI)
    if not known:
        return unseen("the job on the Jenkins server decides, not its file")
    run = [job for job in known if getattr(job, attribute) and not job.manual]
    return (
        yes(f"{len(run)} jobs run when {when}", *map(at_job, run[:3]))
        if run
        else no(f"no job runs when {when}")
    )


_on_push = partial(_on, attribute="branches", when="a branch is pushed")
_on_merge_request = partial(_on, attribute="merge_requests", when="a merge request changes")


def _tests(repository: Repository) -> Finding:
    found = test_jobs(repository)
    if not found:
        return no("no job runs a test command that is known here")
    return yes(f"{len(found)} jobs test", *(at_job(job, line) for job, line in found[:3]))


def _test_files(repository: Repository) -> Finding:
    found = repository.find(*_TEST_FILES)
    if not found:
        return no("no file is named as tests are")
    return yes(f"{len(found)} files", *(Evidence(Place(path), "") for path in found[:3]))


def _tests_may_not_fail(repository: Repository) -> Finding:
    found = [job for job, _ in test_jobs(repository)]
    lenient = [
        job
        for job in found
        if job.may_fail or any(re.search(r"\|\|\s*(true|:)\s*$", one) for one in commands(job))
    ]
    return each(
        "tests that fail stop nothing",
        [at_job(job) for job in found],
        [at_job(job) for job in lenient],
        "no job tests",
    )


def _lint(repository: Repository) -> Finding:
    found = jobs_that_run(repository, _LINT)
    if not found:
        return no("no job checks the code without running it")
    return yes(f"{len(found)} jobs check", *(at_job(job, line) for job, line in found[:3]))


def _images_named(repository: Repository) -> Finding:
    named = [job for job in jobs(repository) if job.image and "$" not in job.image]
    bad = [job for job in named if _is_floating(job.image)]
    return each(
        "images without a version",
        [at_job(job, job.image) for job in named],
        [at_job(job, job.image) for job in bad],
        "the runner chooses the jobs' images",
    )


def _is_floating(image: str) -> bool:
    return "@" not in image and image.rpartition("/")[2].partition(":")[2] in ("", "latest")


def _limits(repository: Repository) -> Finding:
    known = [job for job in jobs(repository) if job.limited is not None and "trigger" not in job.keys]
    if not known:
        return absent(NO_CI)
    bad = [job for job in known if not job.limited]
    return each(
        "jobs without a time limit", [at_job(job) for job in known], [at_job(job) for job in bad], NO_CI
    )


def _put_default(repository: Repository, key: str, value: str | bool) -> Mapping[str, str]:
    """A key of ``default:``, which every job of GitLab takes over."""
    ci = repository.ci
    if ci is None or ci.system != "gitlab" or not ci.jobs:
        return {}
    return put(repository, ci.file, {("default", key): value})


_limit_all = partial(_put_default, key="timeout", value="1h")
_interrupt_all = partial(_put_default, key="interruptible", value=True)


def _interruptible(repository: Repository) -> Finding:
    ci = repository.ci
    if ci is None or ci.problem:
        return absent(NO_CI)
    if ci.system == "jenkins":
        found = repository.search(r"disableConcurrentBuilds\s*\(\s*abortPrevious\s*:\s*true", ci.file)
        older = no("an older build runs on beside a newer one")
        return yes("an older build is stopped", *found) if found else older
    good = [job for job in ci.jobs if job.keys.get("interruptible") is True]
    return (
        yes(f"{len(good)} jobs may be stopped by a newer pipeline", *map(at_job, good[:3]))
        if good
        else no("no job may be stopped by a newer pipeline")
    )


def _reports(repository: Repository) -> Finding:
    ci = repository.ci
    if ci is None or not test_jobs(repository):
        return absent("no job tests")
    if ci.system == "jenkins":
        found = repository.search(r"^[^/\n]*\bjunit\b\s*[('\"]", ci.file)
        return yes("test results are published", *found) if found else no("no test results are published")
    good = [job for job in ci.jobs if "junit" in str((job.keys.get("artifacts") or {}).get("reports", ""))]
    return (
        yes("test results are published", *map(at_job, good[:3]))
        if good
        else no("no test results are published")
    )


def _cache(repository: Repository) -> Finding:
    ci = repository.ci
    if ci is None or ci.system != "gitlab" or ci.problem:
        return absent("caches of Jenkins are outside of its file")
    installing = [(job, line) for job, line in jobs_that_run(repository, _INSTALL) if not _is_delivery(job)]
    if not installing:
        return absent("no job installs dependencies")
    good = [job for job, _ in installing if job.keys.get("cache")]
    if good:
        return yes("dependencies are kept", *map(at_job, good[:3]))
    found = (at_job(job, line) for job, line in installing[:3])
    return no("every pipeline fetches all dependencies anew", *found)


def _is_delivery(job: Job) -> bool:
    return any("pipegraft run" in line for line in commands(job))


def _grafted(repository: Repository) -> Finding:
    if not jobs(repository):
        return no(NO_CI)
    found = [job for stage in ("image-build", "iac-bump") for job in stage_jobs(repository, stage)]
    return (
        yes("delivery's stages are in the pipeline", *map(at_job, found[:3]))
        if found
        else no("the pipeline ends before delivery begins")
    )


def _pinned_templates(repository: Repository) -> Finding:
    ci = repository.ci
    if ci is None or ci.system != "gitlab" or ci.problem:
        return absent("nothing is included from elsewhere")
    entries = include_entries(load(repository.read(ci.file) or "", ci.file).values)
    elsewhere = [
        one for one in entries if isinstance(one, Mapping) and {"project", "remote", "component"} & one.keys()
    ]
    good: list[Evidence] = []
    bad: list[Evidence] = []
    for one in elsewhere:
        name = str(one.get("project") or one.get("remote") or one.get("component"))
        found = repository.search(re.escape(name), ci.file, limit=1)
        evidence = Evidence(found[0].place if found else Place(ci.file), name)
        good.append(evidence)
        if not _is_pinned(one):
            bad.append(evidence)
    return each("includes that change by themselves", good, bad, "nothing is included from elsewhere")


def _is_pinned(entry: Mapping[str, object]) -> bool:
    """Whether an include names a version: a `ref` that is no usual branch, or a version in its address."""
    if "project" in entry:
        return str(entry.get("ref", "HEAD")) not in ("HEAD", "main", "master", "develop", "trunk")
    address = str(entry.get("remote") or entry.get("component"))
    return re.search(r"[/@](v?\d+\.\d+[\w.-]*|[0-9a-f]{40})(/|$)", address) is not None


def _no_hands(repository: Repository) -> Finding:
    if not jobs(repository):
        return no(NO_CI)
    deploying = [job for job in jobs(repository) if _deploys(job)]
    by_hand = [job for job in deploying if job.manual]
    if by_hand:
        return no("a person starts what deploys", *map(at_job, by_hand[:3]))
    return (
        yes("what deploys starts by itself", *map(at_job, deploying[:3]))
        if deploying
        else no("no job deploys")
    )


def _deploys(job: Job) -> bool:
    named = bool(job.environment) or re.search(r"\b(deploy|release|prod(uction)?)\b", job.name, re.IGNORECASE)
    return bool(named) or any(re.search(_DEPLOY, line) for line in commands(job))


def _signal(name: str, stage: int, claim: str, look: object, step: str, **more: object) -> Signal:
    return Signal(name, Dimension.PIPELINE, stage, claim, look, step, **more)  # type: ignore[arg-type]


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "ci-file",
        2,
        "a CI configuration is in the repository",
        _file,
        "add .gitlab-ci.yml or a Jenkinsfile with one job that tests",
    ),
    _signal(
        "ci-parses",
        2,
        "the CI configuration can be read and has jobs",
        _parses,
        "mend the file at the place that is named",
    ),
    _signal(
        "ci-on-push",
        2,
        "every push runs the pipeline",
        _on_push,
        "give a job the rule `if: $CI_COMMIT_BRANCH`",
    ),
    _signal(
        "ci-on-merge-request",
        2,
        "every merge request runs the pipeline",
        _on_merge_request,
        'give the jobs the rule `if: $CI_PIPELINE_SOURCE == "merge_request_event"`',
    ),
    _signal("ci-tests", 2, "a job runs the tests", _tests, "add a job that runs the tests"),
    _signal("test-files", 2, "there are tests", _test_files, "write a first test"),
    _signal(
        "ci-tests-count",
        2,
        "a test that fails stops the pipeline",
        _tests_may_not_fail,
        "remove `allow_failure` and `|| true` from the jobs that test",
    ),
    _signal(
        "ci-lint",
        2,
        "a job checks the code without running it",
        _lint,
        "add a job with the language's linter",
    ),
    _signal(
        "ci-images-named",
        2,
        "the jobs' images name a version",
        _images_named,
        "write a version behind every `image:`, or better a digest",
    ),
    _signal(
        "ci-job-limits",
        3,
        "every job has a time limit",
        _limits,
        "pipegraft assess --fix --signal ci-job-limits",
        mend=_limit_all,
    ),
    _signal(
        "ci-interruptible",
        3,
        "a newer pipeline stops an older one",
        _interruptible,
        "pipegraft assess --fix --signal ci-interruptible",
        mend=_interrupt_all,
    ),
    _signal(
        "ci-test-reports",
        3,
        "test results are published",
        _reports,
        "publish them: `artifacts: reports: junit:` or the step `junit`",
    ),
    _signal(
        "ci-cache",
        3,
        "dependencies are kept between pipelines",
        _cache,
        "give the jobs that install a `cache:` by the lock file's key",
    ),
    _signal(
        "ci-delivers",
        3,
        "the pipeline builds images and pins them in the IaC repository",
        _grafted,
        "pipegraft assess --fix --signal ci-delivers",
        command=("inject", "{ci}"),
    ),
    _signal(
        "ci-templates-pinned",
        4,
        "what is included from elsewhere names a version",
        _pinned_templates,
        "name a tag or commit with `ref:`",
    ),
    _signal(
        "ci-no-hands",
        5,
        "nobody starts what deploys",
        _no_hands,
        "remove `when: manual`: the gate and the gray release take the person's place",
    ),
)
"""The signals of the pipeline."""


@hookimpl
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """All of them."""
    return SIGNALS
