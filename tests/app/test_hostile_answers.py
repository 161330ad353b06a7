"""Every part of an answer, one after the other, is something else: no defect, no thread that dies of it."""

from __future__ import annotations

import copy
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import gitlab_double
import pytest
import yaml
from http_script import Script, scripted

from pipegraft.core.delivery import MergeRequest, Metric
from pipegraft.core.errors import Held, PipegraftError
from pipegraft.core.ports import FakeClock
from pipegraft.core.reading import readable
from pipegraft.engine.adapters.metrics import EmbeddedSource, Options
from pipegraft.gate.adapters import argocd, flux
from pipegraft.gray.adapters.prometheus_api import PrometheusApi, ServerOptions
from pipegraft.gray.ports import MetricRequest
from pipegraft.iac.adapters.gitlab import GitLabBranch, MergeRequestBranch, open_gitlab_project
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.model import CONFIG_MAP, ClusterOptions

ODD: tuple[Any, ...] = (None, 5, "x", "9" * 5000, [], {}, [5], KeyError)
"""What stands in a part's place; the last takes it away."""
RAW = (b"", b"<html>", b'{"a":', b"NaN", b"1e999", b"[" * 9999, b'{"a":' * 9999, b"\xff{}", b'"x"', b"[[]]")
"""Whole answers of another kind, under 200 and as JSON."""
RULES = {one.name: one.verdict for module in (argocd, flux) for one in module.pipegraft_gitops_engines()}
RECORDED = Path(__file__).parent.parent / "gate" / "recorded"


def places(data: Any, route: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Routes to the parts of plain data; of a list, to the first."""
    pairs = (
        data.items()
        if isinstance(data, dict)
        else list(enumerate(data))[:1]
        if isinstance(data, list)
        else ()
    )
    for key, value in pairs:
        yield (*route, key)
        yield from places(value, (*route, key))


def changed(data: Any, route: tuple[Any, ...], odd: Any) -> Any:
    """A copy in which one part is odd."""
    if not route:
        return odd
    made = copy.deepcopy(data)
    above = made
    for key in route[:-1]:
        above = above[key]
    if odd is KeyError:
        del above[route[-1]]
    else:
        above[route[-1]] = odd
    return made


def odd_ones(data: Any, each: int = len(ODD)) -> Iterator[Any]:
    """Copies of plain data with one odd part, for every part `each` of all kinds in turn."""
    kinds = itertools.cycle(ODD)
    for route in ((), *places(data)):
        yield from (changed(data, route, odd) for odd in islice(kinds, each) if route or odd is not KeyError)


def ends_well(call: Callable[[], object]) -> bool:
    """Whether a call ended in an answer; an error for people is no answer, and anything else escapes."""
    try:
        call()
    except PipegraftError:
        return False
    return True


@pytest.mark.parametrize("controller", ["argocd-3.5.7", "flux-1.9"])
def test_no_part_of_an_engines_answer_is_a_defect(controller: str) -> None:
    seen: set[tuple[Any, ...]] = set()
    for case in json.loads((RECORDED / f"{controller}-answers.json").read_text()):
        for route in set(places(case["status"])) - seen:
            seen.add(route)
            for odd in (None, 5, [5], KeyError):
                status = changed(case["status"], route, odd)
                ends_well(partial(judged, RULES[controller.partition("-")[0]], status, case["target"]))
    assert len(seen) > 50


def judged(rule: Callable[..., Any], status: Any, target: str) -> str:
    """The verdict, as the gate asks for it."""
    with readable("the engine"):
        return str(rule(status, lambda revision: revision == target))


QUERY = "/api/v1/query"
VECTOR = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1, "2"]}]},
}
MATRIX = {
    "status": "success",
    "data": {"resultType": "matrix", "result": [{"metric": {"a": "b"}, "values": [[1, "2"]]}]},
}


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted({}) as running:
        yield running


def test_no_part_of_prometheus_answer_is_a_defect(script: Script) -> None:
    now: list[Any] = [VECTOR]
    script.answers = dict.fromkeys((QUERY, f"{QUERY}_range"), lambda _script, _query: now[0])
    api = PrometheusApi(ServerOptions(url=script.url), Path())
    for answer, ask in ((VECTOR, api.instant), (MATRIX, api.range)):
        asked = ("up", 1.0) if answer is VECTOR else ("up", 1.0, 2.0, 1.0)
        now[0] = answer
        assert ask(*asked)  # type: ignore[operator]
        for now[0] in (*odd_ones(answer), *RAW):
            ends_well(partial(ask, *asked))


@pytest.mark.parametrize("page", ["/metrics", "/instances"])
def test_no_page_of_the_proxy_is_a_defect(script: Script, page: str) -> None:
    texts = [b'pipegraft_route_weight{route="shop-x/web"} 5\n', b"pipegraft_route_weight 5\n", b"a{b= 5\n"]
    rows = {"bounds": [0.1], "rows": [[1, "shop-x/web", "stable", "a", [0, 1, 2]]]}
    now: list[Any] = [b""]
    script.answers = dict.fromkeys(("/metrics", "/instances"), lambda _script, _query: now[0])
    metric = Metric.model_validate({"source": "embedded", "kind": "errors", "url": script.url})
    source = EmbeddedSource(Options(url=script.url), MetricRequest("shop", "x", metric, Path()))
    for now[0] in (*RAW, *texts, *(odd_ones(rows) if page == "/instances" else ())):
        for call in (partial(source.begin, 0, 0), partial(source.take, 0), partial(source.pods, 0, 120, 60)):
            ends_well(call)


PATH = "/api/v1/namespaces/shop/configmaps"
ITEM = {"metadata": {"name": "one", "namespace": "shop", "resourceVersion": "5"}, "data": {"a": "1"}}
CHANGE = {"type": "MODIFIED", "object": {"metadata": {**ITEM["metadata"], "resourceVersion": "6"}}}
KUBERNETES: dict[str, Any] = {
    PATH: {"metadata": {"resourceVersion": "5"}, "items": [ITEM]},
    f"{PATH}/one": ITEM,
    "watch": CHANGE,
}


def asked(config: Path, until: Callable[[], bool]) -> None:
    """What is asked of a cluster, until its watch has taken what it was sent."""
    cluster = Cluster(ClusterOptions(kubeconfig=str(config)), Path())
    try:
        for call in (
            lambda: cluster.watched(CONFIG_MAP).objects(),
            lambda: cluster.get(CONFIG_MAP, "one"),
            lambda: cluster.find(CONFIG_MAP),
            lambda: cluster.merge(CONFIG_MAP, "one", {"data": {}}),
        ):
            ends_well(call)
        until()
        ends_well(lambda: cluster.watched(CONFIG_MAP).objects())
    finally:
        cluster.close()


def test_no_part_of_a_clusters_answer_is_a_defect_or_ends_a_watch(script: Script, tmp_path: Path) -> None:
    now = dict(KUBERNETES)
    watched = threading.Event()

    def listed(script: Script, query: dict[str, str]) -> Any:
        return events(script) if query.get("watch") else now[PATH]

    def events(script: Script) -> Iterator[Any]:
        yield now["watch"]
        watched.set()
        script.ended.wait(5)

    script.answers = {PATH: listed, f"{PATH}/one": lambda _script, _query: now[f"{PATH}/one"]}
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "c", "cluster": {"server": script.url}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    for place, answer in KUBERNETES.items():
        for odd in odd_ones(answer, each=2):
            now = {**KUBERNETES, place: odd}
            watched.clear()
            asked(tmp_path / "config", partial(watched.wait, 5 if place == "watch" else 0))


FILES = {"app.yaml": "app: shop\n", "environments/production.yaml": "a: 1\n"}
MESSAGE = "s\n\nPipegraft-App: a\nPipegraft-Environment: e\nPipegraft-Release: 5\n"


def proposed(lab: gitlab_double.GitLab) -> None:
    """What a bump asks of GitLab, by a commit and by a merge request."""
    project = open_gitlab_project(f"{lab.url}/iac/shop.git", {"PIPEGRAFT_IAC_TOKEN": gitlab_double.TOKEN})
    branch = GitLabBranch(project, "main")
    tip = branch.tip()
    read = [branch.read(path, tip) for path in FILES]
    branch.files_below("environments", tip)
    branch.log("app.yaml")
    branch.contains(tip, tip)
    made = branch.commit({"environments/production.yaml": f"{read[1]}b: 1\n"}, "ours", tip)
    request = MergeRequestBranch(project, "main", MergeRequest(wait=0.0), FakeClock())
    for _ in range(2):  # made, then brought up to date
        with suppress(Held):
            request.commit({"environments/production.yaml": "c: 1\n"}, MESSAGE, made)


def test_no_part_of_gitlabs_answer_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    odd: dict[str, Any] = {}

    def told(name: str, route: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*given: Any) -> Any:
            try:
                said = route(*given)
            except (KeyError, TypeError):  # asked for something odd that it said before
                raise gitlab_double.Refused(404, "404 Not Found") from None
            seen.setdefault(name, copy.deepcopy(said))
            return odd.get(name, said)

        return answer

    routes = [(way, path, told(f"{way} {path}", route)) for way, path, route in gitlab_double.ROUTES]
    monkeypatch.setattr(gitlab_double, "ROUTES", routes)
    with gitlab_double.serve_gitlab(FILES) as lab:
        proposed(lab)
        for name, answer in list(seen.items()):
            for one in odd_ones(answer, each=1):
                odd.clear()
                odd[name] = one
                ends_well(partial(proposed, lab))
    assert len(seen) > 6
