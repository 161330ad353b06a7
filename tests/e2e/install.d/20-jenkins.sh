#!/usr/bin/env bash
# Groovy 2.4, the one Jenkins embeds, and JenkinsPipelineUnit with the CPS library, both from Maven Central.
set -euo pipefail
folder=$(cd "$(dirname "$0")/.." && pwd)
missing=()
command -v groovy >/dev/null || missing+=(groovy)
command -v java >/dev/null || missing+=(default-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
if [ ${#missing[@]} -gt 0 ]; then
    sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
libraries=$folder/../../.cache/jenkins-pipeline-unit
[ -e "$libraries/.ready" ] && exit 0
mvn --quiet --batch-mode --file "$folder/jenkins/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$(realpath -m "$libraries")"
touch "$libraries/.ready"
