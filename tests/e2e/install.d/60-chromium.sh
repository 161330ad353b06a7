#!/usr/bin/env bash
# Chromium, which opens the HTML reports, and a font for it.
set -euo pipefail
cd "$(dirname "$0")"
command -v chromium >/dev/null || ./packages chromium=chromium fonts-dejavu-core=fonts-dejavu-core
