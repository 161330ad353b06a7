"""Rarer files of other tools, a release that is written into each, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator

from target_files import (
    APPLICATION,
    BY_DIGEST,
    BY_TAG,
    FORMS,
    HEAD,
    HELM_RELEASE,
    LOG,
    REPOSITORY,
    Case,
    case,
    chart,
    helm,
    kustomize,
    overlay,
    workload,
)

__all__ = ["RARE_CASES"]


def required() -> Iterator[Case]:
    """With `effect: require`, objects that nobody names and that have the file rendered otherwise."""
    charts = chart(FORMS["helm-create"].image, f"image: {{repository: {REPOSITORY}, tag: v0}}\n")
    charts |= {"charts/web/values-live.yaml": "image: {tag: v1}\n"}
    live = helm("charts/web/values-live.yaml")
    named = f"{APPLICATION}      valueFiles: [values-live.yaml]\n"
    pins = f"{named}      parameters: [{{name: image.tag, value: v9}}]\n"
    git = "[{git: {directories: [{path: charts/*}]}}]"
    generated = (
        named.replace("kind: Application", "kind: ApplicationSet")
        .replace("spec:\n", f"spec:\n  generators: {git}\n  template:\n   spec:\n")
        .replace("\n  project", "\n    project")
        .replace("\n  destination", "\n    destination")
        .replace("\n  source", "\n    source")
        .replace("\n    repoURL", "\n      repoURL")
        .replace("\n    targetRevision", "\n      targetRevision")
        .replace("\n    path: charts/web", "\n      path: '{{ .path.path }}'")
        .replace("\n    helm:\n      valueFiles", "\n      helm:\n        valueFiles")
    )
    for name, objects, refused in (
        (
            "pins",
            {"argo/web.yaml": pins},
            "argo/web.yaml has charts/web rendered too.*(still run|counts over)",
        ),
        ("agrees", {"argo/web.yaml": named}, ""),
        ("of-another-repository", {"argo/web.yaml": pins.replace("shop/iac.git", "shop/charts.git")}, ""),
        ("reads-another-file", {"argo/web.yaml": pins.replace("values-live", "values")}, ""),
        ("that-the-gate-waits-for", {"a.yaml": pins, "b.yaml": named.replace("name: web", "name: shop")}, ""),
        ("pins-and-the-gate-waits-for-it", {"a.yaml": pins.replace("name: web", "name: shop")}, "a.yaml has"),
        (
            "as-a-template",
            {"root/templates/web.yaml": pins.replace("v9", "{{ .Values.tag }}\n{{- end }}")},
            "root/templates/web.yaml names .* and cannot be read",
        ),
        ("by-a-generator", {"set.yaml": generated}, ""),
        (
            "by-a-generator-that-fills-in",
            {"set.yaml": f"{generated}        parameters: [{{name: image.tag, value: '{{{{ .tag }}}}'}}]\n"},
            "not proven what comes of it: generators",
        ),
        (
            "by-a-generator-that-names-the-file",
            {"set.yaml": generated.replace("values-live.yaml", "'values-{{ .env }}.yaml'")},
            "not proven what comes of it: generators",
        ),
    ):
        runs = () if refused else (BY_TAG, LOG)
        yield case(
            f"require-an-object-{name}", charts | objects, live, runs=runs, refused=refused, effect="require"
        )
    built = overlay(f"{HEAD}images: [{{name: web, newName: {REPOSITORY}, newTag: v1}}]\n", "web")
    folder = APPLICATION.replace("charts/web", "overlays/production").replace("    helm:\n", "")
    over = f"{folder}    kustomize: {{images: ['web={REPOSITORY}:v9']}}\n"
    flux = (
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: web}\n"
        "spec:\n  path: ./FOLDER\n"
    )
    above = flux.replace("FOLDER", "eu") + f"  images: [{{name: {REPOSITORY}, newTag: v9}}]\n"
    source = (
        "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: main}\n"
        "spec: {url: 'https://git.example.com/shop/NAME.git'}\n"
    )
    taken = (
        above.replace("./eu", "./overlays/production") + "  sourceRef: {kind: GitRepository, name: main}\n"
    )
    template = over.replace("repoURL:", "repoURL: {{ .Values.repo }} #")
    rollout = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nspec: {{ .Values.spec }}\n  path: /\n"
    for name, objects, refused in (
        ("in-a-template", {"apps/templates/a.yaml": template}, "apps/templates/a.yaml names"),
        ("elsewhere-in-a-template", {"a.yaml": template.replace("overlays/production", "other")}, ""),
        ("of-a-rollout-in-a-template", {"a.yaml": rollout}, ""),
        ("taken-from-here", {"flux.yaml": taken + source.replace("NAME", "iac")}, "flux.yaml has"),
        ("taken-from-elsewhere", {"flux.yaml": taken + source.replace("NAME", "other")}, ""),
        ("taken-from-what-is-not-here", {"flux.yaml": taken}, "the GitRepository 'main', is not in this"),
    ):
        yield case(
            f"require-images-{name}",
            built | objects,
            kustomize(),
            runs=() if refused else ("(values)",),
            refused=refused,
            effect="require",
            rendered=False,
        )
    eu = {"eu/kustomization.yaml": "resources: [../overlays/production]\n", "flux.yaml": above}
    for name, objects in (("argo", {"argo/web.yaml": over}), ("flux-from-above", eu)):
        yield case(
            f"require-images-of-{name}",
            built | objects,
            kustomize(),
            refused="rendered too, and with what it says",
            effect="require",
        )
    over = "helm: {parameters: [{name: image.tag, value: v9}]}\n"
    for name, effect, runs in (("", None, ["(not proven)"]), ("-required", "require", [])):
        yield case(
            f"argo-source-file-in-the-chart{name}",
            charts | {"charts/web/.argocd-source-web.yaml": over},
            live,
            runs=runs,
            refused="" if runs else "argocd-source-web.yaml may set others",
            rendered=False,
            effect=effect,
        )
    over = f"kustomize: {{images: ['{REPOSITORY}:v9']}}\n"
    yield case(
        "argo-source-file-in-the-overlay",
        built | {"overlays/production/.argocd-source.yaml": over},
        kustomize(),
        runs=["(not proven)"],
        rendered=False,
    )
    yield case(
        "require-a-kustomization-of-flux-agrees",
        built | {"flux.yaml": flux.replace("FOLDER", "overlays/production")},
        kustomize(),
        runs=BY_DIGEST,
        effect="require",
    )
    plain = {"apps/web.yaml": workload(f"{REPOSITORY}:v1")}
    yield case(
        "require-images-over-manifests",
        plain
        | {"flux.yaml": flux.replace("FOLDER", "apps") + f"  images: [{{name: {REPOSITORY}, newTag: v9}}]\n"},
        {"kind": "manifest", "file": "apps/web.yaml"},
        refused="flux.yaml has apps/web.yaml rendered too",
        effect="require",
        rendered=False,
    )


def library_charts() -> Iterator[Case]:
    """Images that a helper of a library chart puts together, as Bitnami's `common` does."""
    common = (
        '{{- define "common.images.image" -}}\n'
        "{{- $registry := default .imageRoot.registry ((.global).imageRegistry) -}}\n"
        '{{- $rest := printf ":%s" (.imageRoot.tag | toString) -}}\n'
        '{{- if .imageRoot.digest }}{{ $rest = printf "@%s" .imageRoot.digest }}{{ end -}}\n'
        '{{- printf "%s/%s%s" $registry .imageRoot.repository $rest -}}\n{{- end -}}\n'
    )
    lies = {
        "charts/web/charts/common/Chart.yaml": "apiVersion: v2\nname: common\nversion: 2.0.0\n"
        "type: library\n",
        "charts/web/charts/common/templates/_images.tpl": common,
    }
    call = '{{ include "common.images.image" (dict "imageRoot" .Values.image "global" .Values.global) }}'
    about = (
        "dependencies:\n- {name: common, version: 2.x.x, repository: 'oci://registry-1.docker.io/charts'}\n"
    )
    at = helm("charts/web/values.yaml")
    standing = "image:\n  registry: docker.io\n  repository: bitnami/nginx\n  tag: 1.2.3-debian-12-r0\n"
    for name, values, runs, refused in (
        ("with-a-digest", f'{standing}  digest: ""\n', BY_DIGEST, ""),
        ("without-a-digest", standing, BY_TAG, ""),
        ("of-a-global-registry", f"global: {{imageRegistry: registry.example.com}}\n{standing}", BY_TAG, ""),
        (
            "of-another-global-registry",
            f"global: {{imageRegistry: mirror.example.com}}\n{standing}",
            "",
            "mirror",
        ),
    ):
        images = [] if refused else [runs, LOG]
        yield case(
            f"library-{name}", chart(call, values, about=about) | lies, at, runs=images, refused=refused
        )
    yield case(
        "library-that-is-elsewhere",
        chart(call, standing, about=about),
        at,
        runs=["(not proven)"],
        rendered=False,
    )


def global_images() -> Iterator[Case]:
    """An umbrella whose parts read one image of all."""
    top = {
        "umbrella/Chart.yaml": "apiVersion: v2\nname: umbrella\nversion: 1.0.0\n",
        "umbrella/values.yaml": f"global:\n  image:\n    repository: {REPOSITORY}\n    tag: v1\n",
    }
    at = helm("umbrella/values.yaml", path="global.image")
    read = '"{{ .Values.global.image.repository }}:{{ .Values.global.image.tag }}"'
    part = chart(read, "{}\n", folder="umbrella/charts/web")
    yield case("umbrella-global-image", top | part, at, runs=[BY_TAG, LOG])
    second = chart(read, "{}\n", folder="umbrella/charts/jobs", name="jobs")
    yield case("umbrella-global-image-of-two-parts", top | part | second, at, runs=[BY_TAG, LOG])
    own = read.replace(".Values.global.image.tag", ".Values.image.tag | default .Values.global.image.tag")
    hidden = chart(own, "image: {tag: v7}\n", folder="umbrella/charts/web")
    yield case("umbrella-global-image-that-a-part-hides", top | hidden, at, refused="would still run .*:v7")


def strict_charts() -> Iterator[Case]:
    """Charts that refuse values, read them elsewhere than one thinks, or not at all."""
    at, values = helm("charts/web/values.yaml"), f"image:\n  repository: {REPOSITORY}\n  tag: v1\n"
    plain = '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"'
    fixed = f'"{REPOSITORY}:v1"'
    keys = '{"repository": {"type": "string"}, "tag": {"type": "string"PATTERN}}'
    schema = (
        '{"type": "object", "properties": {"image": {"type": "object", "additionalProperties": false, '
        f'"properties": {keys}}}}}}}'
    )
    pattern = {"values.schema.json": schema.replace("PATTERN", ', "pattern": "^v[0-9]+$"')}
    free = {"values.schema.json": schema.replace("PATTERN", "")}
    both = plain.replace(":{{", "{{ with .Values.image.digest }}@{{ . }}{{ end }}:{{")
    test = "apiVersion: v1\nkind: Pod\nmetadata: {name: t}\nspec: {containers: [{name: t, image: IMAGE}]}\n"
    deployment = chart(plain, "")["charts/web/templates/deployment.yaml"]
    off = {
        "charts/web/templates/deployment.yaml": f"{{{{ if .Values.enabled }}}}\n{deployment}{{{{ end }}}}\n"
    }
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {p: '{{ randAlphaNum 12 }}'}\n"
    for name, files, refused in (
        ("schema-that-takes-it", chart(plain, values, **free), ""),
        ("schema-that-refuses-the-tag", chart(plain, values, **pattern), "does not match pattern"),
        (
            "tag-read-in-a-comment",
            chart(f"{fixed} {{{{/* .Values.image.tag */}}}}", values),
            "no template|still run",
        ),
        (
            "tag-read-in-notes-alone",
            chart(fixed, values, **{"templates/NOTES.txt": "{{ .Values.image.tag }}"}),
            "no template|still run",
        ),
        (
            "tag-read-in-a-test-alone",
            chart(fixed, values, **{"templates/tests/t.yaml": test.replace("IMAGE", plain)}),
            "would still run",
        ),
        ("tag-in-another-case", chart(plain.replace(".tag", ".Tag"), values), "no template|would still"),
        ("workload-switched-off", chart(plain, f"enabled: false\n{values}") | off, "there are no images"),
        ("random-secret-beside-it", chart(plain, values, **{"templates/secret.yaml": secret}), ""),
        (
            "tag-required",
            chart(plain.replace(".Values.image.tag", 'required "t" .Values.image.tag'), values),
            "",
        ),
    ):
        runs = [] if refused else [BY_TAG, LOG]
        yield case(f"chart-{name}", files, at, runs=runs, refused=refused)
    yield case(
        "chart-schema-that-refuses-the-digest",
        chart(both, values, **free),
        at | {"write": "both"},
        refused="additional properties 'digest' not allowed|no place for the digest",
    )
    yield case(
        "chart-values-through-tpl",
        chart("{{ tpl .Values.image . }}", f"tag: v1\nimage: '{REPOSITORY}:{{{{ .Values.tag }}}}'\n"),
        {"kind": "yaml", "file": "charts/web/values.yaml", "path": "tag", "value": "tag", "component": "web"},
        runs=[BY_TAG, LOG],
    )
    yield case(
        "chart-image-in-a-list",
        chart(
            "{{ (index .Values.services 0).image }}", f"services:\n- name: web\n  image: {REPOSITORY}:v1\n"
        ),
        at | {"path": "services[0].image"},
        runs=[BY_DIGEST, LOG],
    )
    yield case(
        "chart-image-below-a-name",
        chart(
            '"{{ (index .Values.services "web").image.repository }}:{{ .Values.services.web.image.tag }}"',
            f"services:\n  web:\n    image:\n      repository: {REPOSITORY}\n      tag: v1\n",
        ),
        at | {"path": "services.web.image"},
        runs=[BY_TAG, LOG],
    )


def odd_scalars() -> Iterator[Case]:
    """Tags as they stand, in every notation that a reader of YAML knows."""
    image = '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"'
    plain = ["1e3", "0123", "true", "2024-01-01", "1_000", "0x1F", "~", "''", "12:30:45", "="]
    for number, tag in enumerate(
        (*plain, "!!str 12", "&t v1", "|-\n    v1", ">-\n    v1", "'v1'\t# set by hand")
    ):
        files = chart(image, f"image:\n  repository: {REPOSITORY}\n  tag: {tag}\n")
        yield case(f"tag-notation-{number}", files, helm("charts/web/values.yaml"), runs=[BY_TAG, LOG])
    shared = chart(image, f"x: &x v0\nimage:\n  repository: {REPOSITORY}\n  tag: *x\n")
    yield case("tag-notation-alias", shared, helm("charts/web/values.yaml"), refused="is the alias")


def changed_by_kustomize() -> Iterator[Case]:
    """Patches, replacements, suffixes and generators beside `images`."""
    entry = f"images:\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\n"
    patch = (
        "patches:\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n"
        "    spec: {template: {spec: {containers: [{$patch: replace}, {name: c0, image: IMAGE}]}}}\n"
    )
    json = (
        "patches:\n- target: {kind: Deployment}\n  patch: |-\n"
        "    - {op: replace, path: /spec/template/spec/containers/0/image, value: 'IMAGE'}\n"
    )
    gone = patch.partition("    spec:")[0] + "    $patch: delete\n"
    replaced = (
        "replacements:\n- source: {kind: ConfigMap, name: v, fieldPath: data.TAG}\n  targets:\n"
        "  - select: {kind: Deployment}\n    fieldPaths: [spec.template.spec.containers.0.image]\n"
        "    options: {delimiter: ':', index: 1}\n"
    )
    for name, text, refused in (
        ("patch-that-replaces-containers", entry + patch.replace("IMAGE", "web:9"), ""),
        ("patch-to-another-image", entry + patch.replace("IMAGE", "nginx:9"), "images there are: nginx:9"),
        ("patch-that-deletes", entry + gone, "there are no images"),
        ("json-patch", entry + json.replace("IMAGE", "web:2"), ""),
        ("json-patch-past-the-entry", entry + json.replace("IMAGE", f"{REPOSITORY}:2"), "would still run"),
        ("tag-suffix", entry.replace("newTag: v1", "tagSuffix: -debug"), ""),
        ("crlf", entry, ""),
        ("bom", entry, ""),
        ("duplicate-key", f"{entry}  newTag: v2\n", "stands twice"),
        ("shared-anchor", entry.replace("v1", "&t v1") + "- name: other\n  newTag: *t\n", "holds &t"),
        ("flow-json", f'images: [{{"name": "web", "newName": "{REPOSITORY}", "newTag": "v1"}}]\n', ""),
        ("empty-list", "images: []\n", ""),
    ):
        whole = HEAD + text
        whole = (
            whole.replace("\n", "\r\n") if name == "crlf" else "\ufeff" + whole if name == "bom" else whole
        )
        yield case(
            f"kustomize-with-{name}",
            overlay(whole, "web"),
            kustomize(component="web"),
            runs=[] if refused else [BY_DIGEST],
            refused=refused,
        )
    literal = (
        f"{HEAD}configMapGenerator:\n- name: v\n  literals:\n  - TAG=v1 # pipegraft:set=web.tag\n{replaced}"
    )
    yield case(
        "kustomize-replacement-from-a-literal",
        overlay(literal, f"{REPOSITORY}:v0"),
        {"kind": "marker", "file": "overlays/production/kustomization.yaml"},
        runs=BY_TAG,
    )
    env = f"{HEAD}configMapGenerator: [{{name: v, envs: [v.env]}}]\n{replaced}"
    for name, text, refused in (
        ("behind-the-value", "TAG=v1 # pipegraft:set=web.tag\n", "# pipegraft:set=web.tag, and not"),
        ("above-the-value", "# pipegraft:set=web.tag\nTAG=v1\n", "no value in front of the marker"),
    ):
        yield case(
            f"kustomize-replacement-from-an-env-file-marked-{name}",
            overlay(env, f"{REPOSITORY}:v0", more={"overlays/production/v.env": text}),
            {"kind": "marker", "file": "overlays/production/v.env"},
            refused=refused,
        )
    part = f"apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{entry}"
    at = kustomize("c/kustomization.yaml", source="overlays/production")
    for name, more, refused in (("", "", ""), ("-that-the-overlay-hides", "v5", "would still run")):
        text = f"{HEAD}components: [../../c]\n"
        text += f"images: [{{name: {REPOSITORY}, newTag: {more}}}]\n" if more else ""
        yield case(
            f"kustomize-entry-of-a-component{name}",
            overlay(text, "web", more={"c/kustomization.yaml": part}),
            at,
            runs=[] if refused else [BY_DIGEST],
            refused=refused,
        )
    yield case(
        "kustomize-unknown-field",
        overlay(f"x-tags: [v1]\n{HEAD}{entry}", "web"),
        kustomize(),
        refused='unknown field "x-tags"',
    )


def other_kinds() -> Iterator[Case]:
    """Objects whose images stand where Deployments have none."""
    entry = f"{HEAD}images:\n- name: web\n  newName: {REPOSITORY}\n  newTag: v1\n"
    nested = "\n  ".join(workload("web").splitlines())
    for name, text, runs in (
        ("list", f"apiVersion: v1\nkind: List\nitems:\n- {nested}\n", BY_DIGEST),
        (
            "knative",
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n"
            "spec: {template: {spec: {containers: [{name: web, image: web}]}}}\n",
            BY_DIGEST,
        ),
        ("volume", workload("web") + "      volumes: [{name: v, image: {reference: web}}]\n", BY_DIGEST),
        (
            "argo-workflow",
            "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: web}\n"
            "spec: {templates: [{name: a, container: {image: web}}]}\n",
            "",
        ),
        (
            "tekton",
            "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: web}\n"
            "spec: {steps: [{name: a, image: web}]}\n",
            "",
        ),
        (
            "strimzi",
            "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaConnect\nmetadata: {name: web}\n"
            "spec: {image: web}\n",
            "",
        ),
    ):
        yield case(
            f"kustomize-of-{name}",
            overlay(entry, "web", more={"base/deploy.yaml": text}),
            kustomize(),
            runs=[runs] if runs else [],
            refused="" if runs else "nothing that is rendered runs",
        )
    custom = {
        "strimzi": ("kafka.strimzi.io/v1beta2", "KafkaConnect", "image: IMAGE", "spec.image"),
        "prometheus": ("monitoring.coreos.com/v1", "Prometheus", "image: IMAGE", "spec.image"),
        "tekton": ("tekton.dev/v1", "Task", "steps: [{name: a, image: IMAGE}]", "spec.steps[0].image"),
        "spark": ("sparkoperator.k8s.io/v1beta2", "SparkApplication", "image: IMAGE", "spec.image"),
    }
    for name, (version, kind, spec, path) in custom.items():
        text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: web}}\nspec:\n  {spec}\n"
        yield case(
            f"yaml-image-of-{name}",
            {"web.yaml": text.replace("IMAGE", f"{REPOSITORY}:v1")},
            {"kind": "yaml", "file": "web.yaml", "path": path, "component": "web"},
            runs=["(values)"],
            rendered=False,
        )


def handed_by_objects() -> Iterator[Case]:
    """Values of HelmReleases, Applications and what generates them, in rarer notations."""
    charts = chart(FORMS["helm-create"].image, "image: {repository: nginx, tag: v0}\n")
    stands = f"image: {{repository: {REPOSITORY}, tag: v1}}\n"
    live = {"envs/live.yaml": stands}
    by_file = helm("envs/live.yaml", source="a.yaml")
    local = HELM_RELEASE.replace("CHART", "./charts/web").replace("SOURCE", "GitRepository")
    by_flux = helm("a.yaml", path="spec.values.image", source="a.yaml")
    inside = helm("a.yaml", path="spec.source.helm.values.image", source="a.yaml")
    patch = (
        "  postRenderers: [{kustomize: {patches: [{patch: '[{op: replace, path: /image, value: x}]'}]}}]\n"
    )
    by_reference = f"{HELM_RELEASE.partition('  chart:')[0]}  chartRef: {{kind: OCIRepository, name: web}}\n"
    by_reference += f"  values:\n    {stands}"
    files = f"{APPLICATION}      valueFiles: [/envs/live.yaml"
    text = f"      values: SIGN\n        image:\n          repository: {REPOSITORY}\n          tag: &t v1\n"
    quoted = f'      values: "image:\\n  repository: {REPOSITORY}\\n  tag: v1\\n"\n'
    for name, document, at, refused in (
        ("flux-crlf", local.replace("\n", "\r\n"), by_flux, ""),
        ("flux-of-an-older-version", local.replace("/v2", "/v2beta1"), by_flux, ""),
        (
            "flux-values-in-a-text",
            local.replace("  values:", "  values: |"),
            by_flux,
            "no mapping|cannot render",
        ),
        ("flux-substitution", local.replace("tag: v1", "tag: ${TAG:=v1}"), by_flux, "template expression"),
        (
            "flux-chart-reference",
            by_reference,
            helm("a.yaml", path="spec.values.image", source="charts/web"),
            "",
        ),
        ("flux-chart-reference-by-itself", by_reference, by_flux, "found none"),
        ("argo-file-from-the-root", f"{files}]\n", by_file, ""),
        (
            "argo-file-that-may-be-missing",
            f"{files}, ../none.yaml]\n      ignoreMissingValueFiles: true\n",
            by_file,
            "",
        ),
        ("argo-file-that-is-missing", f"{files}, ../none.yaml]\n", by_file, "charts/none.yaml"),
        ("argo-pattern-of-files", files.replace("live", "*") + "]\n", by_file, "found none|not YAML"),
        ("argo-text", APPLICATION + text.replace("SIGN", "|"), inside, ""),
        (
            "argo-text-with-an-alias",
            f"{APPLICATION}{text.replace('SIGN', '|')}        other: *t\n",
            inside,
            "",
        ),
        ("argo-quoted-text", APPLICATION + quoted, inside, ""),
    ):
        runs = [] if refused else [BY_TAG, LOG]
        yield case(f"handed-{name}", charts | live | {"a.yaml": document}, at, runs=runs, refused=refused)
    yield case(
        "handed-flux-patch-of-a-post-renderer",
        charts | {"a.yaml": local + patch},
        by_flux,
        runs=["(not proven)"],
    )
    elements = (
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: web}\nspec:\n"
        "  generators: [{list: {elements: [{env: live, tag: v1}, {env: test, tag: v9}]}}]\n"
        "  template: {spec: {source: {path: charts/web, helm: {\n"
        "    parameters: [{name: image.tag, value: '{{tag}}'}]}}}}\n"
    )
    place = {"kind": "yaml", "file": "a.yaml", "component": "web", "value": "tag"}
    place["path"] = "spec.generators[0].list.elements[0].tag"
    for name, more in (("", {}), ("-with-its-source", {"source": "a.yaml"})):
        yield case(
            f"handed-argo-element-of-a-list{name}",
            charts | {"a.yaml": elements},
            place | more,
            runs=["(not proven)"],
            rendered=False,
        )


def odd_manifests() -> Iterator[Case]:
    """Manifests in every notation."""
    text = workload(f"{REPOSITORY}:v1")
    image = f"image: {REPOSITORY}:v1"
    held = f"apiVersion: v1\nkind: Pod\nspec: {{containers: [{{name: a, {image}}}]}}"
    data = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  pod.yaml: |\n    "
    data += "\n    ".join(held.splitlines()) + "\n"
    step = "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: w}\n"
    step += f"spec: {{steps: [{{name: a, {image}}}]}}\n"
    for name, manifest, refused in (
        ("crlf", text.replace("\n", "\r\n"), ""),
        ("bom", "\ufeff" + text, ""),
        ("tab", text.replace("image: ", "image:\t"), ""),
        ("folded", text.replace(image, f"image: >-\n            {REPOSITORY}:v1"), ""),
        ("string-tag", text.replace("image: ", "image: !!str "), ""),
        ("own-tag", f"{text}x: !Ref a\n", ""),
        ("directive", f"%YAML 1.1\n---\n{text}...\n---\n", ""),
        (
            "anchor",
            text.replace(image, f"image: &i {REPOSITORY}:v1\n        - name: c1\n          image: *i"),
            "",
        ),
        ("alias", f"x: &i {REPOSITORY}:v1\n" + text.replace(image, "image: *i"), "is the alias"),
        ("duplicate-key", f"{text}          image: x\n", "stands twice"),
        ("rollout", text.replace("apps/v1", "argoproj.io/v1alpha1").replace("Deployment", "Rollout"), ""),
        (
            "clone-set",
            text.replace("apps/v1", "apps.kruise.io/v1alpha1").replace("Deployment", "CloneSet"),
            "",
        ),
        ("in-a-config-map", data, "nothing runs the image"),
        ("step-of-tekton", step, "nothing runs the image"),
    ):
        yield case(
            f"manifest-notation-{name}",
            {"d.yaml": manifest},
            {"kind": "manifest", "file": "d.yaml"},
            runs=[] if refused else ["(values)"],
            refused=refused,
            rendered=False,
        )


RARE_CASES = tuple(
    one
    for make in (
        required,
        library_charts,
        global_images,
        strict_charts,
        odd_scalars,
        changed_by_kustomize,
        other_kinds,
        handed_by_objects,
        odd_manifests,
    )
    for one in make()
)
