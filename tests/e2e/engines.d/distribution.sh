#!/usr/bin/env bash
# The registry of the CNCF's distribution 3, built by Go in the version that distribution/go.mod pins.
set -euo pipefail
cd "$(dirname "$0")"
../install.d/go-tools ../distribution registry
