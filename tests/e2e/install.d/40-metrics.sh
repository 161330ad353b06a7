#!/usr/bin/env bash
# Prometheus, which scrapes the proxy.
set -euo pipefail
command -v prometheus >/dev/null && exit 0
sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends prometheus
