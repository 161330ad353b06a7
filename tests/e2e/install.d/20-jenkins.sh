#!/usr/bin/env bash
# Groovy 2.4, the one Jenkins embeds, and JenkinsPipelineUnit with the CPS library, both from Maven Central.
set -euo pipefail
cd "$(dirname "$0")"
./packages groovy=groovy java=default-jre-headless mvn=maven
libraries=../../../.cache/jenkins-pipeline-unit
[ -e "$libraries/.ready" ] && exit 0
mvn --quiet --batch-mode --file ../jenkins/pom.xml dependency:copy-dependencies \
    -DoutputDirectory="$(realpath -m "$libraries")"
touch "$libraries/.ready"
