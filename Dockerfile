# The image of delivery's jobs: Python, git, and pipegraft from the wheel that `make wheel` built.
# `make image BASE=python@sha256:…` pins the base by digest, EXTRAS= leaves signatures out.
ARG BASE=python:3.13.1-slim-bookworm
FROM ${BASE}
ARG EXTRAS=[sigstore]

RUN apt-get update \
    && apt-get install -y --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 pipegraft

# The dependencies have the versions of the lock file; the wheel was built by `make wheel`.
COPY requirements/dev.lock build/wheel/*.whl /tmp/pipegraft/
RUN sed -E 's/ *\\$//; /^ *--hash/d' /tmp/pipegraft/dev.lock > /tmp/pipegraft/versions.txt \
    && python -m pip install --no-cache-dir --constraint /tmp/pipegraft/versions.txt "$(echo /tmp/pipegraft/*.whl)${EXTRAS}" \
    && rm -rf /tmp/pipegraft

USER 10001:10001
WORKDIR /home/pipegraft
CMD ["pipegraft", "--help"]
