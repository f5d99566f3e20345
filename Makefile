# Two commands do everything on a fresh machine: `make demo` and `make test`. `make help` lists the rest.
#
# PYTHON   the interpreter environments are made from (3.11 or newer)
# VENV     the environment, made and filled on first use
# HOST_VENV  a second one with a complete host, for `make host` and for the tests in it
# CLIPS    videos or folders for `make evaluate` and `make train`
# METRICS  folder with the LPIPS and identity networks (docs/evaluation.md)
# ARGS     further flags for the command behind a target, as in `make bench ARGS="--sizes 512"`

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
HOST_VENV ?= .venv-host
CLIPS ?= samples
METRICS ?=
ARGS ?=

BIN := $(VENV)/bin
HOST_PYTHON := $(HOST_VENV)/bin/python
STAMP := $(VENV)/reenact.stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Threads that wait for work by spinning make every step slow as soon as the cores are shared.
demo test lint types fast slow host-tests bench evaluate train: export OMP_WAIT_POLICY = passive

.PHONY: help venv demo test lint types fast all-tests host host-venv host-tests bench evaluate train clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      the main job on samples/: out/demo.mp4, out/demo_sheet.png and two more"
	@echo "make test      style, types and tests (with CI=true also the slow ones and those in a real host)"
	@echo "make venv      only the environment in $(VENV)"
	@echo "make host      a host with this pack on localhost, until Ctrl-C"
	@echo "make bench     speed and memory of every stage: out/bench.json"
	@echo "make evaluate  quality on CLIPS: out/evaluation.json, out/evaluation.html"
	@echo "make train     train the face_mesh network on CLIPS: runs/train"
	@echo "make clean     remove caches, builds and demo results"

venv: $(STAMP)

# torch comes first and pinned: an open range would bring the newest build with gigabytes of CUDA libraries.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0 setuptools
	$(PIP) --no-build-isolation --editable ".[test,convert,avatars]"
	@touch $@

demo: $(STAMP)
	$(BIN)/reenact run --references samples/references --driving samples/driving.mp4 --motion absolute \
		--output out/demo.mp4 --sheet out/demo_sheet.png
	$(BIN)/reenact run --references samples/references --driving samples/other_person.mp4 --motion relative \
		--output out/demo_other_person.mp4 --sheet out/demo_other_person_sheet.png
	@echo
	@echo "The person in samples/references follows samples/driving.mp4:       out/demo.mp4"
	@echo "What each reference gave to it:                                     out/demo_sheet.png"
	@echo "The same person follows someone else, samples/other_person.mp4:     out/demo_other_person.mp4"
	@echo "What each reference gave to it:                                     out/demo_other_person_sheet.png"

ifeq ($(CI),true)
# The two sets run side by side, each in an environment of its own that is made meanwhile: one waits often for browsers
# and servers. Neither is given up where the other fails; what each prints is shown in one piece when it is done.
MAKEFLAGS += --jobs=2 --keep-going --output-sync=target
test: lint types host-tests all-tests
else
test: lint types fast
fast: lint types
endif

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --output-format concise .

types: lint
	$(BIN)/pyright --pythonpath $(BIN)/python

fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not host and not browser"

all-tests: $(STAMP)
	$(BIN)/python -m pytest -m "not host and not browser" -rs --durations 10

host-tests: host-venv
	$(HOST_PYTHON) -m pytest -m "host or browser" -rs --durations 10

host-venv:
	$(PYTHON) scripts/setup_host.py --folder $(HOST_VENV)

host: host-venv
	$(HOST_PYTHON) scripts/host.py $(ARGS)

bench: $(STAMP)
	$(BIN)/reenact bench --clip samples/driving.mp4 --json out/bench.json $(ARGS)

evaluate: $(STAMP)
	$(BIN)/reenact evaluate --clips $(CLIPS) --json out/evaluation.json --html out/evaluation.html \
		$(if $(METRICS),--metrics-folder $(METRICS)) $(ARGS)

train: $(STAMP)
	$(if $(METRICS),,$(error make train needs METRICS=folder with the LPIPS network; see docs/evaluation.md))
	$(BIN)/reenact train --clips $(CLIPS) --metrics-folder $(METRICS) --output runs/train $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache out/demo*
	find . -name __pycache__ -not -path "./.venv*" -prune -exec rm -rf {} +
