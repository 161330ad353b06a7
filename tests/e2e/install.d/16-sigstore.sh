#!/usr/bin/env bash
# cosign, and a registry with the referrers API, built by Go in the versions that sigstore/go.mod pins.
set -euo pipefail
cd "$(dirname "$0")"
./go-tools ../sigstore cosign registry
