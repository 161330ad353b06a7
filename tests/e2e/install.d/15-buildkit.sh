#!/usr/bin/env bash
# BuildKit apart from an engine, and docker's command for it, built by Go in the versions that buildkit/go.mod
# pins: Debian 12 has neither.
set -euo pipefail
cd "$(dirname "$0")"
./packages runc=runc buildah=buildah rootlesskit=rootlesskit newuidmap=uidmap setcap=libcap2-bin
./go-tools ../buildkit buildx buildctl buildkitd
# The script that runs a daemon for one build comes with BuildKit's sources.
target=$(../buildkit/folder)
if [ ! -x "$target/buildctl-daemonless.sh" ]; then
    sources=$(cd ../buildkit && go list -m -f '{{.Dir}}' github.com/moby/buildkit)
    install -m 755 "$sources/examples/buildctl-daemonless/buildctl-daemonless.sh" "$target/"
fi
