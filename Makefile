# Temper, from a fresh clone: `make demo` and `make test` set up what they need. `make help` lists the rest.
# PYTHON=/path/to/python3.12 chooses the Python that .venv is made with.

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types lock clean
MAKEFLAGS += --no-print-directory
export PYTHON

BIN := $(CURDIR)/.venv/bin
UV_LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" "$(BIN)"/uv pip compile --quiet --no-build --generate-hashes \
	--no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r target text; do printf '  make %-9s %s\n' "$$target" "$$text"; done

install: ## make .venv (pinned, hashed) with Temper in it; quick when it is there
	@scripts/install.sh

demo: install ## teach three small models on synthetic steel, export and compare them: ends with an HTML report
	@"$(BIN)"/temper run recipes/demo.yml

test: install ## the whole suite, against the installed package
	@"$(BIN)"/python -m pytest -n auto $(PYTEST_ARGS)

lint: install ## ruff: rules and format
	@"$(BIN)"/ruff check .
	@"$(BIN)"/ruff format --check .

# from another folder, so that it is the installed package that is checked
types: install ## mypy on the installed package
	@cd "$(BIN)" && ./mypy --config-file "$(CURDIR)"/pyproject.toml --cache-dir "$(CURDIR)"/.mypy_cache -p temper

lock: install ## pin requirements/*.txt anew (LOCK_ARGS=--upgrade for the newest versions)
	@for version in 3.10 3.11 3.12; do \
	  $(UV_LOCK) requirements/all.in --override requirements/overrides.txt --python-version $$version \
	    --python-platform x86_64-manylinux_2_28 -o requirements/py$$(echo $$version | tr -d .).txt >/dev/null || exit 1; \
	done
	@$(UV_LOCK) requirements/base.in --universal --python-version 3.13 -o requirements/py313-base.txt >/dev/null
	@$(UV_LOCK) requirements/uv.in --universal --python-version 3.10 -o requirements/uv.txt >/dev/null

clean: ## remove .venv and what tools left behind; runs/ stays
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
