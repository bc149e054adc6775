# `make demo` and `make test` do everything on a machine with Python >= 3.10, set-up included.
# Every target prints the plain commands it runs; they work in any environment that has rankdet.

PYTHON ?= python3
SHELL := bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# The recipes below find `python`, `pytest` ... in .venv; this stamp is newer than what it holds.
INSTALLED := .venv/.installed
QUICK_START := configs/glyphs/mask_rcnn_r18_fpn_ecm.py
QUICK_START_OUTPUT := output/glyphs/mask_rcnn_r18_fpn_ecm

PYTEST := OMP_NUM_THREADS=1 pytest --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: install demo test test-slow test-all torture lint bench clean

install: $(INSTALLED)

demo: $(INSTALLED)
	python train_net.py --config-file $(QUICK_START)
	python -m rankdet.tools.visualize $(QUICK_START_OUTPUT)

# One thread per worker: PyTorch's threads and the workers would fight for the cores.
test: $(INSTALLED)
	$(PYTEST) -m 'not slow'

# Jobs of several processes and machines, kills, every experiment: a few minutes more.
test-slow: $(INSTALLED)
	$(PYTEST) -m slow

test-all: test test-slow

# Kills trainings at every bad moment and resumes them; takes ten to twenty minutes.
torture: $(INSTALLED)
	OMP_NUM_THREADS=1 PYTHONPATH=tests python -m torture

lint: $(INSTALLED)
	ruff check
	ruff format --check
	mypy

bench: $(INSTALLED)
	python -m rankdet.tools.benchmark

clean:
	rm -rf .venv rankdet.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(INSTALLED): setup.py constraints.txt rankdet/tools/install_detectron2.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo 'rankdet needs Python 3.10 or newer: run `make PYTHON=<its path> ...`.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo '$(PYTHON) lacks the venv module: install it, on Debian with `apt install python3-venv`.' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	python -m pip install --constraint constraints.txt setuptools wheel
	python -m pip install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	python -m pip install --constraint constraints.txt --no-deps lvis
	python rankdet/tools/install_detectron2.py --constraint constraints.txt
	python -c 'from rankdet.environment import check_environment; check_environment()'
	@# lvis asks for opencv-python, whose place opencv-python-headless takes: see setup.py.
	@if python -m pip check | grep -Ev '^(No broken|lvis .* requires opencv-python,)' >&2; then \
	  echo 'These packages do not fit together: run `make clean install`.' >&2; exit 1; fi
	@touch $@
