#!/usr/bin/env bash
# Flux' own command line, which the gate is compared with. Its module lacks the generated manifests that
# `flux install` takes from the program, which nobody needs here: the copy that is built has an empty one.
set -euo pipefail
version=v2.9.5
target=${XDG_CACHE_HOME:-$HOME/.cache}/pipegraft-e2e/flux-cli-$version
[ -x "$target/flux" ] && exit 0
mkdir -p "$target"
building=$(mktemp -d "$target/building.XXXXXX")
trap 'chmod -R u+w "$building"; rm -rf "$building"' EXIT
module=github.com/fluxcd/flux2/v2@$version
cd "$building"
source=$(GOFLAGS=-mod=mod go mod download -json "$module" | sed -n 's/^\s*"Dir": "\(.*\)",/\1/p')
cp -r "$source/." .
chmod -R u+w .
mkdir cmd/flux/manifests
touch cmd/flux/manifests/none.yaml
CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o flux-program ./cmd/flux
mv flux-program "$target/flux"
