# make app    open the page on localhost:8501
#             MODEL=mypackage.mymodule:build: your own network, for checkpoints that are uploaded
# make test   set up and run every test
# make lint   ruff and pyright alone
# make bench  measure speed: a table, and .benchmarks/bench.json (THREADS=1, FULL=1, PEERS=1)
# make load   a class on one server: refreshes, Pause, fairness, memory, first start, as a table
# make soak   sessions that come and go for ten minutes: memory, threads and the log afterwards
# make score  compute the page Score's table anew, into app/score/result.json: some minutes
# make screenshot  remake the README's picture
# make clean  remove the virtual environment and every cache
#
# PYTHON=...  the interpreter that makes .venv (any Python 3.11 or newer)

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: app test lint bench load soak score screenshot clean

app: .venv/app.stamp
	$(BIN)/python -m app serve $(if $(MODEL),--model $(MODEL))

test: lint
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/test.stamp
	mkdir -p .benchmarks
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/python -m pytest tests/benchmarks/bench_*.py $(if $(PEERS),tests/benchmarks/peers.py) -q \
		--benchmark-quiet --benchmark-json=.benchmarks/bench.json

load: .venv/test.stamp
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/python -m tests.load

soak: .venv/test.stamp
	$(BIN)/python -m tests.load.soak

score: .venv/app.stamp
	$(BIN)/python -m app score

# The README's picture, from a real run.
screenshot: .venv/test.stamp
	$(BIN)/python -m pytest tests/browser -k "fit and laptop-light"
	mkdir -p app/screenshots
	$(BIN)/python -c "from PIL import Image; import sys; \
		Image.open(sys.argv[1]).convert('RGB').quantize(256).save(sys.argv[2], optimize=True)" \
		"tests/browser/screenshots/test_both_sizes_and_themes_fit[laptop-light]-0.png" app/screenshots/lab.png

clean:
	rm -rf .venv .benchmarks .pytest_cache .ruff_cache .hypothesis tests/browser/screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/app.stamp: requirements.txt | .venv/made
	@echo "Installing requirements.txt into .venv; the first time takes a few minutes."
	$(PIP) -r requirements.txt
	@touch $@

.venv/test.stamp: tests/requirements.txt .venv/app.stamp
	$(PIP) -r tests/requirements.txt
	@touch $@

.venv/made:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Chatterscope needs Python 3.11 or newer and found" \
			"$$($(or $(PYTHON),python3) --version 2>&1 || true);" \
			"install a newer one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@
