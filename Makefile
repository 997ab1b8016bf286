# Needs python3 (3.11 or newer) and make; everything else is installed into .venv.
PYTHON ?= python3
PY := .venv/bin/python
UV := .venv/bin/uv
READY := .venv/.ready

.PHONY: help demo test test-nightly bench lint coverage docs lock clean

help: ## print these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r t h; do printf '  make %-14s %s\n' "$$t" "$$h"; done

demo: $(READY) ## a made-up city's day on an embedded Postgres; leaves a report to look at
	@$(PY) -m dispatchkit demo

test: lint ## lint, types and the tests of a pull request
	@$(PY) -m pytest -n 2 --dist loadfile

test-nightly: lint ## the same, and every network cut, overlap, crash of the server and planted fault; an hour or more
	@HYPOTHESIS_PROFILE=nightly $(PY) -m pytest -n 2 --dist loadfile -m "not bench"

bench: $(READY) ## speeds, each beside the raw tool on the same data
	@$(PY) -m pytest -m bench -q -s tests/benchmarks

lint: $(READY) ## ruff and mypy, without the tests
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

coverage: $(READY) ## which branches no test takes
	@$(PY) -m coverage run -m pytest -q
	@$(PY) -m coverage report

docs: $(READY) ## print the reference pages of docs/ from the code
	@$(PY) docs/generate.py

lock: $(READY) ## pin again what pyproject.toml asks for, into requirements.lock
	@$(UV) pip compile -q pyproject.toml --group dev --universal --generate-hashes --no-header --no-emit-index-url -o requirements.lock

clean: ## remove the environment and every cache; data stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once, again only when the lock or the project changes: a second run needs no network.
# uv comes by its own hash from the lock; then it installs the rest, in seconds where pip takes a minute.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'dispatchkit needs Python 3.11 or newer as "$(PYTHON)"; another one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '"$(PYTHON)" cannot make environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@rm -f $@
	@test -x $(PY) || { echo 'making .venv and installing into it, once' >&2; $(PYTHON) -m venv --clear .venv; }
	@sed -n '/^uv==/,/# via/p' requirements.lock > .venv/uv.lock
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock
	@test -w "$$HOME" || export UV_NO_CACHE=1; export VIRTUAL_ENV=.venv; \
		$(UV) pip sync -q --require-hashes requirements.lock && $(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@
