# `make` or `make help` lists the targets. Everything happens in .venv, from package registries only.

# Compiled once: the tests start hundreds of processes, each of which would compile all of mien anew.
export PYTHONDONTWRITEBYTECODE =

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# On both cores; a file stays with one worker, which makes its films, servers and networks once. OpenBLAS's own threads
# would only wait for each other: training by L-BFGS takes six times the processor time with them.
PYTEST = OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
ASTRONAUT = $(BIN)/python -c "import pathlib, skimage.data as d; print(pathlib.Path(d.__file__).with_name('astronaut.png'))"

.PHONY: help demo test check coverage audit docs format bench hooks clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s ':'

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "mien needs Python 3.11 or newer (python3 --version)"; exit 1; }
	@echo "installing mien into .venv: about a minute, once"
	@$(PYTHON) -m venv .venv
	@$(PIP) --editable .
	@touch $@

.venv/demo-ready: .venv/ready
	$(PIP) scikit-image
	@touch $@

.venv/dev-ready: .venv/ready constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(if $(PHOTO),.venv/ready,.venv/demo-ready)  ## find and describe the faces of PHOTO (default: scikit-image's astronaut), write demo.jpg
	@photo="$(PHOTO)"; $(BIN)/mien analyze "$${photo:-$$($(ASTRONAUT))}" --format table --draw demo.jpg \
		&& echo "boxes and labels are in demo.jpg; next: . .venv/bin/activate && mien --help"

check: .venv/dev-ready  ## format, types, layers and the fast tests: under two minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -m "not slow"

test: .venv/dev-ready  ## everything: checks, the whole test-suite, with the system packages some tests need where they may be installed
	@sh tests/install_system_packages.sh
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

coverage: .venv/dev-ready  ## which lines the fast tests run in their own process; the rest is told, file by file
	OPENBLAS_NUM_THREADS=1 $(BIN)/coverage run -m pytest -q -m "not slow"
	$(BIN)/coverage report

audit: .venv/dev-ready  ## licences of what mien installs; its known holes, asked of a service on the internet
	$(BIN)/python tests/test_licences.py
	$(BIN)/pytest -q tests/test_licences.py
	@test -x build/audit/bin/pip-audit || { $(BIN)/python -m venv build/audit && build/audit/bin/pip install --quiet pip-audit; }
	@$(BIN)/pip freeze --exclude-editable > build/installed.txt
	@build/audit/bin/pip-audit --no-deps --disable-pip --requirement build/installed.txt \
		|| { echo "holes are listed above, or the service could not be asked: then nothing is known about holes"; exit 1; }

docs: .venv/dev-ready  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/dev-ready  ## put the code in the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev-ready  ## speed of every part on this machine
	$(BIN)/mien bench

hooks: .venv/dev-ready  ## run the checks before each commit
	$(BIN)/pre-commit install

clean:  ## remove what was built
	rm -rf .venv build dist demo.jpg
