#!/usr/bin/env bash
# cosign, a registry with the referrers API, and what Sigstore's public instance once signed: built by Go, and
# taken from the sources, in the versions that sigstore/go.mod pins.
set -euo pipefail
cd "$(dirname "$0")"
../install.d/go-tools ../sigstore cosign registry
target=$(../sigstore/folder)
if [ ! -d "$target/public" ]; then
    sources() { (cd ../sigstore && go list -m -f '{{.Dir}}' "github.com/sigstore/$1"); }
    mkdir -p "$target/public"
    install -m 644 "$(sources cosign/v3)/pkg/cosign/testdata/oci-attestation.sigstore.json" \
        "$(sources sigstore-go)/pkg/testing/data/trusted-roots/public-good.json" "$target/public/"
fi
