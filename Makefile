# `make run` and `make test` do all the set-up themselves; they need Python 3.11 to 3.14, make and git.
#   PYTHON=/path/to/python3.12   which Python to use (otherwise: the best one on PATH)
#   ARGS="..."                   further arguments of the program that the target runs

VENV  := .venv/bin
STEPS := 1000000
DAYS  := 10000
CYCLES := 20
HOURS := 1
FRAMES := 1000000
PARTS := allocator breaker
SETUP := @PYTHON='$(PYTHON)' sh tools/setup.sh

.DEFAULT_GOAL := help
.PHONY: help run test check prove simulation chaos contexts fuzz soak systemd-test queries mutants bench format docs site dashboards pictures lock

help:
	@echo "make run     the whole thing: daemon, database, browser, bundled site (ARGS: see orchestrator demo --help)"
	@echo "make test    all tests (ARGS=tests/test_aio.py for some)"
	@echo "make check   style, types, structured concurrency, layers"
	@echo "make prove   a million random steps of each part against its model (STEPS=, SEED=, PARTS=\"$(PARTS)\")"
	@echo "make simulation  days of the whole runtime in virtual time, each with its troubles (DAYS=, SEED=)"
	@echo "make chaos   the real thing, with everything killed in turn (CYCLES=, FAULT=, SEED=)"
	@echo "make contexts  browser contexts opened, used and closed: nothing stays, nothing grows (CYCLES=, SEED=)"
	@echo "make fuzz    the control socket, the HTTP port and the feed, told what nobody should (FRAMES=, SEED=)"
	@echo "make soak    a week of the demo in an hour: does anything grow? (HOURS=, MINUTES=)"
	@echo "make systemd-test  the service under a real systemd, in a container (as root; SYSTEMD_TEST_DIR= keeps it)"
	@echo "make queries the plans of the database's queries over a million rows (ROWS=)"
	@echo "make mutants small faults put into the code one by one: the tests find each (ARGS=breaker for one part)"
	@echo "make bench   figures, with the machine's description"
	@echo "make format  put the code into shape"
	@echo "make docs    write the pages of docs/ that are made from the code"
	@echo "make site    the documentation as a site, in build/site"
	@echo "make dashboards  write the JSON of the Grafana dashboards"
	@echo "make pictures  pictures of what the dashboards show, into docs/images (MINUTES=)"
	@echo "make lock    pin the packages anew (ARGS=--upgrade for newer ones)"

run:
	$(SETUP) run
	@exec $(VENV)/orchestrator demo $(ARGS)

test:
	$(SETUP) test
	@exec $(VENV)/python -m pytest --numprocesses 4 --dist worksteal $(ARGS)

check:
	$(SETUP) check
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/flake8
	$(VENV)/lint-imports --no-logo

prove:
	$(SETUP) test
	@exec $(VENV)/python -m tests.model.prove $(PARTS) --steps $(STEPS) $(if $(SEED),--seed $(SEED))

simulation:
	$(SETUP) test
	@exec $(VENV)/python -m tests.simulation.run --days $(DAYS) $(if $(SEED),--first $(SEED))

chaos:
	$(SETUP) test
	@exec $(VENV)/python -m tests.chaos.campaign --cycles $(CYCLES) $(if $(SEED),--seed $(SEED)) \
		$(if $(FAULT),--fault $(FAULT)) $(ARGS)

contexts: CYCLES := 10000
contexts:
	$(SETUP) test
	@exec $(VENV)/python -m tests.browser.cycles --cycles $(CYCLES) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz:
	$(SETUP) test
	@exec $(VENV)/python -m tests.fuzz.run --frames $(FRAMES) $(if $(SEED),--seed $(SEED))

soak:
	$(SETUP) test
	@exec $(VENV)/python -m tests.soak.run --picture docs/images/soak.svg \
		--minutes $(if $(MINUTES),$(MINUTES),$$(expr $(HOURS) \* 60))

systemd-test:
	$(SETUP) test
	@SYSTEMD_TEST=1 $(VENV)/python -m pytest tests/nspawn -x -rP $(ARGS)

queries: ROWS := 1000000
queries:
	$(SETUP) test
	@ROWS=$(ROWS) $(VENV)/python -m pytest tests/db/test_query_plans.py tests/db/test_listing.py --timeout 1500 $(ARGS)

mutants:
	$(SETUP) test
	@exec $(VENV)/python -m tools.mutants $(ARGS)

bench:
	$(SETUP) bench
	@exec $(VENV)/python -m bench.run $(ARGS)

format:
	$(SETUP) check
	@$(VENV)/ruff check --fix-only --quiet .
	@$(VENV)/ruff format .

docs:
	$(SETUP) check
	@$(VENV)/python -m tools.settings_reference
	@$(VENV)/python -m tools.cli_reference
	@$(VENV)/python -m tools.errors_reference
	@$(VENV)/python -m tools.metrics_reference
	@$(VENV)/python -m tools.units

site:
	$(SETUP) check
	@exec $(VENV)/python -m tools.site

dashboards:
	$(SETUP) check
	@$(VENV)/python -W ignore -m dashboards

pictures: MINUTES := 12
pictures:
	$(SETUP) test
	@exec $(VENV)/python -m tests.dashboards.pictures --minutes $(MINUTES)

lock:
	$(SETUP) lock $(ARGS)
