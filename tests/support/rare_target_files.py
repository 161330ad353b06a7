"""Rarer files of other tools, a release that is written into each, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator

from target_files import (
    APPLICATION,
    BY_DIGEST,
    BY_TAG,
    FORMS,
    HEAD,
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
            "argo/web.yaml has charts/web rendered too.*(still run|read after)",
        ),
        ("agrees", {"argo/web.yaml": named}, ""),
        ("of-another-repository", {"argo/web.yaml": pins.replace("shop/iac.git", "shop/charts.git")}, ""),
        ("reads-another-file", {"argo/web.yaml": pins.replace("values-live", "values")}, ""),
        ("that-the-gate-waits-for", {"a.yaml": pins, "b.yaml": named.replace("name: web", "name: shop")}, ""),
        ("pins-and-the-gate-waits-for-it", {"a.yaml": pins.replace("name: web", "name: shop")}, "a.yaml has"),
        (
            "as-a-template",
            {"root/templates/web.yaml": pins.replace("v9", "{{ .Values.tag }}\n{{- end }}")},
            "",
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
    eu = {"eu/kustomization.yaml": "resources: [../overlays/production]\n", "flux.yaml": above}
    for name, objects in (("argo", {"argo/web.yaml": over}), ("flux-from-above", eu)):
        yield case(
            f"require-images-of-{name}",
            built | objects,
            kustomize(),
            refused="rendered too, and with what it says",
            effect="require",
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


RARE_CASES = tuple(one for make in (required,) for one in make())
