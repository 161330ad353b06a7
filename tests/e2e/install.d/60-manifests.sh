#!/usr/bin/env bash
# Helm and Kustomize, which render what is written, and the readers of YAML that Kubernetes, Flux and Compose
# have, built by Go in the versions that manifests/go.mod pins.
set -euo pipefail
cd "$(dirname "$0")"
./go-tools ../manifests helm kustomize yaml-readers
