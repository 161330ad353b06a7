#!/usr/bin/env bash
# BuildKit apart from an engine, and docker's command for it, built by Go in the versions that buildkit/go.mod
# pins: Debian 12 has neither.
set -euo pipefail
cd "$(dirname "$0")"
./packages runc=runc
./go-tools ../buildkit buildx buildkitd
