"""The CI lint API, spoken with through python-gitlab: agreement, disagreement and no answer."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from pipegraft.ci.gitlab import system as gitlab
from pipegraft.ci.gitlab.adapters import TOKEN, verify
from pipegraft.ci.gitlab.configuration import Files, layers_of
from pipegraft.ci.gitlab.inject import inject
from pipegraft.ci.hooks import InjectionRequest, InjectOptions
from pipegraft.core.errors import AccessDenied, EditRefused, Unreachable, UsageError
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.core.stage import Stage

ROOT = ".gitlab-ci.yml"
PIPELINE = "include: {project: far/away, file: x.yml}\nstages: [build]\nbuild: {stage: build, script: make}\n"
TEMPLATES = gitlab.make_templates((Stage(name="image-build", summary="x", run=print, scope="app"),))
FAR = "far: {script: away}\n"


class _Server:
    """A double of ``POST /projects/:id/ci/lint`` that knows the file that is included from far away."""

    def __init__(self, change=lambda _content, answer: answer, status=201):
        outer = self
        self.questions: list[dict] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.path == "/api/v4/projects/team%2Fshop/ci/lint"
                assert self.headers["PRIVATE-TOKEN"] == "secret"
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.questions.append(question)
                body = json.dumps(change(question["content"], outer.answer(question["content"]))).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/team/shop"

    @staticmethod
    def answer(content):
        layers = layers_of(
            ROOT, content.replace("{project: far/away, file: x.yml}", "x.yml"), Files({"x.yml": FAR}.get)
        )
        merged = {key: value for layer in layers for key, value in layer.values.items()}
        return {"valid": True, "errors": [], "warnings": [], "merged_yaml": yaml.safe_dump(merged)}

    def __enter__(self):
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def _verify(url, mode="include", token="secret"):
    request = InjectionRequest(
        file=ROOT,
        text=PIPELINE,
        plan=Plan("shop", (PlannedStage("image-build"),)),
        options=InjectOptions(mode=mode),
        templates=TEMPLATES,
    )
    return verify(request, inject(request), url, {TOKEN: token})


@pytest.mark.parametrize(("mode", "asked"), [("include", 2), ("child", 3)])
def test_the_server_agrees(mode, asked):
    with _Server() as server:
        said = _verify(server.url, mode).verified
    assert "its 2 jobs are the same before and after" in said
    contents = [question["content"] for question in server.questions]
    assert len(contents) == asked
    assert contents[0] == PIPELINE
    assert ".pipegraft/gitlab.yml" not in "".join(contents)  # the server does not have it yet
    assert "pipegraft:image-build" in contents[-1]


@pytest.mark.parametrize(("mode", "far"), [("include", ("far", "build")), ("child", ("far", "build"))])
def test_with_the_server_nothing_of_when_is_unknown(mode, far):
    with _Server() as server:
        injection = _verify(server.url, mode)
    push = injection.events[0]
    assert (push.pipeline, push.delivery, push.unread) == ("yes", "yes", ())
    assert set(push.behind) == set(far)
    assert not any("cannot be read" in note for note in injection.notes)


def test_a_workflow_from_far_away_that_keeps_delivery_from_running_is_refused():
    def change(_content, answer):
        flow = "workflow: {rules: [{if: $CI_MERGE_REQUEST_IID}]}\n"
        return {**answer, "merged_yaml": answer["merged_yaml"] + flow}

    with (
        _Server(change) as server,
        pytest.raises(EditRefused, match="delivery would never run: on a push to the default branch"),
    ):
        _verify(server.url)


def test_a_job_that_comes_from_far_away_and_changes_is_found():
    def change(content, answer):
        if "pipegraft" in content:
            answer["merged_yaml"] = answer["merged_yaml"].replace("away", "elsewhere")
        return answer

    with (
        _Server(change) as server,
        pytest.raises(EditRefused, match="does not agree with the graft: job 'far'"),
    ):
        _verify(server.url)


def test_what_the_server_finds_invalid_is_refused():
    def change(content, answer):
        return {**answer, "valid": "pipegraft" not in content, "errors": ["jobs:far is twice"]}

    with _Server(change) as server, pytest.raises(EditRefused, match="jobs:far is twice"):
        _verify(server.url)


def test_a_pipeline_that_was_invalid_before_is_the_teams_to_mend():
    def change(_content, answer):
        return {**answer, "valid": False, "errors": ["no"]}

    with _Server(change) as server, pytest.raises(UsageError, match="invalid without delivery: no"):
        _verify(server.url)


@pytest.mark.parametrize(("status", "error"), [(401, AccessDenied), (404, AccessDenied), (500, Unreachable)])
def test_a_server_that_does_not_answer(status, error):
    with _Server(status=status) as server, pytest.raises(error):
        _verify(server.url)


def test_no_server():
    with pytest.raises(Unreachable, match="gave no answer"):
        _verify("http://127.0.0.1:1/team/shop")


@pytest.mark.parametrize(
    ("url", "token"), [("team/shop", "secret"), ("https://git.example.com/team/shop", "")]
)
def test_what_is_missing_is_said_before_anything_is_asked(url, token):
    with pytest.raises(UsageError):
        _verify(url, token=token)
