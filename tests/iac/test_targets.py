"""Images in files of other tools: each kind finds its places, and every other byte stays."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pipegraft.core.delivery import Delivery, Target
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.iac.plan import try_release
from pipegraft.iac.ports import CommitFiles, FakeIacRepository
from pipegraft.iac.released_images import PinnedImage, Reference
from pipegraft.iac.targets.charts import handed_to_helm, read_chart
from pipegraft.iac.targets.compare import Expected, still_named
from pipegraft.iac.targets.units import find_unit
from pipegraft.iac.targets.writing import Around, write_target

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
WEB = PinnedImage("registry.example.com:5000/shop/web", NEW, "ih-2")
PRICING = PinnedImage("registry.example.com:5000/shop/pricing", NEW, "ih-3")
IMAGES = {"web": WEB, "pricing": PRICING}


def write(text: str, **target: object) -> str:
    made = write_target(text, Target.model_validate({"file": "f.yaml", **target}), IMAGES, "f.yaml").text
    assert (
        write_target(made, Target.model_validate({"file": "f.yaml", **target}), IMAGES, "f.yaml").text == made
    )
    return made


HELM = """\
# values of production
web:
  replicas: 3   # busy
  image: {repository: registry.example.com:5000/shop/web, tag: "ih-1", digest: 'OLD'}
""".replace("OLD", OLD)


@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        ("digest", HELM.replace(OLD, NEW)),
        ("both", HELM.replace(OLD, NEW).replace("ih-1", "ih-2")),
        ("tag", HELM.replace(f", digest: '{OLD}'", "").replace("ih-1", "ih-2")),
    ],
)
def test_helm_values(pin: str, expected: str) -> None:
    assert write(HELM, kind="helm", path="web.image", component="web", write=pin) == expected


def test_helm_values_with_a_registry_of_their_own() -> None:
    text = "image:\n  registry: docker.io\n  repository: web\n  digest: x\n"
    assert yaml.safe_load(write(text, kind="helm", path="image", component="web"))["image"] == {
        "registry": "registry.example.com:5000",
        "repository": "shop/web",
        "digest": NEW,
    }


def test_helm_values_with_one_string() -> None:
    text = f"web:\n  image: r/web@{OLD} # c\n"
    assert (
        write(text, kind="helm", path="web.image", component="web")
        == f"web:\n  image: {WEB.reference()} # c\n"
    )


KUSTOMIZATION = """\
resources: [../base]
images:
- name: web      # ours
  newTag: v1
- {name: redis, newTag: "7"}
"""


def test_kustomize_changes_and_adds_entries() -> None:
    target = Target.model_validate({"file": "f.yaml", "kind": "kustomize"})
    around = Around(below=["web:v1", "redis", f"{PRICING.repository}:v1"])
    made = write_target(KUSTOMIZATION, target, IMAGES, "f.yaml", around).text
    data = yaml.safe_load(made)
    assert data["images"] == [
        {"name": "web", "newName": WEB.repository, "digest": NEW},
        {"name": "redis", "newTag": "7"},
        {"name": PRICING.repository, "digest": NEW},
    ]
    assert '- {name: redis, newTag: "7"}\n' in made
    assert "# ours" in made


def test_kustomize_without_images_gets_them() -> None:
    target = Target.model_validate(
        {"file": "f.yaml", "kind": "kustomize", "component": "web", "write": "both"}
    )
    made = write_target(
        "resources: [../base]\n", target, IMAGES, "f.yaml", Around(below=["web:v1", "redis"])
    ).text
    assert yaml.safe_load(made)["images"] == [
        {"name": "web", "newName": WEB.repository, "newTag": "ih-2", "digest": NEW}
    ]


MANIFESTS = """\
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: load, image: registry.example.com:5000/shop/pricing:v1}]
      containers:
      - name: main
        image: registry.example.com:5000/shop/web:v1@OLD   # by repository
      - name: proxy
        image: envoy:v1.30
---
kind: Service
---
apiVersion: batch/v1
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: web, image: other/web}]}}}}}
"""


def test_manifests_of_every_kind_of_workload() -> None:
    made = write(MANIFESTS, kind="manifest")
    assert made == (
        MANIFESTS.replace("shop/pricing:v1", f"shop/pricing@{NEW}").replace(
            "shop/web:v1@OLD", f"shop/web:ih-2@{NEW}"
        )
    )


def test_a_manifest_without_the_image_is_refused() -> None:
    with pytest.raises(EditRefused, match=r"the image of 'web' .*; the images there are: envoy:v1"):
        write("spec: {containers: [{name: proxy, image: 'envoy:v1'}]}\n", kind="manifest", component="web")


def test_kubevela_application() -> None:
    text = """\
apiVersion: core.oam.dev/v1beta1
kind: Application
spec:
  components:
    - name: web
      type: webservice
      properties:
        image: old   # set by the pipeline
        port: 80
    - name: cache
      properties: {image: redis}
"""
    assert write(text, kind="kubevela", component="web") == text.replace(
        "image: old", f"image: {WEB.reference()}"
    )
    with pytest.raises(EditRefused, match="pricing"):
        write(text, kind="kubevela", component="pricing")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("reference", WEB.reference()), ("digest", NEW), ("tag", "ih-2"), ("repository", WEB.repository)],
)
def test_any_path(value: str, expected: str) -> None:
    text = 'a:\n- {b: "x"}  # c\n'
    assert (
        write(text, kind="yaml", path="a[0].b", component="web", value=value)
        == f'a:\n- {{b: "{expected}"}}  # c\n'
    )


def test_a_path_that_is_not_there_is_refused() -> None:
    with pytest.raises(EditRefused, match="a"):
        write("b: 1\n", kind="yaml", path="a.c", component="web")


TEMPLATE = """\
{{- if .Values.web }}
image: "old"      # pipegraft:set=web.reference
digest: old       # pipegraft:set=web.digest
other: 'old'      # pipegraft:set=pricing.tag
web = "old" // pipegraft:set=web.tag
{{- end }}
"""


def test_markers_in_files_that_are_not_yaml() -> None:
    made = write(TEMPLATE, kind="marker")
    assert made == (
        TEMPLATE.replace('"old"      #', f'"{WEB.reference()}"      #')
        .replace("digest: old", f"digest: {NEW}")
        .replace("'old'", "'ih-3'")
        .replace('web = "old"', 'web = "ih-2"')
    )
    only_web = write(TEMPLATE, kind="marker", component="web")
    assert "'old'" in only_web


def test_a_file_without_a_marker_is_refused() -> None:
    with pytest.raises(EditRefused, match=r"pipegraft:set=web\.digest"):
        write("image: old\n", kind="marker")


def test_a_template_is_refused_with_a_way_out() -> None:
    with pytest.raises(EditRefused) as caught:
        write(TEMPLATE, kind="manifest")
    assert "marker" in caught.value.problem.fix
    assert str(caught.value.problem.place).startswith("f.yaml:1:")


def test_a_component_without_an_image_is_refused() -> None:
    with pytest.raises(EditRefused, match="'cart'"):
        write("a: 1\n", kind="yaml", path="a", component="cart")


@pytest.mark.parametrize(
    "reference", ["h:5000/a/b", "h:5000/a/b:v1", f"h:5000/a/b@{OLD}", f"h:5000/a/b:v1@{OLD}"]
)
def test_the_repository_of_a_reference(reference: str) -> None:
    assert Reference.parse(reference).repository == "h:5000/a/b"


@pytest.mark.parametrize(
    "target",
    [
        {"kind": "helm", "file": "f"},
        {"kind": "yaml", "file": "f", "path": "a"},
        {"kind": "manifest", "file": "f", "path": "a"},
        {"kind": "manifest", "file": "../f"},
        {"kind": "marker", "file": "f", "source": "argo/web.yaml", "values": ["a.yaml"]},
    ],
)
def test_targets_that_say_too_little_or_too_much(target: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"expected|needs|remove"):
        Target.model_validate(target)


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: "REPOSITORY:1", args: ["--a=REPOSITORY:1", "--b=REPOSITORY-b:1"]}]
""".replace("REPOSITORY", WEB.repository)


def told_effects(engine: str, files: dict[str, str], *targets: dict[str, Any], **target: object) -> list[str]:
    """What is told of the effect of a release on one file, or on those of several targets."""
    repository = FakeIacRepository(files)
    delivery = Delivery.model_validate(
        {
            "app": "shop",
            "registry": "registry.example.com:5000/shop",
            "components": {"web": {"path": "web"}},
            "iac": {"repository": "iac.git"},
            "environments": {
                "live": {"gate": {"engine": engine, "application": "shop"}, "targets": targets or [target]},
            },
        }
    )
    return [
        str(one)
        for one in try_release(CommitFiles(repository, repository.tip()), delivery, "live", renderers={})
    ]


@pytest.mark.parametrize(
    ("kind", "files", "doubts"),
    [
        ("GitRepository", ["envs/values.yaml"], 1),
        ("GitRepository", ["values.yaml"], 1),
        ("GitRepository", ["./charts/web/values.yaml", "envs/values.yaml"], 0),
        ("HelmRepository", ["values.yaml", "values-prod.yaml"], 0),
    ],
)
def test_only_the_charts_own_values_are_what_it_has_by_default(
    kind: str, files: list[str], doubts: int
) -> None:
    chart = {"chart": "./charts/web", "sourceRef": {"kind": kind}, "valuesFiles": files}
    release = {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "spec": {"chart": {"spec": chart}},
    }
    assert len(handed_to_helm(release, ("spec", "values"), files_named=True).unknown) == doubts


def test_two_objects_of_one_file_are_not_proven_by_the_first() -> None:
    one = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {path: charts/web, "
        "helm: {valueFiles: [values-live.yaml]}}}\n"
    )
    files = {"charts/web/Chart.yaml": "name: web\n", "charts/web/values-live.yaml": "image: {tag: v1}\n"}
    repository = FakeIacRepository({**files, "argo.yaml": f"{one}---\n{one}"})
    path = "charts/web/values-live.yaml"
    target = Target(kind="helm", file=path, path="image", component="web", source="argo.yaml")
    with pytest.raises(UsageError, match="found 2"):
        find_unit(CommitFiles(repository, repository.tip()), target, path, "")


def test_what_names_the_new_image_first_and_an_old_one_then_is_told() -> None:
    text = f"{WEB.repository}@{NEW} {WEB.repository}:1"
    expected = Expected("web", WEB, frozenset({"digest"}))
    (told,) = still_named([{"kind": "ConfigMap", "data": {"a": text}}], [expected])
    assert told.endswith(f"still names {WEB.repository}:1")


UMBRELLA = {
    "Chart.yaml": "name: shop\ndependencies: [{name: web, version: 1.0.0, repository: '', alias: front}]\n",
    "values.yaml": "replicas: 1\n",
    "values-prod.yaml": "replicas: 2\n",
    "charts/web/Chart.yaml": "name: web\nversion: 1.0.0\n",
    "charts/web/values.yaml": f"image: {{repository: {WEB.repository}, tag: v1}}\n",
    "charts/web/templates/pod.yaml": "image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n",
}
AT_PART = {"kind": "helm", "path": "image", "component": "web", "values": ["values-prod.yaml"]}


def test_the_own_values_of_a_part_of_a_chart_are_always_read() -> None:
    (told,) = told_effects("flux", UMBRELLA, file="charts/web/values.yaml", **AT_PART)
    assert "its templates read front.image" in told


@pytest.mark.parametrize(
    ("file", "said"),
    [("charts/web/values.yaml", "front: {image: {tag: v9}}\n"), ("values.yaml", "image: {tag: v9}\n")],
)
def test_values_read_later_hide_the_charts_own(file: str, said: str) -> None:
    own = UMBRELLA["charts/web/values.yaml"]
    files = {**UMBRELLA, "values.yaml": own, "values-prod.yaml": said}
    files["templates/pod.yaml"] = UMBRELLA["charts/web/templates/pod.yaml"]
    with pytest.raises(UsageError, match=r"values-prod\.yaml says .*image\.tag too"):
        told_effects("flux", files, file=file, **AT_PART)


@pytest.mark.parametrize("first", ["x-image", "unread"])
def test_every_value_is_read_or_repeated_by_an_alias(first: str) -> None:
    """Of two values that no template reads by their paths, one stands elsewhere by an alias."""
    image = f"repository: {WEB.repository}, tag: v1"
    values = f"x-image: &image {{{image}}}\nunread: {{{image}}}\nimage: *image\n"
    files = {path.removeprefix("charts/web/"): text for path, text in UMBRELLA.items() if "charts" in path}
    files |= {"values.yaml": values}
    targets = [
        {"kind": "helm", "file": "values.yaml", "path": path, "component": "web"}
        for path in sorted(["x-image", "unread"], key=lambda one: one != first)
    ]
    with pytest.raises(UsageError, match=r"no template of the chart reads unread"):
        told_effects("flux", files, *targets)


def test_an_alias_is_looked_for_in_the_values_file_and_not_in_the_object_that_names_it() -> None:
    image = f"repository: {WEB.repository}, tag: v1"
    files = {path: text for path, text in UMBRELLA.items() if path.startswith("charts/web/")}
    files["envs/live.yaml"] = f"x-image: &image {{{image}}}\nimage: *image\n"
    files["argo.yaml"] = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {path: charts/web, "
        "helm: {valueFiles: [../../envs/live.yaml]}}}\n"
    )
    (told,) = told_effects(
        "flux",
        files,
        kind="helm",
        file="envs/live.yaml",
        path="x-image",
        component="web",
        source="argo.yaml",
    )
    assert "not proven: helm is not installed" in told


def test_what_still_names_an_old_image_is_told() -> None:
    (told,) = told_effects("flux", {"pod.yaml": POD}, kind="manifest", file="pod.yaml")
    assert told == (
        "pod.yaml: read as manifests, but for what an object of Flux sets elsewhere; "
        "Pod web: spec.containers[0].args[0] still names registry.example.com:5000/shop/web:1"
    )


@pytest.mark.parametrize(
    ("engine", "beyond"),
    [
        ("argocd", ", but for what an Application of Argo CD sets elsewhere"),
        ("flux", ", but for what an object of Flux sets elsewhere"),
        ("embedded", ""),
    ],
)
def test_an_effect_goes_as_far_as_the_folder_that_is_rendered(engine: str, beyond: str) -> None:
    files = {
        "kustomization.yaml": f"resources: [pod.yaml]\nimages: [{{name: {WEB.repository}, newTag: v1}}]\n",
        "pod.yaml": POD.partition(", args")[0] + "}]\n",
    }
    (told,) = told_effects(engine, files, kind="kustomize", file="kustomization.yaml")
    assert told == f".: by following its bases and images (kustomize is not installed){beyond}"


@pytest.mark.parametrize(
    ("template", "reads"),
    [
        ("# {{ .Values.image.tag }}\n{{- if .Values.on }}\na: 1\n{{- end }}\n", "no"),
        ("# {{- if .Values.image.tag }}\na: 1\n# {{- end }}\n", "yes"),
        ("data:\n  run: |\n    #!/bin/sh\n    # {{ .Values.image.tag }}\n", "yes"),
        ("data:\n  run: |\n    true\n  # {{ .Values.image.tag }}\n", "no"),
    ],
)
def test_comments_read_no_value_and_lines_of_block_scalars_do(template: str, reads: str) -> None:
    repository = FakeIacRepository({"Chart.yaml": "name: web\n", "templates/a.yaml": template})
    chart = read_chart(CommitFiles(repository, repository.tip()), "")
    assert chart is not None
    assert chart.reads(("image", "tag")) == reads


@pytest.mark.parametrize("named", [True, False])
def test_a_part_is_switched_off_only_where_the_values_files_are_known(named: bool) -> None:
    files = {**UMBRELLA, "values-prod.yaml": f"front: {{{UMBRELLA['charts/web/values.yaml'].strip()}}}"}
    files["Chart.yaml"] = files["Chart.yaml"].replace("alias: front", "alias: front, condition: front.on")
    files["values.yaml"] = "front: {on: false}\n"
    files["base.yaml"] = "front: {on: true}\n"
    target = {"kind": "helm", "file": "values-prod.yaml", "path": "front.image", "component": "web"}
    if named:
        (told,) = told_effects("flux", files, **target, values=["base.yaml", "values-prod.yaml"])
        assert "its templates read front.image" in told
        with pytest.raises(UsageError, match=r"front\.on is false"):
            told_effects("flux", files, **target, values=["values-prod.yaml"])
    else:
        (told,) = told_effects("flux", files, **target)
        assert "not proven" in told
        assert "name all values files in 'values'" in told
