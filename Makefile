# Everything a developer types. Each target installs what it needs into .venv from the lock file.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Tests wait for processes and servers: half as many workers again as processors.
WORKERS := $(shell $(PYTHON) -c 'import os; print(os.cpu_count() * 3 // 2)')

# Images for CI often say so; then every start of the program compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo man test test-lowest fuzz e2e engines e2e-engines lint format bench site wheel image lock clean

demo: $(READY)
	$(BIN)/pipegraft demo

test: $(READY)
	$(BIN)/pytest -n $(WORKERS) -m "not e2e" tests

# The lowest versions that pyproject.toml allows, in an environment of their own.
test-lowest: .venv-lowest/.ready
	PATH="$(CURDIR)/.venv-lowest/bin:$$PATH" .venv-lowest/bin/pytest -n $(WORKERS) -m "not e2e" tests

# Half an hour for each reader of foreign bytes; with coverage where atheris is installed in .venv.
FUZZ_SECONDS ?= 1800

fuzz: $(READY)
	$(BIN)/python tests/fuzz/run.py $(FUZZ_SECONDS)

e2e: $(READY)
	tests/e2e/install
	$(BIN)/pytest -m "e2e and not engines" tests/e2e

engines:
	tests/e2e/engines

e2e-engines: $(READY) engines
	$(BIN)/pytest -n 0 -m engines tests/e2e

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pipegraft templates --check
	$(BIN)/sphinx-build -q -W --keep-going -b dummy docs build/site-check

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks

site: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/site

# One page of all commands, from their own help.
man: $(READY)
	mkdir -p build/man
	$(BIN)/python docs/man_page.py > build/man/pipegraft.1

wheel: $(READY)
	rm -rf build/wheel
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w build/wheel .
	cd build/wheel && sha256sum *.whl

IMAGE ?= pipegraft:latest
BASE ?= python:3.13.1-slim-bookworm
EXTRAS ?= [sigstore]

image: wheel
	docker build -f Dockerfile -t $(IMAGE) --build-arg BASE='$(BASE)' --build-arg EXTRAS='$(EXTRAS)' .

lock:
	uv pip compile pyproject.toml --group dev --extra otel --extra simulate --extra sigstore --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --upgrade -o requirements/dev.lock

# What `make test-lowest` installs: each direct dependency at its lowest version, the tools of tests beside.
lock-lowest:
	uv pip compile pyproject.toml --extra otel --extra simulate --extra sigstore --resolution lowest-direct --upgrade \
		--python-version 3.11 --no-annotate --no-header --no-deps -o requirements/lowest.in
	# Later ones use what click has since 8.4 without asking for it.
	echo 'check-jsonschema<0.38' >> requirements/lowest.in
	uv pip compile pyproject.toml --group dev --extra otel --extra simulate --extra sigstore \
		--constraint requirements/lowest.in --python-version 3.11 --generate-hashes --no-annotate --no-header \
		-o requirements/lowest.lock

clean:
	rm -rf $(VENV) .venv-lowest build dist

$(READY): requirements/dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv-lowest/.ready: requirements/lowest.lock pyproject.toml
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
		-r requirements/lowest.lock
	.venv-lowest/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
