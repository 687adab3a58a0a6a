# SPDX-License-Identifier: Apache-2.0
# A thin face for Meson.  Each target first installs what it needs and this machine lacks; only
# results go to stdout.

DIR = examples/texts
ARGS =
PREFIX = /usr/local
FUZZ_SECONDS = 60
SECONDS = 600
ROUNDS =
SEED =
TARGETS =
SETUP = tools/setup

# By way of the environment, so that the shell takes spaces and quotes as part of the name.
export DIR PREFIX DESTDIR FUZZ_SECONDS

build: ## builds the release binary, build/forkfold
	@$(SETUP) run
	@tools/build release

# Exit code 1 says that some inputs failed; they are listed, and the result is complete but for them.
run: build ## counts the words of DIR=folder; ARGS="..." are options of forkfold words
	@build/forkfold words $(ARGS) -- "$$DIR" || { status=$$?; [ $$status -eq 1 ] || exit $$status; }

check: build ## runs all tests; the last line has the counts
	@$(SETUP) check
	@tests/run

check-sanitize: build ## the same with the address and undefined-behaviour sanitizers
	@$(SETUP) check
	@tests/run --sanitize

check-threads: ## the unit tests with the thread sanitizer
	@$(SETUP) run check
	@tests/run --threads

# A peer that cannot be installed is left out, with a line that says so.  Both programs build
# Forkfold themselves, unless BENCH_BINARY names another.
bench: ## times Forkfold and its peers; ROWS="id id", BENCH_DIR=folder: see bench/README.md
	@$(SETUP) run
	@$(SETUP) bench || echo "forkfold bench: goes on with what there is" >&2
	@/usr/bin/python3 bench/bench.py

bench-plot: ## draws time against workers, input size and number of files: bench/plots/
	@$(SETUP) run
	@$(SETUP) bench || echo "forkfold bench: goes on with what there is" >&2
	@/usr/bin/python3 bench/plot.py

bench-results: ## times the ways to bring results home, for docs/results-home.md
	@$(SETUP) run
	@$(SETUP) bench || echo "forkfold bench: goes on with what there is" >&2
	@/usr/bin/python3 bench/results_home.py

model: ## checks the protocols between processes in more courses of events than the tests do: minutes
	@$(SETUP) run check
	@tools/build check
	@FORKFOLD_MODEL=deep meson test -C build-check --no-rebuild --suite model --timeout-multiplier 0 --verbose

soak: ## calls of all kinds while workers are killed, for SECONDS=600 or ROUNDS=n; SEED=n
	@$(SETUP) run check
	@tools/build check
	@build-check/tests/soak/soak $(if $(ROUNDS),--rounds $(ROUNDS),--seconds $(SECONDS)) $(SEED:%=--seed %)

fuzz: ## fuzzes each target for FUZZ_SECONDS=60; TARGETS="words split" only those
	@$(SETUP) run check fuzz
	@tests/fuzz/run $(TARGETS)

lint: ## every check that needs no run of the program
	@$(SETUP) run check lint
	@tools/lint

format: ## formats the C files in place
	@$(SETUP) lint
	@find include src front tests examples bench -name '*.[ch]' -exec clang-format -i {} +

install: build ## installs to PREFIX=folder (/usr/local), below DESTDIR=folder where given
	@meson configure build -Dprefix="$$PREFIX"
	@tools/build release
	@meson install -C build --no-rebuild --quiet
	@[ -n "$$DESTDIR" ] || [ "$$(id -u)" -ne 0 ] || ldconfig

clean: ## removes all build folders
	@rm -rf build build-python build-check build-asan build-tsan build-lint build-fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

.PHONY: build run check check-sanitize check-threads model soak fuzz bench bench-plot bench-results lint format install clean help
