# make predict PROMPT="..."   one prediction on this machine, streamed to the terminal; SAMPLES=8 puts it to the vote
# make serve                  Cog's HTTP API on 127.0.0.1:5000
# make test                   lint, types and every test

PYTHON ?= python3.11
CHECKPOINT := $(or $(CHECKPOINT),demo)
PROMPT ?= What is 12 + 30?
INPUTS ?=
SAMPLES ?=
PORT ?= 5000
export CHECKPOINT

venv := .venv/bin
run := .venv/.run
all := .venv/.all

.PHONY: predict serve schema test lint format setup setup-all clean

predict: $(run)
	@$(venv)/python -m replicate.server -- "$$PROMPT" $(INPUTS) $(if $(SAMPLES),"samples=$(SAMPLES)")
override PROMPT := $(value PROMPT)# as it was typed: make would take the dollars of $x^2$ for its own
export PROMPT

serve: $(run)
	@$(venv)/python -m replicate.server --port $(PORT)

schema: $(run)
	@$(venv)/python -m replicate.schema

test: lint
	$(venv)/python -m pytest

lint: $(all)
	$(venv)/ruff check .
	$(venv)/ruff format --check .
	$(venv)/mypy

format: $(all)
	$(venv)/ruff format .
	$(venv)/ruff check --fix .

setup: $(run)
setup-all: $(all)

$(venv)/python:
	$(PYTHON) -m venv .venv

$(run): requirements-run.txt | $(venv)/python
	$(venv)/python -m pip install --quiet --disable-pip-version-check -r requirements-run.txt
	@touch $@

$(all): requirements-dev.txt requirements-run.txt requirements-evaluate.txt | $(venv)/python
	$(venv)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(run)

clean:
	rm -rf .venv .cog .mypy_cache .ruff_cache .pytest_cache .hypothesis
