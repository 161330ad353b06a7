#!/usr/bin/env bash
# A Kubernetes API server: etcd of Debian; kube-apiserver and kubectl built by Go, in the version that
# kube-apiserver/go.mod pins. Without Go nothing is built: the tests that need it are skipped, and fail in CI.
set -euo pipefail
cd "$(dirname "$0")/../kube-apiserver"
if ! command -v etcd >/dev/null; then
    sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
    $sudo apt-get update -qq
    # Installing must not start a service: the tests run their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
        $sudo chmod +x "$policy"
        trap '$sudo rm -f "$policy"' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends etcd-server
fi
command -v go >/dev/null || exit 0
target=$(./folder)
[ -x "$target/kube-apiserver" ] && [ -x "$target/kubectl" ] && exit 0
mkdir -p "$target"
building=$(mktemp -d "$target/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o "$building/" tool
mv "$building"/kube-apiserver "$building"/kubectl "$target/"
