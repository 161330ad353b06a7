#!/usr/bin/env bash
# Prometheus, which scrapes the proxy.
set -euo pipefail
cd "$(dirname "$0")"
./packages prometheus=prometheus
