# make lab     install what is missing into .venv and open the first notebook
# make test    the same install, then every check and every notebook
# make test-portable   notebooks, and tests that compare floats, under three instruction sets, with one and two threads
# make notebooks   carry notebooks/text/*.py into the .ipynb pairs and run them
# make exercises   the notebooks without their answers, for a class, in build/exercises: docs/exercises.md
# make site    the notebooks and the API reference as pages for a browser, in build/site
# make dist    what a release holds, checked: wheel and source archive, in dist
# make bench   against YOLOv5 7.0.14, in turns: make bench PEER=python TORCHVISION=python DATA=folder THREADS=2 ONLY="loss val" QUICK=1
# make bench-growth   how times and memory grow, as curves;  make peer   YOLOv5 in an environment of its own, build/peer
# make lint    style, types and the page alone;  make sizes   lines of code, chapter by chapter;  make clean   remove .venv and caches
# The same in plain commands, for machines without make: README.md.

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
NOTEBOOKS := $(wildcard notebooks/[0-9]*.ipynb)
FAMILY := tests/family tests/exporting

# Tests run several OpenMP processes side by side, which slow each other down twenty times; a reader's Lab runs one.
test test-tools test-library test-notebooks: export OMP_NUM_THREADS = 1

.PHONY: lab test test-tools test-library test-family test-notebooks test-portable test-without-avx lint lint-page sizes notebooks exercises site dist bench bench-growth peer clean

lab: $(STAMP)
	@$(BIN)/python -m walkthrough

# Two cores, two processes of one thread each: the tools and their browser take about as long as all the rest.
test: lint
	@$(MAKE) --no-print-directory --jobs 2 test-tools test-library test-family test-notebooks

test-tools: $(STAMP)
	$(BIN)/python -m pytest tests/browser tests/walkthrough walkthrough

test-library: $(STAMP)
	$(BIN)/python -m pytest tests yolo_lite --ignore=tests/browser --ignore=tests/walkthrough $(FAMILY:%=--ignore=%)

test-family: $(STAMP)
	$(BIN)/python -m pytest $(FAMILY)

test-notebooks: $(STAMP)
	$(BIN)/python -m pytest --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg $(NOTEBOOKS)

test-portable: $(STAMP)
	$(BIN)/python tests/portable.py

test-without-avx: $(STAMP)
	$(BIN)/python tests/portable.py --isa none --threads 1 --only notebooks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	@$(MAKE) --no-print-directory lint-page

# The page's JavaScript: types (tsc), style (biome), unit tests (node). npm ci installs what package-lock.json pins, once.
lint-page:
	@if command -v node >/dev/null && command -v npm >/dev/null; then cd tests/page && \
		{ test node_modules/.package-lock.json -nt package-lock.json || npm ci --no-audit --no-fund --loglevel=error; } && \
		npm run --silent check; \
	else echo "SKIPPED: types, style and unit tests of the page's JavaScript need node and npm (Debian, Ubuntu: apt install nodejs npm)."; fi

sizes: $(STAMP)
	@$(BIN)/python -m tests.house.sizes

notebooks: $(STAMP)
	$(BIN)/python notebooks/refresh.py

exercises: $(STAMP)
	$(BIN)/python -m walkthrough.exercises --hand-out build/exercises

site: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python docs/frozen_explorers.py build/frozen
	$(BIN)/python -m sphinx -q -W --keep-going -E -c docs -b html . build/site
	@echo "Open build/site/index.html in a browser."

dist: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

# Times belong here and not into a test. What a whole run writes: benchmarks/results/speed.json, docs/performance.md.
PEER ?= build/peer/bin/python
BENCH = $(BIN)/python -m benchmarks.speed --peer $(PEER) $(if $(TORCHVISION),--torchvision $(TORCHVISION)) \
	$(if $(DATA),--data $(DATA)) $(if $(THREADS),--threads $(THREADS)) $(if $(ONLY),--only $(ONLY)) \
	$(if $(TURNS),--turns $(TURNS)) $(if $(CLOCK),--clock $(CLOCK)) $(if $(QUICK),--quick)

bench: $(STAMP)
	$(BENCH)

bench-growth: $(STAMP)
	$(BENCH) --growth

# The peer (AGPL-3.0) is measured and nothing else: no part of it is read, imported or shipped by the project. Where its
# PyTorch is one for CPUs alone, torchvision may not load: then NMS and "val" are left out, and said to be.
peer: $(STAMP)
	"$(PYTHON)" -m venv build/peer
	build/peer/bin/python -m pip install --quiet torch==2.13.0 numpy 'setuptools<80' opencv-python-headless pyyaml tqdm pandas \
		matplotlib scipy pillow psutil requests seaborn gitpython thop ultralytics-thop polars py-cpuinfo
	build/peer/bin/python -m pip install --quiet --no-deps torchvision==0.28.0 ultralytics==8.4.190 yolov5==7.0.14

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The kernels of .venv sleep where they wait for threads, whichever program starts them: two side by side hang otherwise.
# The stamp is newer than both files once everything they ask for is installed: the second time costs nothing.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found. Install one, or name yours: make lab PYTHON=/path/to/python3.11"; exit 1; }
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no command $(PYTHON). Name a Python 3.11 or newer: make lab PYTHON=python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"{sys.executable} is Python {sys.version.split()[0]}, but 3.11 or newer is needed: make lab PYTHON=python3.11")'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: its venv or ensurepip module is missing (on Debian and Ubuntu: apt install python3-venv)."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "Installing into $(VENV): a minute or two the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' \
		|| { echo "The installation did not finish: pip says why above. It needs a network and 2 GB; try again."; exit 1; }
	@$(BIN)/python -m ipykernel install --sys-prefix --env OMP_WAIT_POLICY passive >/dev/null
	@touch $@
