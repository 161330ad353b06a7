"""Files of other tools as teams have them, a release that is written into each, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipegraft.iac.released_images import PinnedImage

__all__ = ["CASES", "IMAGES", "NEW", "OLD", "Case"]

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
REPOSITORY = "registry.example.com/shop/web"
WEB = PinnedImage(REPOSITORY, NEW, "ih-2")
API = PinnedImage("registry.example.com/shop/api", NEW, "ih-3")
IMAGES: Mapping[str, PinnedImage] = {"web": WEB, "api": API}
BY_TAG, BY_DIGEST, BY_BOTH = (WEB.reference(pin) for pin in ("tag", "digest", "both"))
API_BY_TAG, API_BY_DIGEST = API.reference("tag"), API.reference("digest")


@dataclass(frozen=True, slots=True)
class Case:
    """A release written into files.

    Arguments:
        name: of the case.
        files: path → text.
        targets: as in `delivery.yaml`.
        runs: every image that is rendered afterwards, none if the bump is refused; or one word of
            ``(not proven)``, ``(values)``: only values are looked at, ``(text)…``: the whole file.
        refused: what the refusal says.
        components: those of the release.
        rendered: whether Helm or Kustomize renders it, so that the effect is proven by it.
        effect: policy of the environment.
    """

    name: str
    files: Mapping[str, str] = field(repr=False)
    targets: Sequence[Mapping[str, Any]]
    runs: frozenset[str] = frozenset()
    refused: str = ""
    components: tuple[str, ...] = ("web",)
    rendered: bool = True
    effect: str | None = None


def case(
    name: str,
    files: Mapping[str, str],
    *targets: Mapping[str, Any],
    runs: str | Sequence[str] = (),
    refused: str = "",
    components: tuple[str, ...] = ("web",),
    rendered: bool = True,
    effect: str | None = None,
) -> Case:
    """A case; `runs` may be one image."""
    images = frozenset([runs] if isinstance(runs, str) else runs)
    assert bool(images) is not bool(refused), f"{name}: either exact or refused"
    return Case(name, files, targets, images, refused, components, rendered, effect)


# Charts ---------------------------------------------------------------------------------------------------

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-NAME
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/managed-by: {{ .Release.Service }}
spec:
  {{- if not .Values.autoscaling }}
  replicas: {{ .Values.replicaCount | default 1 }}
  {{- end }}
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
        - name: NAME
          image: IMAGE
          {{- with .Values.resources }}
          resources: {{- toYaml . | nindent 12 }}
          {{- end }}
        - name: log
          image: fluent/fluent-bit:3.1
"""
LOG = "fluent/fluent-bit:3.1"
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}-NAME"}
spec:
  type: {{ (.Values.service).type | default "ClusterIP" }}
  ports: [{port: 80, targetPort: http}]
"""


def chart(
    image: str, values: str, *, folder: str = "charts/web", name: str = "web", about: str = "", **more: str
) -> dict[str, str]:
    """A chart whose one Deployment runs an image as a template writes it."""
    start = f"{folder}/" if folder else ""
    return {
        f"{start}Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: 0.1.0\nappVersion: 1.16.0\n{about}",
        f"{start}values.yaml": values,
        f"{start}templates/deployment.yaml": DEPLOYMENT.replace("IMAGE", image).replace("NAME", name),
        f"{start}templates/service.yaml": SERVICE.replace("NAME", name),
        **{f"{start}{path}": text for path, text in more.items()},
    }


@dataclass(frozen=True, slots=True)
class Form:
    """How a chart takes an image.

    Arguments:
        image: what its template writes.
        values: the mapping in its values, as one line after ``image:``.
        carries: what may be asked for → the image that is rendered then; empty for the target without `write`.
        keys: what the target must say of it.
    """

    image: str
    values: str
    carries: Mapping[str, str]
    keys: Mapping[str, str] = field(default_factory=dict)


_BITNAMI = (
    '{{ with .Values.image }}{{ if .digest }}"{{ .registry }}/{{ .repository }}@{{ .digest }}"'
    '{{ else }}"{{ .registry }}/{{ .repository }}:{{ .tag }}"{{ end }}{{ end }}'
)
_BOTH = (
    '{{ with .Values.image }}"{{ .repository }}{{ if .tag }}:{{ .tag }}{{ end }}'
    '{{ if .digest }}@{{ .digest }}{{ end }}"{{ end }}'
)
FORMS: Mapping[str, Form] = {
    "helm-create": Form(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"',
        f'{{repository: {REPOSITORY}, pullPolicy: IfNotPresent, tag: "v1"}}',
        {"": BY_TAG, "tag": BY_TAG},
    ),
    "app-version": Form(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"',
        '{repository: nginx, pullPolicy: IfNotPresent, tag: ""}',
        {"": BY_TAG, "tag": BY_TAG},
    ),
    "digest-alone": Form(
        '"{{ .Values.image.repository }}@{{ .Values.image.digest }}"',
        f"{{repository: {REPOSITORY}, digest: '{OLD}'}}",
        {"": BY_DIGEST, "digest": BY_DIGEST},
    ),
    "bitnami": Form(
        _BITNAMI,
        '{registry: docker.io, repository: bitnami/nginx, tag: 1.25.3-debian-11-r1, digest: ""}',
        {"": BY_DIGEST, "digest": BY_DIGEST, "tag": BY_TAG, "both": BY_DIGEST},
    ),
    "both": Form(
        _BOTH,
        f"{{repository: {REPOSITORY}, tag: v1, digest: '{OLD}'}}",
        {"": BY_BOTH, "digest": f"{REPOSITORY}:v1@{NEW}", "tag": BY_TAG, "both": BY_BOTH},
    ),
    "repo-version": Form(
        '"{{ .Values.image.repo }}:{{ .Values.image.version }}"',
        f"{{repo: {REPOSITORY}, version: 1.4.2}}",
        {"": BY_TAG, "tag": BY_TAG},
    ),
    "name-tag": Form(
        '{{ printf "%s:%s" .Values.image.name (.Values.image.tag | toString) | quote }}',
        f"{{name: {REPOSITORY}, tag: 17}}",
        {"": BY_TAG, "tag": BY_TAG},
    ),
    "own-names": Form(
        '"{{ .Values.image.hub }}:{{ .Values.image.build }}"',
        f"{{hub: {REPOSITORY}, build: 41}}",
        {"": BY_TAG, "tag": BY_TAG},
        {"repository": "hub", "tag": "build"},
    ),
    "sha": Form(
        '"{{ .Values.image.repository }}@sha256:{{ .Values.image.sha }}"',
        f"{{repository: {REPOSITORY}, sha: {'a' * 64}}}",
        {"": BY_DIGEST, "digest": BY_DIGEST},
    ),
    "tag-with-digest": Form(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        f"{{repository: {REPOSITORY}, tag: 'v1@{OLD}'}}",
        {"": BY_BOTH, "tag": BY_TAG, "both": BY_BOTH, "digest": f"{REPOSITORY}:v1@{NEW}"},
    ),
    "one-string": Form(
        "{{ .Values.image | quote }}",
        f"'{REPOSITORY}:v1'",
        {"": BY_DIGEST, "digest": BY_DIGEST, "tag": BY_TAG, "both": BY_BOTH},
    ),
    "registry-apart": Form(
        '"{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        "{registry: quay.io, repository: shop/web, tag: v1}",
        {"": BY_TAG, "tag": BY_TAG},
    ),
    "helper": Form(
        '{{ include "web.image" . }}',
        f'{{repository: {REPOSITORY}, tag: "v1"}}',
        {"": BY_TAG, "tag": BY_TAG},
    ),
}
HELPER = (
    '{{- define "web.image" -}}\n{{- $image := .Values.image -}}\n'
    '{{ printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}\n{{- end -}}\n'
)
WRITES = ("", "tag", "digest", "both")


def helm(file: str, **more: Any) -> dict[str, Any]:
    return {"kind": "helm", "file": file, "path": "image", "component": "web", **more}


def _of_form(name: str, form: Form, write: str, values: str) -> Case:
    files = chart(form.image, values, **{"templates/_helpers.tpl": HELPER})
    target = helm("charts/web/values.yaml", **({"write": write} if write else {}))
    if form.keys:
        target["keys"] = form.keys
    if write in form.carries:
        return case(name, files, target, runs=[form.carries[write], LOG])
    return case(name, files, target, refused="no place for the")


def forms() -> Iterator[Case]:
    """Every form, with everything that may be asked for."""
    for name, form in FORMS.items():
        for write in WRITES:
            values = f"# Default values for web.\nreplicaCount: 2\n\nimage: {form.values}  # the image\n"
            yield _of_form(f"helm-{name}-{write or 'as-it-stands'}", form, write, values)


def block_forms() -> Iterator[Case]:
    """As `helm create` and Bitnami write them: in blocks, with comments, texts and anchors around."""
    create = f"""\
# Default values for web.
# This is a YAML-formatted file.

replicaCount: 1

# This sets the container image more information can be found here: https://kubernetes.io/docs/concepts/
image:
  repository: {REPOSITORY}
  # This sets the pull policy for images.
  pullPolicy: IfNotPresent
  # Overrides the image tag whose default is the chart appVersion.
  tag: "1.0"

imagePullSecrets: []
nameOverride: ""
service: {{type: ClusterIP, port: 80}}

resources: {{}}
  # limits:
  #   cpu: 100m
autoscaling: false
"""
    yield case(
        "helm-create-block",
        chart(FORMS["helm-create"].image, create),
        helm("charts/web/values.yaml"),
        runs=[BY_TAG, LOG],
    )
    bitnami = """\
## @section Web parameters
## @param image.registry [default: REGISTRY_NAME] image registry
## @param image.digest Image digest in the way sha256:aa.... Please note this parameter, if set, will override the tag
##
image:
  registry: docker.io
  repository: bitnami/nginx
  tag: 1.25.3-debian-11-r1
  digest: ""
  ## Specify a imagePullPolicy
  pullPolicy: IfNotPresent
  pullSecrets: []
"""
    for write in WRITES:
        target = helm("charts/web/values.yaml", **({"write": write} if write else {}))
        runs = [BY_TAG if write == "tag" else BY_DIGEST, LOG]
        yield case(f"bitnami-block-{write or 'as-it-stands'}", chart(_BITNAMI, bitnami), target, runs=runs)
    crlf = create.replace("\n", "\r\n")
    yield case(
        "helm-create-crlf",
        chart(FORMS["helm-create"].image, crlf),
        helm("charts/web/values.yaml"),
        runs=[BY_TAG, LOG],
    )
    bom = "\ufeff" + create.rstrip("\n")
    yield case(
        "helm-create-bom-no-end",
        chart(FORMS["helm-create"].image, bom),
        helm("charts/web/values.yaml"),
        runs=[BY_TAG, LOG],
    )
    anchored = f"image: &image\n  repository: {REPOSITORY}\n  tag: &tag v1\nworker: {{image: *image, version: *tag}}\n"
    yield case(
        "helm-anchors",
        chart(FORMS["helm-create"].image, anchored),
        helm("charts/web/values.yaml"),
        runs=[BY_TAG, LOG],
    )
    merged = f"base: &base {{repository: {REPOSITORY}, tag: v1}}\nimage:\n  <<: *base\n  pullPolicy: Always\n"
    yield case(
        "helm-merge-key",
        chart(FORMS["helm-create"].image, merged),
        helm("charts/web/values.yaml"),
        refused="merge|<<",
    )
    odd = f"since: 2024-02-31\noperator: =\nmode: 0755\nimage: {{repository: {REPOSITORY}, tag: v1}}\n"
    yield case(
        "helm-odd-scalars",
        chart(FORMS["helm-create"].image, odd),
        helm("charts/web/values.yaml"),
        runs=[BY_TAG, LOG],
    )
    twice = f"image: {{repository: {REPOSITORY}, tag: v1}}\nimage: {{repository: {REPOSITORY}, tag: v2}}\n"
    yield case(
        "helm-duplicate-keys",
        chart(FORMS["helm-create"].image, twice),
        helm("charts/web/values.yaml"),
        refused="twice|duplicate|two",
    )
    nobody = chart('"registry.example.com/shop/web:v1"', f"image: {{repository: {REPOSITORY}, tag: v1}}\n")
    yield case(
        "helm-values-nobody-reads",
        nobody,
        helm("charts/web/values.yaml"),
        refused="reads|would still run|read by nobody",
    )
    other = chart(
        FORMS["helm-create"].image,
        f"image: {{repository: {REPOSITORY}, tag: v1}}\nother: {{repository: {REPOSITORY}, tag: v1}}\n",
    )
    yield case(
        "helm-wrong-path",
        other,
        helm("charts/web/values.yaml", path="other"),
        refused="reads|would still run|read by nobody",
    )
    absent = chart(FORMS["helm-create"].image, f"image: {{repository: {REPOSITORY}, tag: v1}}\n")
    yield case(
        "helm-no-such-path", absent, helm("charts/web/values.yaml", path="web.image"), refused="there is no"
    )
    part = chart(FORMS["helm-create"].image, f"image: {{repository: {REPOSITORY}, tag: v1}}\n")
    yield case(
        "helm-path-of-the-tag",
        part,
        helm("charts/web/values.yaml", path="image.tag"),
        refused="is the tag of an image",
    )
    both = chart(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        f"image: {{repository: {REPOSITORY}, tag: v1}}\n",
        **{"templates/job.yaml": DEPLOYMENT.replace("NAME", "job").replace("IMAGE", f"{REPOSITORY}:v1")},
    )
    yield case("helm-a-second-use-by-hand", both, helm("charts/web/values.yaml"), refused="would still run")
    two = chart(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        f"image: {{repository: {REPOSITORY}, tag: v1}}\n",
        **{
            "templates/job.yaml": DEPLOYMENT.replace("NAME", "job").replace(
                "IMAGE", '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"'
            )
        },
    )
    yield case("helm-two-uses-of-one-value", two, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    labelled = chart(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        f"image: {{repository: {REPOSITORY}, tag: v1}}\n",
        **{
            "templates/config.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  labels: {version: "{{ .Values.image.tag }}"}\n'
        },
    )
    yield case("helm-a-label-with-the-tag", labelled, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    long = labelled | {"charts/web/values.yaml": f"image: {{repository: {REPOSITORY}, tag: 'v1@{OLD}'}}\n"}
    yield case("helm-a-label-with-a-digest", long, helm("charts/web/values.yaml"), refused="label")
    drifting = chart(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        f"image: {{repository: {REPOSITORY}, tag: v1}}\n",
        **{
            "templates/secret.yaml": 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: "{{ randAlphaNum 12 }}"}\n'
        },
    )
    yield case("helm-random-values", drifting, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    scaled = chart(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        f"image: {{repository: {REPOSITORY}, tag: v1}}\n",
        **{
            "templates/extra.yaml": '{{ if eq .Values.image.tag "v1" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: only-with-v1}\n{{ end }}\n'
        },
    )
    yield case(
        "helm-a-tag-that-switches-objects", scaled, helm("charts/web/values.yaml"), refused="more than images"
    )
    broken = chart(
        '"{{ .Values.image.repository }}:{{ required "no tag" .Values.image.version }}"',
        f"image: {{repository: {REPOSITORY}, tag: v1}}\n",
    )
    yield case(
        "helm-cannot-be-rendered", broken, helm("charts/web/values.yaml"), refused="cannot render|reads"
    )


def layered_values() -> Iterator[Case]:
    """Values of an environment over those of the chart, beside it and elsewhere."""
    image = FORMS["helm-create"].image
    base = chart(image, f"image: {{repository: {REPOSITORY}, tag: v1}}\n")
    own = "charts/web/values-production.yaml"
    yield case(
        "values-file-with-the-image",
        base | {own: "image: {tag: v2}  # ours\nreplicaCount: 3\n"},
        helm(own),
        runs=[BY_TAG, LOG],
    )
    yield case("values-file-that-lacks-it", base | {own: "replicaCount: 3\n"}, helm(own), runs=[BY_TAG, LOG])
    yield case(
        "values-file-empty-mapping",
        base | {own: "image: {}\nreplicaCount: 3\n"},
        helm(own),
        runs=[BY_TAG, LOG],
    )
    yield case("values-file-null", base | {own: "image:\nreplicaCount: 3\n"}, helm(own), runs=[BY_TAG, LOG])
    outside = "env/production/web.yaml"
    yield case(
        "values-elsewhere-with-source",
        base | {outside: "image: {tag: v2}\n"},
        helm(outside, source="charts/web"),
        runs=[BY_TAG, LOG],
    )
    yield case(
        "values-in-layers",
        base | {"env/all.yaml": "replicaCount: 2\nimage: {tag: v3}\n", outside: "image: {tag: v2}\n"},
        helm(outside, source="charts/web", values=["env/all.yaml", outside]),
        runs=[BY_TAG, LOG],
    )
    yield case(
        "values-that-another-layer-hides",
        base | {"env/last.yaml": "image: {tag: v3}\n", outside: "image: {tag: v2}\n"},
        helm(outside, source="charts/web", values=[outside, "env/last.yaml"]),
        refused="would still run|counts over",
    )
    yield case(
        "values-of-no-chart",
        {outside: f"image: {{repository: {REPOSITORY}, tag: v1}}\n"},
        helm(outside),
        runs=["(not proven)"],
        rendered=False,
    )
    yield case(
        "values-of-no-chart-required",
        {outside: f"image: {{repository: {REPOSITORY}, tag: v1}}\n"},
        helm(outside),
        refused="not proven",
        effect="require",
    )
    yield case(
        "values-with-no-form", {outside: "replicas: 1\n"}, helm(outside), refused="there is no 'image'"
    )
    yield case(
        "values-created",
        base | {outside: "replicaCount: 1\n"},
        helm(outside, source="charts/web", create=True, write="tag"),
        runs=[BY_TAG, LOG],
    )
    digest = chart(FORMS["both"].image, f"image: {{repository: {REPOSITORY}, tag: v1}}\n")
    yield case("digest-that-only-templates-know", digest, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    noted = base | {own: "# what production has of its own\n"}
    yield case("values-file-of-comments", noted, helm(own), runs=[BY_TAG, LOG])
    layers = base | {"env/base.yaml": "image: {tag: v1}\n", "env/production.yaml": "image: {tag: v2}\n"}
    unread = helm("env/base.yaml", source="charts/web", values=["env/production.yaml"])
    yield case("values-file-that-is-not-listed", layers, unread, refused="still run|not among the values")
    yield case("values-file-missing", base, helm("charts/web/values-staging.yaml"), refused="it is not there")
    yield case(
        "chart-at-the-root",
        chart(image, f"image: {{repository: {REPOSITORY}, tag: v1}}\n", folder=""),
        helm("values.yaml"),
        runs=[BY_TAG, LOG],
    )


def umbrellas() -> Iterator[Case]:
    """Charts of charts: vendored, beside one another, under another name, with globals."""
    image = FORMS["helm-create"].image
    child = chart(image, "image: {repository: nginx, tag: v0}\n", folder="umbrella/charts/web")
    about = "dependencies:\n  - {name: web, version: 0.1.0}\n"
    values = f"global: {{}}\nweb:\n  image:\n    repository: {REPOSITORY}\n    tag: v1\n"
    top = {
        "umbrella/Chart.yaml": f"apiVersion: v2\nname: umbrella\nversion: 1.0.0\n{about}",
        "umbrella/values.yaml": values,
    }
    at = helm("umbrella/values.yaml", path="web.image")
    yield case("umbrella-vendored", top | child, at, runs=[BY_TAG, LOG])
    yield case(
        "umbrella-child-default",
        top | child | {"umbrella/values.yaml": "web: {replicaCount: 2}\n"},
        at,
        runs=[BY_TAG, LOG],
    )
    beside = chart(image, "image: {repository: nginx, tag: v0}\n", folder="web")
    local = top | {
        "umbrella/Chart.yaml": "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n  - {name: web, version: 0.1.0, repository: 'file://../web'}\n"
    }
    yield case("umbrella-beside", local | beside, at, runs=[BY_TAG, LOG])
    aliased = (
        top
        | child
        | {
            "umbrella/Chart.yaml": "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n  - {name: web, version: 0.1.0, alias: shop}\n",
            "umbrella/values.yaml": values.replace("\nweb:", "\nshop:"),
        }
    )
    yield case("umbrella-alias", aliased, helm("umbrella/values.yaml", path="shop.image"), runs=[BY_TAG, LOG])
    yield case(
        "umbrella-wrong-name",
        top | child | {"umbrella/values.yaml": values.replace("\nweb:", "\nshop:")},
        helm("umbrella/values.yaml", path="shop.image"),
        refused="read by nobody|reads|would still run|tag",
    )
    off = (
        top
        | child
        | {
            "umbrella/Chart.yaml": "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n  - {name: web, version: 0.1.0, condition: web.enabled}\n",
            "umbrella/values.yaml": values.replace("web:\n", "web:\n  enabled: false\n"),
        }
    )
    yield case("umbrella-switched-off", off, at, refused="read by nobody|is false")
    remote = top | {
        "umbrella/Chart.yaml": "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n  - {name: web, version: 0.1.0, repository: 'https://charts.example.com'}\n"
    }
    yield case("umbrella-remote", remote, at, runs=["(not proven)"], rendered=False)
    yield case(
        "umbrella-remote-required", remote, at, refused="not in this repository|not proven", effect="require"
    )
    two = {
        **top,
        **child,
        **chart(image, "image: {repository: nginx, tag: v0}\n", folder="umbrella/charts/api", name="api"),
        "umbrella/Chart.yaml": "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n  - {name: web, version: 0.1.0}\n  - {name: api, version: 0.1.0}\n",
        "umbrella/values.yaml": values + f"api: {{image: {{repository: {API.repository}, tag: v1}}}}\n",
    }
    api = helm("umbrella/values.yaml", path="api.image", component="api")
    yield case(
        "umbrella-two-components", two, at, api, runs=[BY_TAG, API_BY_TAG, LOG], components=("web", "api")
    )
    yield case(
        "umbrella-one-component-forgotten",
        two,
        at,
        refused="no target holds the image of 'api'",
        components=("web", "api"),
    )
    yield case(
        "umbrella-components-swapped",
        two,
        helm("umbrella/values.yaml", path="api.image"),
        refused="would still run|more than images|read by nobody|tag",
        components=("web",),
    )
    glob = chart(
        '"{{ .Values.global.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
        "global: {registry: registry.example.com}\nimage: {repository: shop/web, tag: v1}\n",
    )
    yield case("global-registry", glob, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    nested = {
        **top,
        **child,
        "umbrella/values.yaml": values,
        "umbrella/values-eu.yaml": "web: {image: {tag: v1-eu}}\n",
    }
    yield case(
        "umbrella-environment", nested, helm("umbrella/values-eu.yaml", path="web.image"), runs=[BY_TAG, LOG]
    )


# Kustomize ------------------------------------------------------------------------------------------------


def workload(*images: str, kind: str = "Deployment", name: str = "web") -> str:
    """A workload with one container for each image."""
    containers = "".join(
        f"        - name: c{number}\n          image: {image}\n" for number, image in enumerate(images)
    )
    return (
        f"apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n"
        f"  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n{containers}"
    )


OVERLAY = "overlays/production/kustomization.yaml"


def overlay(text: str, *images: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """An overlay of a base whose Deployment runs some images."""
    return {
        "base/kustomization.yaml": "resources: [deploy.yaml]\n",
        "base/deploy.yaml": workload(*images),
        OVERLAY: text,
        **(more or {}),
    }


def kustomize(file: str = OVERLAY, **more: Any) -> dict[str, Any]:
    return {"kind": "kustomize", "file": file, **more}


HEAD = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- ../../base\n"


def kustomizations() -> Iterator[Case]:
    """Entries of `images`, as they stand in overlays."""
    entries = {
        "tag": ("web", "- name: web\n  newTag: v1\n", BY_DIGEST, BY_TAG),
        "name-and-tag": (
            "web:latest",
            f"- name: web\n  newName: {REPOSITORY}\n  newTag: v1  # set by CI\n",
            BY_DIGEST,
            BY_TAG,
        ),
        "digest": (REPOSITORY, f"- name: {REPOSITORY}\n  digest: {OLD}\n", BY_DIGEST, BY_TAG),
        "flow": ("web", '- {name: web, newTag: "7"}\n', BY_DIGEST, BY_TAG),
        "number-as-tag": (
            f"{REPOSITORY}:1",
            f'- name: {REPOSITORY}\n  newTag: "202411"\n',
            BY_DIGEST,
            BY_TAG,
        ),
        "tag-and-digest": (
            "web",
            f"- name: web\n  newName: {REPOSITORY}\n  newTag: v1\n  digest: {OLD}\n",
            BY_BOTH,
            BY_TAG,
        ),
        "moved": (
            "quay.io/upstream/web:v9",
            f"- name: quay.io/upstream/web\n  newName: {REPOSITORY}\n  newTag: v1\n",
            BY_DIGEST,
            BY_TAG,
        ),
    }
    for name, (image, entry, digest, tag) in entries.items():
        files = overlay(f"{HEAD}images:\n{entry}- name: redis\n  newTag: '7'\n", image, "redis:6")
        yield case(f"kustomize-{name}", files, kustomize(), runs=[digest, "redis:7"])
        yield case(f"kustomize-{name}-by-tag", files, kustomize(write="tag"), runs=[tag, "redis:7"])
    yield case("kustomize-no-images", overlay(HEAD, f"{REPOSITORY}:v1"), kustomize(), runs=BY_DIGEST)
    yield case(
        "kustomize-no-entry-other-name",
        overlay(HEAD, "ghcr.io/upstream/shop:v1"),
        kustomize(component="web"),
        refused="there are: ghcr.io/upstream/shop",
    )
    yield case("kustomize-no-entry-stand-in", overlay(HEAD, "web"), kustomize(), runs=BY_DIGEST)
    twice = f"{HEAD}images:\n- name: web\n  newTag: v1\n- name: {REPOSITORY}\n  newTag: v1\n"
    yield case(
        "kustomize-two-entries", overlay(twice, "web:v1", f"{REPOSITORY}:v1"), kustomize(), runs=BY_DIGEST
    )
    dead = f"{HEAD}images:\n- name: shop-web\n  newName: {REPOSITORY}\n  newTag: v1\n"
    yield case(
        "kustomize-entry-that-matches-nothing",
        overlay(dead, "busybox:1"),
        kustomize(),
        refused="read by nobody|nothing that is rendered",
    )
    chained = (
        f"{HEAD}images:\n- name: app\n  newName: web\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\n"
    )
    yield case("kustomize-entries-in-a-chain", overlay(chained, "app:v0"), kustomize(), runs=BY_DIGEST)
    inner = overlay(HEAD, "web") | {
        "base/kustomization.yaml": f"resources: [deploy.yaml]\nimages:\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\n"
    }
    yield case("kustomize-base-has-the-entry", inner, kustomize("base/kustomization.yaml"), runs=BY_DIGEST)
    yield case("kustomize-overlay-over-the-base-entry", inner, kustomize(), runs=BY_DIGEST)
    component = {
        "components/web/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [worker.yaml]\n"
            f"images:\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\n"
        ),
        "components/web/worker.yaml": workload("web", name="worker"),
    }
    with_component = overlay(HEAD + "components:\n- ../../components/web\n", "web:v0", more=component)
    yield case(
        "kustomize-component",
        with_component,
        kustomize("components/web/kustomization.yaml", source="overlays/production"),
        runs=BY_DIGEST,
    )
    yield case("kustomize-overlay-over-a-component", with_component, kustomize(), runs=BY_DIGEST)
    replaced = overlay(
        HEAD
        + f"images:\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\nreplacements:\n- source: {{kind: ConfigMap, name: version, fieldPath: data.note}}\n"
        "  targets:\n  - select: {kind: Deployment}\n    fieldPaths: [metadata.annotations.note]\n    options: {create: true}\nconfigMapGenerator:\n- name: version\n  literals: [note=hello]\n"
        "generatorOptions: {disableNameSuffixHash: true}\n",
        "web",
    )
    yield case("kustomize-replacement-of-a-note", replaced, kustomize(), runs=BY_DIGEST)
    hidden = overlay(
        HEAD
        + f"images:\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\nconfigMapGenerator:\n- name: version\n  literals: ['image={REPOSITORY}:v0']\n"
        "generatorOptions: {disableNameSuffixHash: true}\nreplacements:\n- source: {kind: ConfigMap, name: version, fieldPath: data.image}\n"
        "  targets:\n  - select: {kind: Deployment}\n    fieldPaths: ['spec.template.spec.containers.[name=c0].image']\n",
        "web",
    )
    yield case("kustomize-replacement-of-the-image", hidden, kustomize(), refused="would still run")
    patch = (
        "patches:\n- target: {kind: Deployment, name: web}\n  patch: |-\n    - op: replace\n      path: /spec/template/spec/containers/0/image\n"
        f"      value: {REPOSITORY}:v0\n"
    )
    patched = overlay(f"{HEAD}{patch}images:\n- name: {REPOSITORY}\n  newTag: v1\n", "web")
    yield case("kustomize-patch-of-the-image", patched, kustomize(), runs=BY_DIGEST)
    strategic = overlay(
        f"{HEAD}patches:\n- path: more.yaml\nimages:\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\n",
        "web",
        more={
            "overlays/production/more.yaml": workload("web").replace(
                "        - name: c0\n          image: web\n",
                "        - name: c0\n          env: [{name: A, value: b}]\n        - name: extra\n          image: web:other\n",
            )
        },
    )
    yield case("kustomize-strategic-patch-adds-a-container", strategic, kustomize(), runs=BY_DIGEST)
    several = overlay(
        f"{HEAD}images:\n- name: web\n  newTag: v1\n- name: api\n  newTag: v1\n", "web", "api", "redis:7"
    )
    yield case(
        "kustomize-two-components",
        several,
        kustomize(),
        runs=[BY_DIGEST, API_BY_DIGEST, "redis:7"],
        components=("web", "api"),
    )
    yield case(
        "kustomize-two-components-one-there",
        overlay(f"{HEAD}images:\n- name: web\n  newTag: v1\n", "web"),
        kustomize(),
        refused="no target holds the image of 'api'",
        components=("web", "api"),
    )
    cron = overlay(
        f"{HEAD}images:\n- name: web\n  newTag: v1\n",
        "web",
        more={
            "base/kustomization.yaml": "resources: [deploy.yaml, cron.yaml]\n",
            "base/cron.yaml": "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: cron}\nspec:\n  schedule: '@daily'\n  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, initContainers: [{name: i, image: web}], containers: [{name: c, image: 'web:x'}]}}}}\n",
        },
    )
    yield case("kustomize-cronjob-and-init", cron, kustomize(), runs=BY_DIGEST)
    remote = overlay(
        "resources: ['https://github.com/upstream/deploy//base?ref=v1']\nimages:\n- name: web\n  newTag: v1\n",
        "web",
    )
    yield case("kustomize-remote-base", remote, kustomize(), runs=["(not proven)"], rendered=False)
    yield case("kustomize-remote-base-required", remote, kustomize(), refused="not proven", effect="require")
    yield case(
        "kustomize-remote-base-no-entry",
        overlay("resources: ['https://github.com/upstream/deploy//base?ref=v1']\n", "web"),
        kustomize(component="web"),
        refused="not all",
    )
    yml = {
        path.replace("kustomization.yaml", "kustomization.yml"): text
        for path, text in overlay(f"{HEAD}images:\n- name: web\n  newTag: v1\n", "web").items()
    }
    yield case("kustomize-yml", yml, kustomize("overlays/production/kustomization.yml"), runs=BY_DIGEST)
    prefixed = overlay(
        f"{HEAD}namePrefix: prod-\nnamespace: shop\nimages:\n- name: web\n  newTag: v1\n", "web"
    )
    yield case("kustomize-prefix-and-namespace", prefixed, kustomize(write="both"), runs=BY_BOTH)
    broken = overlay(f"{HEAD}- ../../nothing\nimages:\n- name: web\n  newTag: v1\n", "web")
    yield case("kustomize-missing-base", broken, kustomize(), runs=["(not proven)"], rendered=False)
    custom = overlay(
        f"{HEAD}- rollout.yaml\nimages:\n- name: web\n  newTag: v1\n",
        "web",
        more={
            "overlays/production/rollout.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, image: web}]}}}\n"
        },
    )
    yield case("kustomize-rollout", custom, kustomize(), runs=BY_DIGEST)
    old = overlay(f"{HEAD}images:\n- name: web\n  newTag: v1\n  tagSuffix: -eu\n", "web")
    yield case("kustomize-tag-suffix", old, kustomize(write="tag"), runs=BY_TAG)
    manifest = overlay(HEAD, f"{REPOSITORY}:v1", "redis:7")
    yield case(
        "manifest-of-a-kustomization",
        manifest,
        {"kind": "manifest", "file": "base/deploy.yaml", "source": "overlays/production"},
        runs=[BY_DIGEST, "redis:7"],
    )
    yield case(
        "manifest-of-a-kustomization-overridden",
        overlay(f"{HEAD}images:\n- name: {REPOSITORY}\n  newTag: v1\n", f"{REPOSITORY}:v1"),
        {"kind": "manifest", "file": "base/deploy.yaml", "source": "overlays/production"},
        refused="would still run",
    )
    yield case(
        "patch-file-as-yaml",
        strategic,
        {
            "kind": "yaml",
            "file": "overlays/production/more.yaml",
            "path": "spec.template.spec.containers[1].image",
            "component": "web",
        },
        refused="would still run|read by nobody|nothing that is rendered|web",
    )


# Objects of Flux and Argo CD ------------------------------------------------------------------------------

HELM_RELEASE = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: shop, namespace: flux-system}
spec: {interval: 10m, url: https://charts.example.com}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: web
  namespace: shop
spec:
  interval: 10m
  chart:
    spec: {chart: CHART, sourceRef: {kind: SOURCE, name: shop, namespace: flux-system}}
  values:
    replicaCount: 2
    image:
      repository: registry.example.com/shop/web
      tag: v1 # {"$imagepolicy": "flux-system:web:tag"}
"""
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: web, namespace: argocd}
spec:
  project: default
  destination: {namespace: shop, server: https://kubernetes.default.svc}
  source:
    repoURL: https://git.example.com/shop/iac.git
    targetRevision: main
    path: charts/web
    helm:
"""


def objects() -> Iterator[Case]:
    """Values and images in the objects that Flux and Argo CD deploy by."""
    image = FORMS["helm-create"].image
    charts = chart(image, "image: {repository: nginx, tag: v0}\n")
    remote = HELM_RELEASE.replace("CHART", "web").replace("SOURCE", "HelmRepository")
    local = HELM_RELEASE.replace("CHART", "./charts/web").replace("SOURCE", "GitRepository")
    at = {"kind": "helm", "file": "clusters/web.yaml", "path": "spec.values.image", "component": "web"}
    yield case("flux-remote-chart", {"clusters/web.yaml": remote}, at, runs=["(not proven)"], rendered=False)
    yield case(
        "flux-remote-chart-required",
        {"clusters/web.yaml": remote},
        at,
        refused="not proven",
        effect="require",
    )
    yield case(
        "flux-local-chart",
        charts | {"clusters/web.yaml": local},
        at | {"source": "charts/web"},
        runs=[BY_TAG, LOG],
    )
    yield case(
        "flux-digest-that-the-chart-does-not-read",
        charts | {"clusters/web.yaml": local},
        at | {"source": "charts/web", "write": "digest"},
        refused="no place for the digest",
    )
    bare = local.partition("    image:")[0]
    yield case("flux-overlay-without-the-image", {"clusters/web.yaml": bare}, at, refused="create: true")
    yield case(
        "flux-overlay-without-the-image-chart-known",
        charts | {"clusters/web.yaml": bare},
        at | {"source": "charts/web"},
        runs=[BY_TAG, LOG],
    )
    yield case(
        "flux-overlay-created",
        {"clusters/web.yaml": bare},
        at | {"create": True, "write": "tag"},
        runs=["(not proven)"],
        rendered=False,
    )
    unread = chart('"{{ .Values.web.tag }}"', "web: {tag: x}\n")
    yield case(
        "flux-values-nobody-reads",
        unread | {"clusters/web.yaml": local},
        at | {"source": "charts/web"},
        refused="read",
    )
    through = {"clusters/kustomization.yaml": "resources: [web.yaml]\n", "clusters/web.yaml": remote}
    yield case("flux-helm-release-in-a-kustomization", through, at, runs=["(values)"])
    two = f"{remote}---\n{remote.replace('name: web', 'name: web-canary')}"
    yield case("flux-two-releases-with-the-path", {"clusters/web.yaml": two}, at, refused="document")
    yield case(
        "flux-two-releases-one-named",
        {"clusters/web.yaml": two},
        at | {"document": 1},
        runs=["(not proven)"],
        rendered=False,
    )
    flux_kustomization = (
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: shop, namespace: flux-system}\n"
        f"spec:\n  interval: 10m\n  path: ./base\n  prune: true\n  sourceRef: {{kind: GitRepository, name: shop}}\n  images:\n  - name: web\n    newName: {REPOSITORY}\n    newTag: v1\n"
    )
    files = overlay(HEAD, "web") | {"clusters/shop.yaml": flux_kustomization}
    yield case(
        "flux-kustomization-images",
        files,
        kustomize("clusters/shop.yaml"),
        runs=["(not proven)"],
        rendered=False,
    )
    yield case(
        "flux-kustomization-images-with-source",
        files,
        kustomize("clusters/shop.yaml", source="base"),
        runs=BY_DIGEST,
    )
    values_object = (
        APPLICATION
        + f"      valuesObject:\n        image:\n          repository: {REPOSITORY}\n          tag: v1\n"
    )
    argo = {"kind": "helm", "file": "apps/web.yaml", "component": "web"}
    yield case(
        "argo-values-object",
        charts | {"apps/web.yaml": values_object},
        argo | {"path": "spec.source.helm.valuesObject.image", "source": "charts/web"},
        runs=[BY_TAG, LOG],
    )
    text = (
        APPLICATION
        + f"      values: |\n        image:\n          repository: {REPOSITORY}  # ours\n          tag: v1\n"
    )
    yield case(
        "argo-values-text",
        charts | {"apps/web.yaml": text},
        argo | {"path": "spec.source.helm.values.image", "source": "charts/web"},
        runs=[BY_TAG, LOG],
    )
    yield case(
        "argo-values-text-alone",
        {"apps/web.yaml": text},
        argo | {"path": "spec.source.helm.values.image"},
        runs=["(not proven)"],
        rendered=False,
    )
    parameters = APPLICATION + "      parameters:\n      - {name: image.tag, value: v1}\n"
    yield case(
        "argo-parameters",
        charts | {"apps/web.yaml": parameters},
        {
            "kind": "yaml",
            "file": "apps/web.yaml",
            "path": "spec.source.helm.parameters[0].value",
            "value": "tag",
            "component": "web",
        },
        runs=["(values)"],
        rendered=False,
    )
    images = APPLICATION.replace("charts/web", "base").replace(
        "    helm:\n", f"    kustomize:\n      images:\n      - web={REPOSITORY}:v1\n"
    )
    yield case(
        "argo-kustomize-images",
        overlay(HEAD, "web") | {"apps/web.yaml": images},
        kustomize("apps/web.yaml"),
        runs=["(not proven)"],
        rendered=False,
    )
    yield case(
        "argo-kustomize-images-with-source",
        overlay(HEAD, "web") | {"apps/web.yaml": images},
        kustomize("apps/web.yaml", source="base"),
        runs=BY_DIGEST,
    )
    sources = APPLICATION.replace(
        "  source:\n", "  sources:\n  - ref: values\n    repoURL: https://git.example.com/x.git\n  -\n"
    ).replace(
        "    helm:\n", f"    helm:\n      valuesObject: {{image: {{repository: {REPOSITORY}, tag: v1}}}}\n"
    )
    yield case(
        "argo-sources",
        charts | {"apps/web.yaml": sources},
        argo | {"path": "spec.sources[1].helm.valuesObject.image", "source": "charts/web"},
        runs=[BY_TAG, LOG],
    )
    inline = f"helmCharts:\n- name: web\n  releaseName: web\n  valuesInline:\n    image: {{repository: {REPOSITORY}, tag: v1}}\nhelmGlobals: {{chartHome: ../charts}}\n"
    yield case(
        "kustomize-helm-charts",
        charts | {"env/kustomization.yaml": inline},
        helm("env/kustomization.yaml", path="helmCharts[0].valuesInline.image"),
        runs=[BY_TAG, LOG],
    )
    yield case(
        "kustomize-helm-charts-with-source",
        charts | {"env/kustomization.yaml": inline},
        helm("env/kustomization.yaml", path="helmCharts[0].valuesInline.image", source="charts/web"),
        runs=[BY_TAG, LOG],
    )


def over_values() -> Iterator[Case]:
    """What counts over the values of an object, and charts that kustomize has rendered."""
    charts = chart(FORMS["helm-create"].image, f"image: {{repository: {REPOSITORY}, tag: v0}}\n")
    release = HELM_RELEASE.replace("CHART", "./charts/web").replace("SOURCE", "GitRepository")
    flux = helm("clusters/web.yaml", path="spec.values.image", source="charts/web")
    short = flux | {"path": "image"}
    yield case(
        "flux-a-path-beside-the-values",
        charts | {"clusters/web.yaml": release.partition("---\n")[2]},
        short,
        refused="none of the values .*\n.*spec.values",
    )
    reference = "  valuesFrom: [{kind: ConfigMap, name: shared}]\n"
    yield case(
        "flux-values-from-the-cluster",
        charts | {"clusters/web.yaml": release + reference},
        flux,
        runs=["(not proven)"],
        rendered=False,
    )
    yield case(
        "flux-values-from-the-cluster-required",
        charts | {"clusters/web.yaml": release + reference},
        flux,
        refused="shared in the cluster",
        effect="require",
    )
    pinned = f"  postRenderers: [{{kustomize: {{images: [{{name: {REPOSITORY}, newTag: v1}}]}}}}]\n"
    yield case(
        "flux-post-renderer-pins",
        charts | {"clusters/web.yaml": release + pinned},
        flux,
        refused="v1",
    )
    other = "  postRenderers: [{kustomize: {images: [{name: fluent/fluent-bit, newTag: '3.2'}]}}]\n"
    yield case(
        "flux-post-renderer-of-another-image",
        charts | {"clusters/web.yaml": release + other},
        flux,
        runs=[BY_TAG, LOG],
    )
    config = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shared}}\ndata:\n  values.yaml: |\n    image:\n      repository: {REPOSITORY}\n      tag: v1\n"
    yield case(
        "flux-values-in-a-config-map",
        charts | {"clusters/web.yaml": config},
        flux | {"path": 'data["values.yaml"].image'},
        runs=[BY_TAG, LOG],
    )
    argo = helm("apps/web.yaml", path="spec.source.helm.valuesObject.image", source="charts/web")
    both = f"{APPLICATION}      valuesObject: {{image: {{tag: v1}}}}\n      parameters: [{{name: NAME, value: v1}}]\n"
    over = both.replace("NAME", "image.tag")
    yield case("argo-a-parameter-counts-over", charts | {"apps/web.yaml": over}, argo, refused="image.tag")
    beside = both.replace("NAME", "replicaCount")
    yield case("argo-a-parameter-beside", charts | {"apps/web.yaml": beside}, argo, runs=[BY_TAG, LOG])
    parameter = {
        "kind": "yaml",
        "file": "apps/web.yaml",
        "path": "spec.source.helm.parameters[0].value",
        "value": "tag",
        "component": "web",
        "source": "charts/web",
    }
    yield case("argo-parameter", charts | {"apps/web.yaml": over}, parameter, runs=[BY_TAG, LOG])
    yield case(
        "argo-parameter-as-values",
        charts | {"apps/web.yaml": over},
        argo | {"path": "spec.source.helm.parameters[0].value"},
        refused="none of the values .*\n.*kind 'yaml'",
    )
    text = f"{APPLICATION}      values: |\n        image: {{tag: v1}}\n      valuesObject: {{image: {{tag: v2}}}}\n"
    yield case(
        "argo-values-that-do-not-count",
        charts | {"apps/web.yaml": text},
        argo | {"path": "spec.source.helm.values.image"},
        refused="does not count",
    )
    files = f"{APPLICATION}      valueFiles: [values-production.yaml]\n      valuesObject: {{image: {{tag: v1}}}}\n"
    yield case(
        "argo-values-files",
        charts | {"apps/web.yaml": files},
        argo,
        runs=["(not proven)"],
        rendered=False,
    )
    generated = APPLICATION.replace("kind: Application", "kind: ApplicationSet").replace(
        "spec:\n  project",
        "spec:\n  generators: [{list: {elements: [{tag: v1}]}}]\n  template:\n   spec:\n    project",
    )
    generated = generated.replace("\n  destination", "\n    destination").replace(
        "\n  source", "\n    source"
    )
    generated = generated.replace("\n    repo", "\n      repo").replace("\n    target", "\n      target")
    generated = generated.replace("\n    path", "\n      path").replace("\n    helm:\n", "\n      helm:\n")
    generated += "        valuesObject: {image: {tag: '{{.tag}}'}}\n"
    yield case(
        "argo-a-template-that-generators-fill-in",
        charts | {"apps/web.yaml": generated},
        argo | {"path": "spec.template.spec.source.helm.valuesObject.image"},
        refused="template expression",
    )
    yield case(
        "argo-a-generator",
        charts | {"apps/web.yaml": generated},
        parameter | {"path": "spec.generators[0].list.elements[0].tag"},
        runs=["(not proven)"],
        rendered=False,
    )
    patch = f"- op: replace\n        path: /spec/template/spec/containers/0/image\n        value: {REPOSITORY}:v1\n"
    patched = (
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: shop}\nspec:\n  path: ./base\n"
        f"  images: [{{name: web, newName: {REPOSITORY}, newTag: v1}}]\n  patches:\n  - target: {{kind: Deployment}}\n    patch: |\n      {patch}"
    )
    yield case(
        "flux-kustomization-with-a-patch-of-the-image",
        overlay(HEAD, "web") | {"clusters/shop.yaml": patched},
        kustomize("clusters/shop.yaml", source="base"),
        refused="would still run|nothing that is rendered",
    )
    bare = patched.partition("  patches:")[0]
    yield case(
        "flux-kustomization-of-a-plain-folder",
        {"base/web.yaml": workload("web"), "clusters/shop.yaml": bare},
        kustomize("clusters/shop.yaml", source="base"),
        runs=BY_DIGEST,
    )
    own = HEAD.replace(
        "resources:\n- ../../base\n",
        f"resources: [web.yaml]\nimages: [{{name: web, newName: {REPOSITORY}, newTag: v0}}]\n",
    )
    yield case(
        "flux-kustomization-over-an-entry-of-the-folder",
        {"base/kustomization.yaml": own, "base/web.yaml": workload("web"), "clusters/shop.yaml": bare},
        kustomize("clusters/shop.yaml", source="base"),
        runs=BY_DIGEST,
    )
    local = {path.replace("charts/web", "env/charts/web"): text for path, text in charts.items()}
    inflated = "helmCharts: [{name: web, releaseName: web, valuesFile: values.yaml}]\n"
    yield case(
        "kustomize-chart-with-a-values-file",
        local
        | {
            "env/kustomization.yaml": inflated,
            "env/values.yaml": f"image: {{repository: {REPOSITORY}, tag: v1}}\n",
        },
        helm("env/values.yaml"),
        runs=[BY_TAG, LOG],
    )
    fixed = f"helmCharts: [{{name: web, releaseName: web}}]\nimages: [{{name: {REPOSITORY}, newTag: v1}}]\n"
    yield case(
        "kustomize-images-over-a-chart",
        local | {"env/kustomization.yaml": fixed},
        kustomize("env/kustomization.yaml"),
        runs=[BY_DIGEST, LOG],
    )
    remote = "helmCharts: [{name: web, repo: 'https://charts.example.com', version: 1.2.3, valuesFile: values.yaml}]\n"
    yield case(
        "kustomize-chart-from-elsewhere",
        {"env/kustomization.yaml": remote, "env/values.yaml": "image: {tag: v1}\n"},
        helm("env/values.yaml"),
        refused="the chart 'web' of env comes from https://charts.example.com",
        effect="require",
    )


def beside_the_image() -> Iterator[Case]:
    """Tags and digests that stand elsewhere than the image."""
    apart = chart('"{{ .Values.image }}:{{ .Values.imageTag }}"', f"image: {REPOSITORY}\nimageTag: v1\n")
    file = "charts/web/values.yaml"
    yield case("helm-tag-beside-the-image", apart, helm(file), refused="imageTag.*\n.*path 'imageTag'")
    tag = {"kind": "yaml", "file": file, "path": "imageTag", "value": "tag", "component": "web"}
    yield case("helm-tag-beside-the-image-by-path", apart, tag, runs=[BY_TAG, LOG])
    version = chart(
        '"{{ .Values.image.repository }}:{{ .Chart.AppVersion }}"', f"image: {{repository: {REPOSITORY}}}\n"
    )
    yield case(
        "helm-app-version",
        version,
        tag | {"file": "charts/web/Chart.yaml", "path": "appVersion"},
        runs=[BY_TAG, LOG],
    )
    old = f"image:\n  repository: {REPOSITORY}\n  tag: v1\n  digest: {OLD}\n"
    yield case(
        "yaml-a-digest-beside-the-tag",
        {"conf/images.yaml": old},
        tag | {"file": "conf/images.yaml", "path": "image.tag"},
        refused="'digest' beside it still says",
        rendered=False,
    )
    by_chart = chart(
        '"{{ tpl .Values.repository $ }}:{{ .Values.tag }}"',
        "host: registry.example.com\nweb: {repository: '{{ .Values.host }}/shop/web', tag: v1}\n",
    )
    by_chart = {
        path: text.replace(".Values.repository", ".Values.web.repository").replace(
            ".Values.tag", ".Values.web.tag"
        )
        for path, text in by_chart.items()
    }
    whole = chart(
        "{{ tpl .Values.whole $ }}",
        f"whole: '{{{{ .Values.image.repository }}}}:{{{{ .Values.image.tag }}}}'\nimage: {{repository: {REPOSITORY}, tag: v1}}\n",
    )
    yield case("helm-values-that-a-chart-takes-for-a-template", whole, helm(file), runs=[BY_TAG, LOG])
    yield case("helm-repository-that-a-chart-fills-in", by_chart, helm(file, path="web"), runs=[BY_TAG, LOG])
    robot = f"apiVersion: robots.example.com/v1\nkind: Robot\nmetadata: {{name: web}}\nspec: {{runner: '{REPOSITORY}:v1'}}\n"
    configured = {
        "env/kustomization.yaml": f"resources: [web.yaml]\nconfigurations: [images.yaml]\nimages: [{{name: {REPOSITORY}, newTag: v1}}]\n",
        "env/images.yaml": "images: [{path: spec/runner, kind: Robot}]\n",
        "env/web.yaml": robot,
    }
    yield case(
        "kustomize-configurations-of-a-custom-resource",
        configured,
        kustomize("env/kustomization.yaml"),
        runs=["(values)"],
    )
    yield case(
        "yaml-image-of-a-custom-resource",
        {"k8s/robot.yaml": robot},
        {"kind": "yaml", "file": "k8s/robot.yaml", "path": "spec.runner", "component": "web"},
        runs=["(values)"],
        rendered=False,
    )
    component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages: [{name: web, newName: REPOSITORY, newTag: v1}]\n".replace(
        "REPOSITORY", REPOSITORY
    )
    with_it = overlay(f"{HEAD}components: [../../component]\n", "web") | {
        "component/kustomization.yaml": component
    }
    at = kustomize("component/kustomization.yaml", component="web")
    yield case("kustomize-component-by-itself", with_it, at, runs=["(not proven)"], rendered=False)
    yield case(
        "kustomize-component-of-an-overlay", with_it, at | {"source": "overlays/production"}, runs=BY_DIGEST
    )
    handed = HELM_RELEASE.replace("CHART", "web").replace("SOURCE", "HelmRepository")
    patch = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: shop}\nspec: {values: {image: {tag: v1}}}\n"
    patched = {
        "apps/base/kustomization.yaml": "resources: [web.yaml]\n",
        "apps/base/web.yaml": handed,
        "apps/production/kustomization.yaml": "resources: [../base]\npatches: [{path: web.yaml}]\n",
        "apps/production/web.yaml": patch,
    }
    value = {"kind": "yaml", "file": "apps/production/web.yaml", "value": "tag", "component": "web"}
    yield case(
        "flux-values-in-a-patch",
        patched,
        value | {"path": "spec.values.image.tag"},
        runs=["(not proven)"],
        rendered=False,
    )
    generated = {
        "apps/kustomization.yaml": "resources: [web.yaml]\nconfigMapGenerator: [{name: web, files: [values.yaml]}]\n",
        "apps/web.yaml": handed.partition("  values:")[0] + "  valuesFrom: [{kind: ConfigMap, name: web}]\n",
        "apps/values.yaml": "image: {tag: v1}\n",
    }
    yield case(
        "flux-values-in-a-generated-config-map",
        generated,
        helm("apps/values.yaml"),
        runs=["(not proven)"],
        rendered=False,
    )
    release = "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
    base = chart(f'"{release}"', f"image: {{repository: {REPOSITORY}, tag: v1}}\n")
    checksum = base["charts/web/templates/deployment.yaml"].replace(
        "metadata: {labels: {app: web}}",
        "metadata: {labels: {app: web}, annotations: {checksum/config: '{{ .Values | toYaml | sha256sum }}'}}",
    )
    yield case(
        "helm-checksum-of-values",
        base | {"charts/web/templates/deployment.yaml": checksum},
        helm(file),
        runs=[BY_TAG, LOG],
    )
    job = f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: 'migrate-{{{{ .Values.image.tag }}}}'}}\nspec: {{template: {{spec: {{containers: [{{name: m, image: '{release}'}}]}}}}}}\n"
    yield case(
        "helm-a-job-with-the-tag-in-its-name",
        base | {"charts/web/templates/job.yaml": job},
        helm(file),
        runs=[BY_TAG, LOG],
    )
    length = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {n: '{{ len .Values.image.tag }}'}\n"
    )
    counted = base | {"charts/web/templates/config.yaml": length}
    yield case("helm-more-than-images", counted, helm(file), refused="more than images: ConfigMap x data.n")
    yield case(
        "helm-more-than-images-is-meant",
        counted,
        helm(file),
        runs=["(not proven)"],
        rendered=False,
        effect="warn",
    )
    variable = f"services:\n  web:\n    image: {REPOSITORY}:${{TAG:-v1}} # pipegraft:set=web.reference\n"
    yield case(
        "marker-before-a-variable",
        {"compose.yaml": variable},
        {"kind": "marker", "file": "compose.yaml"},
        refused="or a variable",
        rendered=False,
    )
    wrapped = f"apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: shop}}\nspec:\n  components:\n  - name: main\n    type: k8s-objects\n    properties:\n      objects:\n      - kind: Pod\n        spec: {{containers: [{{name: web, image: '{REPOSITORY}:v1'}}]}}\n"
    yield case(
        "kubevela-objects",
        {"vela/app.yaml": wrapped},
        {"kind": "kubevela", "file": "vela/app.yaml"},
        runs=BY_DIGEST,
        rendered=False,
    )


# Manifests ------------------------------------------------------------------------------------------------

MANIFEST = {"kind": "manifest", "file": "k8s/all.yaml"}


def manifests() -> Iterator[Case]:
    """Manifests that are applied as they are."""
    both = f"{workload(f'{REPOSITORY}:v1', 'envoy:v1.30')}---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{{port: 80}}]}}\n"
    yield case(
        "manifest-documents",
        {"k8s/all.yaml": both},
        MANIFEST,
        runs=[BY_DIGEST, "envoy:v1.30"],
        rendered=False,
    )
    filled = {"k8s/all.yaml": workload(f"'{REPOSITORY}:{{{{ .Tag }}}}'")}
    yield case(
        "manifest-filled-in-elsewhere", filled, MANIFEST, refused="template expression", rendered=False
    )
    yield case(
        "manifest-by-tag",
        {"k8s/all.yaml": both},
        MANIFEST | {"write": "tag"},
        runs=[BY_TAG, "envoy:v1.30"],
        rendered=False,
    )
    kept = workload(f"{REPOSITORY}:v1@{OLD}")
    yield case("manifest-tag-and-digest", {"k8s/all.yaml": kept}, MANIFEST, runs=BY_BOTH, rendered=False)
    yield case(
        "manifest-name-of-the-container-alone",
        {"k8s/all.yaml": workload("other/web:v1").replace("c0", "web")},
        MANIFEST,
        refused="nothing runs the image of 'web'",
    )
    listed = f"apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{name: a, image: '{REPOSITORY}:v1'}}]}}}}\n"
    yield case("manifest-list", {"k8s/all.yaml": listed}, MANIFEST, runs=BY_DIGEST, rendered=False)
    cron = f"apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: c}}\nspec: {{schedule: '@daily', jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: '{REPOSITORY}:v1'}}]}}}}}}}}}}\n"
    yield case("manifest-cronjob", {"k8s/all.yaml": cron}, MANIFEST, runs=BY_DIGEST, rendered=False)
    volume = (
        workload("redis:7")
        + f"      volumes:\n        - name: assets\n          image: {{reference: '{REPOSITORY}:v1', pullPolicy: Always}}\n"
    )
    yield case(
        "manifest-image-volume",
        {"k8s/all.yaml": volume},
        MANIFEST,
        runs=[BY_DIGEST, "redis:7"],
        rendered=False,
    )
    anchors = (
        workload(f"&image {REPOSITORY}:v1").replace(
            "containers:\n", "initContainers:\n        - {name: i, image: busybox}\n      containers:\n"
        )
        + "        - {name: twin, image: *image}\n"
    )
    yield case(
        "manifest-anchor", {"k8s/all.yaml": anchors}, MANIFEST, runs=[BY_DIGEST, "busybox"], rendered=False
    )
    quoted = workload(f'"{REPOSITORY}:v1" # pinned by CI').replace("\n", "\r\n")
    yield case("manifest-quoted-crlf", {"k8s/all.yaml": quoted}, MANIFEST, runs=BY_DIGEST, rendered=False)
    json_text = '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "REPOSITORY:v1"}]}}\n'.replace(
        "REPOSITORY", REPOSITORY
    )
    yield case(
        "manifest-json",
        {"k8s/all.json": json_text},
        MANIFEST | {"file": "k8s/all.json"},
        runs=BY_DIGEST,
        rendered=False,
    )
    two = workload(f"{REPOSITORY}:v1", f"{API.repository}:v1")
    yield case(
        "manifest-two-components",
        {"k8s/all.yaml": two},
        MANIFEST,
        runs=[BY_DIGEST, API_BY_DIGEST],
        components=("web", "api"),
        rendered=False,
    )
    yield case(
        "manifest-two-components-one-target",
        {"k8s/all.yaml": two},
        MANIFEST | {"component": "web"},
        refused="'api'",
        components=("web", "api"),
    )
    hub = workload("docker.io/library/nginx:1")
    yield case(
        "manifest-other-image",
        {"k8s/all.yaml": hub},
        MANIFEST,
        refused="the images there are: docker.io/library/nginx:1",
    )
    template = workload("{{ .Values.image }}").replace(
        "spec:\n  selector", "spec:\n  {{- if .Values.x }}\n  replicas: 2\n  {{- end }}\n  selector"
    )
    yield case(
        "manifest-template", {"k8s/all.yaml": template}, MANIFEST, refused="cannot|expected|found|template"
    )
    yield case("manifest-missing", {"k8s/other.yaml": hub}, MANIFEST, refused="it is not there")
    generated = f"apiVersion: batch/v1\nkind: Job\nmetadata: {{generateName: migrate-}}\nspec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: m, image: {REPOSITORY}@{OLD}}}]}}}}}}\n"
    yield case(
        "manifest-generate-name", {"k8s/all.yaml": generated}, MANIFEST, runs=BY_DIGEST, rendered=False
    )
    odd = f"# 2024-02-31\napiVersion: v1\nkind: Pod\nmetadata: {{name: a, annotations: {{since: 2024-02-31, op: =, mode: 0o17}}}}\nspec: {{containers: [{{name: a, image: '{REPOSITORY}:v1'}}]}}\n"
    yield case("manifest-odd-scalars", {"k8s/all.yaml": odd}, MANIFEST, runs=BY_DIGEST, rendered=False)


def by_path() -> Iterator[Case]:
    """Values at a path, whatever the file is."""

    def at(path: str, value: str, **more: Any) -> dict[str, Any]:
        return {
            "kind": "yaml",
            "file": "versions.yaml",
            "path": path,
            "value": value,
            "component": "web",
            **more,
        }

    def one(name: str, text: str, target: Mapping[str, Any], *runs: str, refused: str = "") -> Case:
        return case(
            f"yaml-{name}", {"versions.yaml": text}, target, runs=runs, refused=refused, rendered=False
        )

    yield one("digest", f"apps:\n- name: web\n  digest: {OLD}\n", at("apps[0].digest", "digest"), "(values)")
    yield one("tag", "web: {version: v1}  # c\n", at("web.version", "tag"), "(values)")
    yield one(
        "by-name",
        "apps:\n- {name: api, tag: v1}\n- {name: web, tag: v1}\n",
        at("apps[name=web].tag", "tag"),
        "(values)",
    )
    yield one("reference", f"image: {REPOSITORY}:v1\n", at("image", "reference"), "(values)")
    yield one("reference-over-a-digest", f"image: {OLD}\n", at("image", "reference"), refused="value: digest")
    yield one(
        "documents",
        "a: 1\nimage: {tag: v1}\n---\nimage: {tag: v1}\n",
        at("image.tag", "tag"),
        refused="document",
    )
    yield one(
        "document",
        "image: {tag: v1}\n---\nimage: {tag: v1}\n",
        at("image.tag", "tag", document=1),
        "(values)",
    )
    yield one("absent", "image: {tag: v1}\n", at("web.tag", "tag"), refused="web")
    yield one("alias", "base: &v v1\nweb: {tag: *v}\n", at("web.tag", "tag"), refused="alias")
    yield one("number", "web:\n  tag: 17\n", at("web.tag", "tag"), "(values)")
    yield one(
        "duplicate", "web: {tag: v1}\nweb: {tag: v2}\n", at("web.tag", "tag"), refused="twice|duplicate|two"
    )
    yield one(
        "compose",
        f"services:\n  web:\n    image: '{REPOSITORY}:v1'\n    ports: ['80:80']\n",
        at("services.web.image", "reference"),
        "(values)",
    )
    yield one(
        "dotted-key",
        '"app.kubernetes.io/web": {tag: v1}\n',
        at('["app.kubernetes.io/web"].tag', "tag"),
        "(values)",
    )
    yield one("folded", f"web:\n  image: >-\n    {REPOSITORY}:v1\n", at("web.image", "reference"), "(values)")


def marked() -> Iterator[Case]:
    """Marked lines of any language."""
    tag, ref, digest = (f"pipegraft:set=web.{part}" for part in ("tag", "reference", "digest"))
    exact = {
        "flow": ("a.yaml", f"{{web: {{tag: v1}}}} # {tag}\n", f"{{web: {{tag: ih-2}}}} # {tag}\n"),
        "yaml": ("a.yaml", f"tag: v1 # {tag}\n", f"tag: ih-2 # {tag}\n"),
        "yaml-quoted": ("a.yaml", f'tag: "v1" # {tag}\n', f'tag: "ih-2" # {tag}\n'),
        "env": (".env", f"WEB_TAG=v1 # {tag}\n", f"WEB_TAG=ih-2 # {tag}\n"),
        "env-export": (
            "env.sh",
            f"export WEB_IMAGE={REPOSITORY}:v1 # {ref}\n",
            f"export WEB_IMAGE={BY_DIGEST} # {ref}\n",
        ),
        "flag": (
            "a.yaml",
            f"args:\n- --image={REPOSITORY}:v1 # {ref}\n",
            f"args:\n- --image={BY_DIGEST} # {ref}\n",
        ),
        "jsonnet": ("a.jsonnet", f"  tag: 'v1', // {tag}\n", f"  tag: 'ih-2', // {tag}\n"),
        "jsonnet-double": (
            "a.jsonnet",
            f'  image: "{REPOSITORY}:v1", // {ref}\n',
            f'  image: "{BY_DIGEST}", // {ref}\n',
        ),
        "terraform": ("a.tf", f'  tag = "v1" # {tag}\n', f'  tag = "ih-2" # {tag}\n'),
        "template": (
            "t.yaml",
            f"{{{{- if .Values.web }}}}\nimage: {REPOSITORY}:v1 # {ref}\n{{{{- end }}}}\n",
            f"{{{{- if .Values.web }}}}\nimage: {BY_DIGEST} # {ref}\n{{{{- end }}}}\n",
        ),
        "template-comment": (
            "t.yaml",
            f"image: {REPOSITORY}:v1 {{{{/* {ref} */}}}}\n",
            f"image: {BY_DIGEST} {{{{/* {ref} */}}}}\n",
        ),
        "lua": ("a.lua", f'tag = "v1" -- {tag}\n', f'tag = "ih-2" -- {tag}\n'),
        "xml": ("a.xml", f'<image tag="v1"/> <!-- {tag} -->\n', f'<image tag="ih-2"/> <!-- {tag} -->\n'),
        "ini": ("a.ini", f"digest = {OLD} ; {digest}\n", f"digest = {NEW} ; {digest}\n"),
        "makefile": ("Makefile", f"TAG := v1 # {tag}\n", f"TAG := ih-2 # {tag}\n"),
        "dockerfile": ("Dockerfile", f"ARG TAG=v1 # {tag}\n", f"ARG TAG=ih-2 # {tag}\n"),
        "two-lines": (
            "a.yaml",
            f"tag: v1 # {tag}\ndigest: {OLD} # {digest}\n",
            f"tag: ih-2 # {tag}\ndigest: {NEW} # {digest}\n",
        ),
        "crlf": ("a.yaml", f"tag: v1 # {tag}\r\nb: 2\r\n", f"tag: ih-2 # {tag}\r\nb: 2\r\n"),
        "no-end": ("a.yaml", f"tag: v1 # {tag}", f"tag: ih-2 # {tag}"),
        "toml": ("a.toml", f'web = {{ tag = "v1" }} # {tag}\n', f'web = {{ tag = "ih-2" }} # {tag}\n'),
        "python": ("a.py", f'image(tag="v1") # {tag}\n', f'image(tag="ih-2") # {tag}\n'),
        "xml-element": ("a.xml", f"<tag>v1</tag> <!-- {tag} -->\n", f"<tag>ih-2</tag> <!-- {tag} -->\n"),
        "yaml-anchor": ("a.yaml", f"tag: &t v1 # {tag}\nb: *t\n", f"tag: &t ih-2 # {tag}\nb: *t\n"),
        "yaml-tag": ("a.yaml", f"tag: !!str 1 # {tag}\n", f"tag: !!str ih-2 # {tag}\n"),
        "bare-digest": ("a.tf", f'sha = "{OLD[7:]}" # {digest}\n', f'sha = "{NEW[7:]}" # {digest}\n'),
        "tag-with-digest": ("a.yaml", f"tag: v1@{OLD} # {tag}\n", f"tag: ih-2@{NEW} # {tag}\n"),
        "nomad": (
            "web.nomad",
            f'  config {{\n    image = "{REPOSITORY}:v1" # {ref}\n  }}\n',
            f'  config {{\n    image = "{BY_DIGEST}" # {ref}\n  }}\n',
        ),
        "flag-in-a-command": (
            "run.sh",
            f'kubectl run web --image="{REPOSITORY}:v1" --port=80 # {ref}\n',
            f'kubectl run web --image="{BY_DIGEST}" --port=80 # {ref}\n',
        ),
        "kustomize-flow": (
            "a.yaml",
            f"images: [{{name: a, newTag: v1}}] # {tag}\n",
            f"images: [{{name: a, newTag: ih-2}}] # {tag}\n",
        ),
    }
    for name, (file, text, after) in exact.items():
        yield case(
            f"marker-{name}",
            {file: text},
            {"kind": "marker", "file": file, "component": "web"},
            runs=[f"(text){after}"],
            rendered=False,
        )
    refused = {
        "two-values": (f"[v1, v2] # {tag}\n", "not plain"),
        "no-value": (f"tag: # {tag}\n", "there is no value"),
        "expression": (f"tag: {{{{ .Values.tag }}}} # {tag}\n", "template expression|there is no value"),
        "half-an-expression": (
            f"tag: v{{{{ .Values.tag }}}} # {tag}\n",
            "template expression|there is no value",
        ),
        "inside-a-string": (f'note: "v1 # {tag}"\n', "inside a string"),
        "no-marker": ("tag: v1\n", "expected a line"),
        "no-part": (f"tag: v1 # {tag}\nsha: x # pipegraft:set=web.sum\n", "no part of an image"),
        "two-marks": (f"tag: v1 # {tag} {digest}\n", "two markers"),
        "no-comment": (f"tag: v1# {tag}\n", "inside a value"),
        "alias": (f"b: &t v1\ntag: *t # {tag}\n", "is no tag"),
        "encrypted": (f"tag: ENC[AES256,data:x] # {tag}\n", "is encrypted"),
        "reference-marked-as-tag": (f"image: {REPOSITORY}:v1 # {tag}\n", "more than a tag"),
        "tag-marked-as-reference": (f"tag: v1 # {ref}\n", "holds a tag"),
        "folded": (f"tag: >-\n  v1 # {tag}\n", "."),
        "placeholder": (f"image: <registry>/web:v1 # {ref}\n", "'<registry>/web:v1' .* is no reference"),
        "placeholder-assigned": (f"IMAGE=<registry>/web:v1 # {ref}\n", "is no reference"),
        "placeholder-in-front": (f"tag: <prefix>v1 # {tag}\n", "'<prefix>v1' .* is no tag"),
        "placeholder-beside-another": (f"{{name: web, tag: <prefix>v1}} # {tag}\n", "is no tag"),
        "placeholder-behind": (f"tag: v1<suffix> # {tag}\n", "is no tag"),
        "greater": (f"tag: v1>2 # {tag}\n", "is no tag"),
        "redirected": (f'run --tag="v1"<in # {tag}\n', "is no tag"),
        "variable-behind-quotes": (f'TAG="v1"${{MORE}} # {tag}\n', "or a variable"),
        "expression-beside-a-value": (
            f"{{name: web, tag: {{{{ .Values.tag }}}}}} # {tag}\n",
            "template expression",
        ),
        "unknown-component": ("tag: v1 # pipegraft:set=shop.tag\n", "expected a line"),
    }
    for name, (text, message) in refused.items():
        yield case(
            f"marker-{name}",
            {"a.yaml": text},
            {"kind": "marker", "file": "a.yaml", "component": "web"},
            refused=message,
        )


def kubevela() -> Iterator[Case]:
    """KubeVela's Applications."""
    head = (
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: shop}\nspec:\n  components:\n"
    )
    target = {"kind": "kubevela", "file": "app.yaml"}

    def one(name: str, text: str, *runs: str, refused: str = "", **more: Any) -> Case:
        return case(
            f"kubevela-{name}",
            {"app.yaml": head + text},
            target | more,
            runs=runs,
            refused=refused,
            rendered=False,
        )

    yield one(
        "component",
        f"  - {{name: web, type: webservice, properties: {{image: '{REPOSITORY}:v1'}}}}\n",
        "(values)",
    )
    yield one("by-name", "  - {name: web, type: webservice, properties: {image: 'nginx:1'}}\n", "(values)")
    yield one(
        "trait",
        f"  - name: db\n    type: webservice\n    properties: {{image: postgres:16}}\n    traits:\n    - {{type: sidecar, properties: {{name: s, image: '{REPOSITORY}:v1'}}}}\n",
        "(values)",
    )
    yield one(
        "other",
        "  - {name: db, type: webservice, properties: {image: 'postgres:16'}}\n",
        refused="no component of an Application",
    )


def handed_elsewhere() -> Iterator[Case]:
    """Values of one file, and an object of Flux or Argo CD elsewhere that says more: ``source`` names its file."""
    image = FORMS["helm-create"].image
    charts = chart(image, f"image: {{repository: {REPOSITORY}, tag: v0}}\n")
    env = {"envs/live.yaml": "image: {tag: v1}\n"}
    sources = APPLICATION.partition("  source:")[0] + (
        "  sources:\n  - path: charts/web\n    repoURL: https://git.example.com/shop/iac.git\n"
        "    helm: {valueFiles: [$iac/envs/live.yaml]PARAMETERS}\n  - {repoURL: https://git.example.com, ref: iac}\n"
    )
    argo = helm("envs/live.yaml", source="argo/web.yaml")
    free = {"argo/web.yaml": sources.replace("PARAMETERS", "")}
    bound = {"argo/web.yaml": sources.replace("PARAMETERS", ", parameters: [{name: image.tag, value: v9}]")}
    yield case("argo-elsewhere", charts | env | free, argo, runs=[BY_TAG, LOG])
    yield case("argo-elsewhere-pins", charts | env | bound, argo, refused="would still run|counts over")
    unread = helm("envs/test.yaml", source="argo/web.yaml")
    yield case(
        "argo-elsewhere-reads-another-file",
        charts | env | free | {"envs/test.yaml": "image: {tag: v1}\n"},
        unread,
        refused="renders envs/test.yaml from a folder",
    )
    twice = free["argo/web.yaml"] + "---\n" + bound["argo/web.yaml"].replace("name: web", "name: second")
    yield case(
        "argo-elsewhere-two-of-one-file", charts | env | {"argo/web.yaml": twice}, argo, refused="found 2"
    )
    second = sources.replace("PARAMETERS", "").replace("live", "test")
    named = charts | env | {"envs/test.yaml": "image: {tag: v1}\n"}
    yield case(
        "argo-elsewhere-the-second-names-it",
        named | {"argo/web.yaml": second + "---\n" + free["argo/web.yaml"]},
        argo,
        runs=[BY_TAG, LOG],
    )
    inside = f"{APPLICATION}      valuesObject: {{image: {{tag: v1}}}}\n"
    fixed = f"{APPLICATION}      valuesObject: {{image: {{tag: v0}}}}\n      parameters: [{{name: image.tag, value: v9}}]\n"
    yield case(
        "argo-two-of-one-file-by-document",
        charts | {"argo/web.yaml": f"{fixed}---\n{inside}"},
        helm("argo/web.yaml", path="spec.source.helm.valuesObject.image", document=1, source="argo/web.yaml"),
        runs=[BY_TAG, LOG],
    )
    yield case(
        "argo-no-such-document",
        charts | {"argo/web.yaml": inside},
        {
            "kind": "yaml",
            "file": "argo/web.yaml",
            "path": "a",
            "component": "web",
            "document": 5,
            "source": "argo/web.yaml",
        },
        refused="found none",
    )
    prod = charts | {"charts/web/values-prod.yaml": "image: {tag: v1}\n"}
    naming = f"{APPLICATION}      valueFiles: [values-prod.yaml]\n"
    yield case(
        "argo-below-the-second-names-it",
        prod | {"argo/web.yaml": f"{fixed}---\n{naming}"},
        helm("charts/web/values-prod.yaml", source="argo/web.yaml"),
        runs=[BY_TAG, LOG],
    )
    source = {"source": "argo/web.yaml"}
    folder = APPLICATION.replace("charts/web", "overlays/production").replace("    helm:\n", "")
    built = overlay(f"{HEAD}images: [{{name: web, newName: {REPOSITORY}, newTag: v1}}]\n", "web")
    yield case(
        "argo-elsewhere-kustomize", built | {"argo/web.yaml": folder}, kustomize(**source), runs=BY_DIGEST
    )
    yield case(
        "argo-elsewhere-kustomize-pins",
        built | {"argo/web.yaml": f"{folder}    kustomize: {{images: ['web={REPOSITORY}:v9']}}\n"},
        kustomize(**source),
        refused="would still run",
    )
    flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: web}\nspec:\n  path: ./overlays/production\n"
    yield case(
        "flux-elsewhere-pins",
        built | {"argo/web.yaml": f"{flux}  images: [{{name: web, newTag: v9}}]\n"},
        kustomize(**source),
        refused="nothing that is rendered",
    )
    yield case(
        "flux-elsewhere-from-the-root",
        built | {"argo/web.yaml": flux.replace("./overlays", "/overlays")},
        kustomize(**source),
        runs=BY_DIGEST,
    )
    local = HELM_RELEASE.replace("CHART", "./charts/web").replace("SOURCE", "GitRepository")
    read = local.partition("  values:")[0].replace("./charts/web,", "./charts/web, valuesFiles: [FILE],")
    for name, file, runs in (
        ("own", "./charts/web/values.yaml, envs/live.yaml", ""),
        ("another", "envs/values.yaml", "x"),
    ):
        yield case(
            f"flux-elsewhere-values-files-{name}",
            charts
            | env
            | {"envs/values.yaml": "image: {tag: v1}\n", "argo/web.yaml": read.replace("FILE", file)},
            helm("envs/values.yaml" if runs else "envs/live.yaml", **source),
            runs=["(not proven)"] if runs else [BY_TAG, LOG],
            rendered=not runs,
        )
    release = local.partition("---\n")[2]
    patch = {
        "apps/base/kustomization.yaml": "resources: [web.yaml]\n",
        "apps/base/web.yaml": release,
        "apps/live/kustomization.yaml": "resources: [../base]\npatches: [{path: web.yaml}]\n",
        "apps/live/web.yaml": f"{release.partition('  interval')[0]}  values: {{image: {{tag: v1}}}}\n",
    }
    other = chart(image, "image: {repository: nginx, tag: v0}\n")
    at = helm("apps/live/web.yaml", path="spec.values.image", source="charts/web")
    yield case("flux-patch-over-its-base", other | patch, at, runs=[BY_TAG, LOG])
    yield case(
        "flux-base-that-a-patch-hides",
        other | patch,
        at | {"file": "apps/base/web.yaml", "source": "apps/live/web.yaml"},
        refused="would still run|says .* too",
    )
    generated = APPLICATION.replace("kind: Application", "kind: ApplicationSet").replace(
        "spec:\n  project", "spec:\n  templatePatch: 'spec: {}'\n  template:\n   spec:\n    project"
    )
    head, _, rest = generated.partition("    project")
    inner = (
        "    project"
        + rest.replace("\n  ", "\n    ")
        + f"        valuesObject: {{image: {{repository: {REPOSITORY}, tag: v1}}}}\n"
    )
    yield case(
        "argo-template-that-a-patch-changes",
        charts | {"argo/web.yaml": head + inner},
        helm("argo/web.yaml", path="spec.template.spec.source.helm.valuesObject.image", source="charts/web"),
        runs=["(not proven)"],
        rendered=False,
    )


def parts_of_charts() -> Iterator[Case]:
    """Values in the folder of a chart that another one depends on: the whole is what is rendered."""
    image = FORMS["helm-create"].image
    about = "dependencies:\n- {name: web, version: 0.1.0, repository: '', alias: front}\n"
    whole = {
        "charts/shop/Chart.yaml": f"apiVersion: v2\nname: shop\nversion: 1.0.0\n{about}",
        **chart(image, f"image: {{repository: {REPOSITORY}, tag: v0}}\n", folder="charts/shop/charts/web"),
    }
    at = helm("charts/shop/charts/web/values.yaml")
    yield case(
        "part-of-a-chart", whole | {"charts/shop/values.yaml": "replicas: 1\n"}, at, runs=[BY_TAG, LOG]
    )
    root = {path.removeprefix("charts/shop/"): text for path, text in whole.items()}
    yield case("part-of-the-chart-at-the-root", root, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    yield case(
        "part-of-a-chart-that-says-more",
        whole | {"charts/shop/values.yaml": "front: {image: {tag: v9}}\n"},
        at,
        refused="would still run|counts over",
    )
    glued = '{{ with .Values.image }}"{{ .registry }}{{ .repository }}:{{ .tag }}"{{ end }}'
    for host in ("registry.example.com/", "quay.io/"):
        held = f"image: {{registry: {host}, repository: shop/web, tag: v1}}\n"
        yield case(
            f"helm-registry-{host}", chart(glued, held), helm("charts/web/values.yaml"), runs=[BY_TAG, LOG]
        )
    newer = chart(image, f"image: {{repository: {REPOSITORY}, tag: v1}}\n", about="kubeVersion: '>=1.45-0'\n")
    yield case("helm-of-a-newer-kubernetes", newer, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    nested = f"image: {{registry: {{host: registry.example.com}}, repository: {REPOSITORY}, tag: v1}}\n"
    yield case(
        "helm-a-registry-of-several-values",
        chart(image, nested),
        helm("charts/web/values.yaml"),
        refused="no single value",
    )
    selecting = chart(image, f"image: {{repository: {REPOSITORY}, tag: v1}}\n")
    path = "charts/web/templates/deployment.yaml"
    labelled = selecting[path].replace(
        "matchLabels: {app: web}", 'matchLabels: {v: "{{ .Values.image.tag }}"}'
    )
    yield case(
        "helm-a-selector-with-the-tag",
        selecting | {path: labelled},
        helm("charts/web/values.yaml"),
        refused="selector of Deployment",
    )


def written_over() -> Iterator[Case]:
    """Two targets that mean the same place."""
    at = {"kind": "yaml", "file": "v.yaml", "path": "image"}
    yield case(
        "two-components-in-one-place",
        {"v.yaml": f"image: {REPOSITORY}:v1\n"},
        at | {"component": "web"},
        at | {"component": "api"},
        components=("web", "api"),
        refused="writes over|another component",
        rendered=False,
    )


def shared_by_aliases() -> Iterator[Case]:
    """Images that stand once in a values file and are read in several places."""
    image = '{{ with .Values.worker.image }}"{{ .repository }}:{{ .tag }}"{{ end }}'
    held = f"  image: &image\n    repository: {REPOSITORY}\n    tag: v1\n"
    beside = "worker:\n  image: *image\n"
    first, second = (
        helm("charts/web/values.yaml", path="web.image"),
        helm("charts/web/values.yaml", path="worker.image"),
    )
    yield case(
        "helm-alias-and-anchor", chart(image, f"web:\n{held}{beside}"), first, second, runs=[BY_TAG, LOG]
    )
    anchored = f"x-image: &image\n  repository: {REPOSITORY}\n  tag: v1\nweb:\n  image: *image\n{beside}"
    yield case(
        "helm-anchor-that-nobody-reads-itself",
        chart(image, anchored),
        helm("charts/web/values.yaml", path="x-image"),
        runs=[BY_TAG, LOG],
    )
    yield case("helm-alias-alone", chart(image, anchored), first, refused="is the alias")


def encrypted() -> Iterator[Case]:
    """Files of SOPS, whose sum of all values a bump cannot make anew."""
    secret = "ENC[AES256_GCM,data:Tr7o=,iv:1=,tag:k=,type:str]"
    at = {"kind": "yaml", "file": "web.enc.yaml", "path": "image", "component": "web"}
    text = f"image: {REPOSITORY}:v1\npassword: {secret}\nsops:\n    mac: {secret}\n"
    yield case("sops", {"web.enc.yaml": text}, at, refused="SOPS", rendered=False)
    alone = f"{text}    mac_only_encrypted: true\n"
    yield case(
        "sops-of-encrypted-values-alone", {"web.enc.yaml": alone}, at, runs=["(values)"], rendered=False
    )
    yield case(
        "sops-encrypted-image",
        {"web.enc.yaml": alone.replace(f"{REPOSITORY}:v1", secret)},
        at,
        refused="is encrypted",
        rendered=False,
    )
    env = f"WEB_TAG=v1 # pipegraft:set=web.tag\nsops_mac={secret}\n"
    yield case(
        "sops-env-file", {".env": env}, {"kind": "marker", "file": ".env"}, refused="SOPS", rendered=False
    )


CASES = tuple(
    one
    for make in (
        forms,
        block_forms,
        layered_values,
        umbrellas,
        kustomizations,
        objects,
        over_values,
        handed_elsewhere,
        parts_of_charts,
        written_over,
        shared_by_aliases,
        encrypted,
        beside_the_image,
        manifests,
        by_path,
        marked,
        kubevela,
    )
    for one in make()
)
