# make predict PROMPT="..."   one prediction on this machine, streamed to the terminal; SAMPLES=8 puts it to the vote
# make serve                  Cog's HTTP API on 127.0.0.1:5000
# make checkpoints            the known checkpoints, and what is on disk
# make fetch CHECKPOINT=rl    download one
# make image CHECKPOINT=rl    cog build for one checkpoint; BAKE=1 puts the weights in, DRY=1 prints what would be run
# make push CHECKPOINT=rl TO=registry/name
# make native                 llama.cpp compiled for this machine's processor, in place of the one for any
# make bench                  this service beside the seeds' way and llama.cpp's server: a table, JSON, bench.png
# make bench-gpu              the 7B's shape with random weights on this machine's GPU
# make test                   lint, types and every test
# make tiny                   the tiny checkpoints grown anew; stopped, the next call goes on

PYTHON ?= python3.11
named := $(CHECKPOINT)
override CHECKPOINT := $(or $(CHECKPOINT),demo)
PROMPT ?= What is 12 + 30?
INPUTS ?=
SAMPLES ?=
PORT ?= 5000
export CHECKPOINT

venv := .venv/bin
run := .venv/.run
tool := .venv/.tool
all := .venv/.all
bench := .venv/.bench
train := .venv/.train
grown := .grown

.PHONY: predict serve checkpoints fetch image push schema native bench bench-gpu test tiny lint format setup setup-tool setup-all setup-train clean

predict: $(run)
	@$(venv)/python -m deepseek_math.local.server --inputs="$$INPUTS" -- "$$PROMPT" $(if $(SAMPLES),"samples=$(SAMPLES)")
override PROMPT := $(value PROMPT)# as it was typed: make would take the dollars of $x^2$ for its own
override INPUTS := $(value INPUTS)
export PROMPT INPUTS

serve: $(run)
	@$(venv)/python -m deepseek_math.local.server --port $(PORT)

checkpoints: $(run)
	@$(venv)/python -m deepseek_math.checkpoints

fetch: $(run)
	@$(venv)/python -m deepseek_math.checkpoints "$${COG_WEIGHTS:-$$CHECKPOINT}"

image: $(run)
	@$(venv)/python -m deepseek_math.local.image "$(or $(named),rl)" $(if $(BAKE),--bake) $(if $(DRY),--dry-run)

push: $(run)
	@$(venv)/python -m deepseek_math.local.image "$(or $(named),rl)" --to "$(or $(TO),$(error say where: make push CHECKPOINT=rl TO=registry/name))" $(if $(BAKE),--bake) $(if $(DRY),--dry-run)

schema: $(run)
	@$(venv)/python -m deepseek_math.cog.schema

# Left out is what needs Rust (grammars) or is downloaded amid the build (TLS, a web page): the service uses none of it.
# No cache: what is compiled for this processor is no wheel for another that shares the home folder.
native: $(run)
	@for tool in cmake c++; do command -v $$tool > /dev/null || \
		{ echo "make native needs $$tool on the PATH. Debian, Ubuntu: apt install cmake g++ python3.11-dev" >&2; exit 1; }; done
	CMAKE_ARGS="-DLLAMA_LLGUIDANCE=OFF -DLLAMA_BUILD_BORINGSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF $$CMAKE_ARGS" \
		$(venv)/python -m pip install --disable-pip-version-check --no-cache-dir --force-reinstall --no-deps \
		--no-binary xllamacpp "$$(grep ^xllamacpp requirements-run.txt)"

bench: $(bench)
	@CHECKPOINT="$(named)" $(venv)/python -m deepseek_math.bench

bench-gpu: $(bench)
	@$(venv)/python -m deepseek_math.bench.gpu

test: lint $(train)
	$(venv)/python -m pytest

stage := $(venv)/python -m deepseek_math.training
tiny: $(train)
	$(stage).pretrain $(grown)
	$(stage).finetune $(grown)
	$(stage).questions $(grown)/held-out.jsonl --count 200 --seed 3 --held-out
	$(stage).questions $(grown)/questions.jsonl --count 4000
	CHECKPOINT=$(grown)/instruct $(stage).grpo $(grown)/rl --settings tiny \
		--questions $(grown)/questions.jsonl --held-out $(grown)/held-out.jsonl
	rm -f $(grown)/accuracy.jsonl
	$(stage).evaluate $(grown)/base --mode raw --out $(grown)/accuracy.jsonl
	for mode in cot vote; do $(stage).evaluate $(grown)/instruct --mode $$mode --out $(grown)/accuracy.jsonl || exit 1; done
	for mode in cot vote tool; do $(stage).evaluate $(grown)/rl --mode $$mode --out $(grown)/accuracy.jsonl || exit 1; done
	$(stage).publish $(grown) weights/tiny
	$(stage).plot weights/tiny weights/tiny/accuracy.png

lint: $(all)
	$(venv)/ruff check .
	$(venv)/ruff format --check .
	$(venv)/mypy

format: $(all)
	$(venv)/ruff format .
	$(venv)/ruff check --fix .

setup: $(run)
setup-tool: $(run) $(tool)
setup-all: $(all)
setup-train: $(train)

$(venv)/python:
	$(PYTHON) -m venv .venv

$(run): requirements-run.txt | $(venv)/python
	$(venv)/python -m pip install --quiet --disable-pip-version-check -r requirements-run.txt
	@touch $@

$(tool): requirements-tool.txt | $(venv)/python
	$(venv)/python -m pip install --quiet --disable-pip-version-check -r requirements-tool.txt
	@touch $@

$(all): requirements-dev.txt requirements-run.txt requirements-tool.txt requirements-evaluate.txt | $(venv)/python
	$(venv)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(run) $(tool)

$(bench): requirements-bench.txt requirements-run.txt | $(venv)/python
	$(venv)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@ $(run)

$(train): requirements-train.txt requirements-dev.txt requirements-run.txt | $(venv)/python
	$(venv)/python -m pip install --quiet --disable-pip-version-check -r requirements-train.txt
	@touch $@ $(all) $(run)

clean:
	rm -rf .venv .cog .mypy_cache .ruff_cache .pytest_cache .hypothesis
