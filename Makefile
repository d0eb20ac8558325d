# The first Python that runs and can make an environment; a shim of pyenv may be found and not run.
suits := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3 python; do \
	"$$name" -c '$(suits)' 2> /dev/null && command -v "$$name" && break; done)
venv := .venv
python := $(venv)/bin/python
dsm := $(venv)/bin/dsm
ready := $(venv)/.
grown := .grown

# What is written behind `make` and means nothing there is refused before anything runs: deepseek_math/local/makefile.py
# says what was meant. These are the variables that each goal takes, and those that mean something to many.
takes.predict := PROMPT INPUTS SAMPLES CHECKPOINT
takes.chat-terminal := INPUTS CHECKPOINT
takes.serve := PORT CHECKPOINT
takes.chat := PORT URL CHECKPOINT
takes.openai := PORT URL CHECKPOINT API_KEY CORS_ORIGINS
takes.fetch := CHECKPOINT
takes.image := CHECKPOINT ENGINE BAKE DRY
takes.push := CHECKPOINT ENGINE TO BAKE DRY
takes.bench := CHECKPOINT LLAMA_SERVER
takes.soak := MINUTES
takes.lock := LOCK
takes.native := CMAKE_ARGS
takes := PYTHON PYTEST_ADDOPTS COGLET_WHEEL CUDA_% PIP_% HF_% COG_WEIGHTS WEIGHTS_FOLDER SLOTS CONTEXT THREADS EXACT \
	GPU_LAYERS TOOL_PROCESSES PROGRAM_PACKAGES TIME_LIMIT LOG_PROMPTS DTYPE DEVICE_MAP ENGINE_URL ENGINE_MODEL ENGINE_API_KEY \
	ENGINE VLLM_ARGS VLLM_ENVIRONMENT

hash := \# # escaped differently by different makes inside a function
goals := $(shell awk -F: '/^[a-z-]+:.*$(strip $(hash)) / { print $$1 }' $(firstword $(MAKEFILE_LIST)))
.PHONY: $(goals)
.NOTPARALLEL:

typed := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
taken := $(takes) $(foreach goal,$(MAKECMDGOALS),$(takes.$(goal)))
strange := $(filter-out $(goals) $(venv)/%,$(MAKECMDGOALS)) $(addsuffix =,$(filter-out $(taken),$(typed)))
ifneq ($(strip $(strange)),)
words := $(MAKECMDGOALS) $(addsuffix =,$(typed))
$(error $(or $(shell PYTHONPATH=. "$(PYTHON)" -m deepseek_math.local.makefile '$(subst ','\'',$(words))' \
	'$(subst ','\'',$(strange))'), It means nothing here: $(strange)))
endif

# An environment that was never finished, was moved, or whose Python is gone or another is made anew. `make -n` leaves it.
dry := $(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS))))
ifneq ($(and $(filter-out help clean,$(MAKECMDGOALS)),$(wildcard $(venv)),$(if $(dry),,run)),)
ifneq ($(shell $(python) -c '$(suits)' && grep -F "$(CURDIR)/$(venv)/bin/" $(venv)/bin/pip > /dev/null && echo whole),whole)
$(info $(venv) is not whole: it is made anew.)
$(shell rm -rf $(venv))
endif
endif

named := $(CHECKPOINT)
override CHECKPOINT := $(or $(CHECKPOINT),demo)
PROMPT ?= What is 12 + 30?
INPUTS ?=
override PROMPT := $(value PROMPT)# as it was typed: make would take the dollars of $x^2$ for its own
override INPUTS := $(value INPUTS)
export CHECKPOINT PROMPT INPUTS

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

predict: setup ## answer PROMPT="..." in the terminal; SAMPLES=8 votes, INPUTS="seed=1 ..." sets the rest
	@$(dsm) predict --inputs="$$INPUTS" -- "$$PROMPT" $(if $(SAMPLES),"samples=$(SAMPLES)")

chat-terminal: setup ## a conversation in the terminal; INPUTS="mode=chat ..." sets the rest
	@$(dsm) chat --inputs="$$INPUTS"

serve: setup ## Cog's HTTP API on 127.0.0.1, PORT=5000
	@$(dsm) serve --port $(or $(PORT),5000)

chat: setup-page ## solutions in the browser, their mathematics set, PORT=8000; URL=http://... is a service that runs already
	@$(dsm) page --port $(or $(PORT),8000) $(if $(URL),--url "$(URL)")

openai: setup-openai ## OpenAI's API on 127.0.0.1, PORT=8000; URL=http://... is a service that runs already
	@$(dsm) openai --port $(or $(PORT),8000) $(if $(URL),--url "$(URL)")

checkpoints: setup ## the known checkpoints, and what is on disk
	@$(dsm) checkpoints

fetch: setup ## download CHECKPOINT=rl
	@$(dsm) fetch "$${COG_WEIGHTS:-$$CHECKPOINT}"

image: setup ## the container of CHECKPOINT=rl; ENGINE=vllm, BAKE=1 puts the weights in, DRY=1 prints what would be run
	@$(dsm) image "$(or $(named),rl)" $(if $(ENGINE),--engine "$(ENGINE)") $(if $(BAKE),--bake) $(if $(DRY),--dry-run)

push: setup ## the same, pushed: CHECKPOINT=rl TO=registry/name
	@$(dsm) push "$(or $(named),rl)" "$(or $(TO),$(error say where: make push CHECKPOINT=rl TO=registry/name))" \
		$(if $(ENGINE),--engine "$(ENGINE)") $(if $(BAKE),--bake) $(if $(DRY),--dry-run)

schema: setup ## the OpenAPI document of replicate/predict.py
	@$(dsm) schema

# Left out is what needs Rust (grammars) or is downloaded amid the build (TLS, a web page): the service uses none of it.
# No cache: what is compiled for this processor is no wheel for another that shares the home folder.
native: setup ## llama.cpp compiled for this machine's processor, in place of the one for any
	@for tool in cmake c++; do command -v $$tool > /dev/null || \
		{ echo "make native needs $$tool on the PATH. Debian, Ubuntu: apt install cmake g++ python3.11-dev" >&2; exit 1; }; done
	CMAKE_ARGS="-DLLAMA_LLGUIDANCE=OFF -DLLAMA_BUILD_BORINGSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF $$CMAKE_ARGS" \
		$(install) --no-cache-dir --force-reinstall --no-binary xllamacpp "$$(grep -o 'xllamacpp==[0-9.]*' pyproject.toml)"

bench: setup-bench ## this service beside the original predictor and llama.cpp's server: a table, JSON, bench.png
	@CHECKPOINT="$(named)" $(dsm) bench

bench-gpu: setup-bench ## the 7B's shape with random weights on this machine's GPU
	@$(dsm) bench gpu

soak: setup-tool ## mixed traffic on the demo for MINUTES=10: nothing lost, nothing left over, equal answers
	@$(dsm) bench soak --minutes $(or $(MINUTES),10)

check: lint types ## lint, types and the tests without processes, network or torch: under a minute
	$(python) -m pytest -m unit

test: setup-all lint types ## everything that needs the package registry alone
	$(python) -m pytest

test-container: setup-all ## the image, built and run in a Docker engine; what it needs says tests/container/engine
	$(python) -m pytest -n 0 tests/container

test-doors: test-page ## that, and OpenAI's API by the clients that people use; says so where they are not to be had
	tests/doors/environment $(python) -m pytest -n 0 tests/doors || [ $$? = 75 ]

test-vllm: setup-all ## the engines' promises, and deaths, on a real vLLM; says so where none is to be had
	tests/vllm/environment $(python) -m pytest -n 0 tests/engines/test_engines.py tests/vllm || [ $$? = 75 ]

test-page: setup-all ## the page in a headless Chromium; says so where none is to be had
	tests/browser/chromium $(python) -m pytest -n 0 tests/browser || [ $$? = 75 ]

tiny: setup-train ## the tiny checkpoints trained from nothing; stopped, the next call goes on
	$(dsm) train pretrain $(grown)
	$(dsm) train finetune $(grown)
	$(dsm) train questions $(grown)/held-out.jsonl --count 200 --seed 3 --held-out
	$(dsm) train questions $(grown)/questions.jsonl --count 4000
	CHECKPOINT=$(grown)/instruct $(dsm) train grpo $(grown)/rl --settings tiny \
		--questions $(grown)/questions.jsonl --held-out $(grown)/held-out.jsonl
	rm -f $(grown)/accuracy.jsonl
	$(dsm) train measure $(grown)/base --mode raw --out $(grown)/accuracy.jsonl
	for mode in cot vote; do $(dsm) train measure $(grown)/instruct --mode $$mode --out $(grown)/accuracy.jsonl || exit 1; done
	for mode in cot vote tool; do $(dsm) train measure $(grown)/rl --mode $$mode --out $(grown)/accuracy.jsonl || exit 1; done
	$(dsm) train publish $(grown) weights/tiny
	$(dsm) train plot weights/tiny weights/tiny/accuracy.png

lint: setup-check ## ruff
	$(venv)/bin/ruff check .
	$(venv)/bin/ruff format --check .

types: setup-check ## mypy
	$(venv)/bin/mypy

format: setup-check ## ruff's fixes and layout
	$(venv)/bin/ruff format .
	$(venv)/bin/ruff check --fix .

audit: $(ready)lock ## known faults in the pinned packages; asks the package registry
	$(venv)/bin/pip-audit --disable-pip --require-hashes -r requirements/test.txt
	$(venv)/bin/pip-audit --disable-pip --no-deps -r requirements.txt

# The list of all packages is made first and binds the others. The container's two have no hashes: Cog rewrites
# the lines of torch to the build for the machine, another file, and pip wants hashes for all packages or for none.
# vLLM's is for an environment of its own, and all of it goes into a line of cog.yaml, which has no place for hashes.
compile := $(venv)/bin/uv pip compile --quiet --python-version 3.11 --custom-compile-command "make lock" \
	--no-annotate --no-emit-index-url $(LOCK)
list := $(compile) pyproject.toml --universal --generate-hashes --no-emit-package torch
part := $(list) --constraint requirements/test.txt
lock: $(ready)lock ## requirements/*.txt and requirements.txt from pyproject.toml; LOCK=--upgrade takes newer ones
	$(list) --all-extras --group torch --group lint --group unit --group test --output-file requirements/test.txt
	$(part) --extra chat --output-file requirements/run.txt
	$(part) --extra door --output-file requirements/door.txt
	$(part) --extra door --extra page --output-file requirements/page.txt
	$(part) --extra evaluate --output-file requirements/evaluate.txt
	$(part) --extra bench --group torch --output-file requirements/bench.txt
	$(part) --extra train --group torch --output-file requirements/train.txt
	$(part) --group lint --group unit --output-file requirements/check.txt
	$(compile) --group lock --universal --generate-hashes --constraint requirements/test.txt \
		--output-file requirements/lock.txt
	$(compile) --group doors --universal --generate-hashes --output-file requirements/doors.txt
	$(compile) --group llama_index --universal --generate-hashes --output-file requirements/llama_index.txt
	$(compile) --group torch --no-deps --output-file requirements/torch.txt
	$(compile) --no-config --group vllm --python-platform x86_64-manylinux_2_31 --only-binary :all: \
		--output-file requirements/vllm.txt
	$(compile) --group programs --universal --generate-hashes --output-file requirements/programs.txt
	$(compile) pyproject.toml --extra hf --group container --constraint requirements/test.txt \
		--python-platform x86_64-manylinux_2_28 --no-emit-package cog --no-emit-package coglet \
		--output-file requirements.txt
	$(compile) pyproject.toml --constraint requirements/test.txt --python-platform x86_64-manylinux_2_28 \
		--no-emit-package cog --no-emit-package coglet --output-file requirements/llama_cpp.txt

setup: $(dsm) $(ready)run ## the packages of predict, chat-terminal, serve, fetch and image
setup-tool: setup $(ready)programs ## and those that programs of mode tool may import, 480 MB in a folder of their own
setup-openai: setup $(ready)door ## and those of openai
setup-page: setup $(ready)page ## and those of chat
setup-evaluate: setup $(ready)evaluate ## and those of evaluate's pictures and --ray
setup-bench: setup $(ready)bench $(ready)torch ## and those of bench, torch among them
setup-train: setup $(ready)train $(ready)torch ## and those of train, torch among them
setup-check: $(dsm) $(ready)check ## those of check
setup-all: setup-check setup-tool $(ready)test $(ready)torch ## those of everything, torch among them

install = $(python) -m pip install --quiet --disable-pip-version-check --no-deps

$(python):
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 with the module venv was found. Install one (Debian," \
		"Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(venv)

$(dsm): pyproject.toml | $(python)
	$(install) --editable .
	@touch $@

$(ready)%: requirements/%.txt | $(python)
	$(install) --require-hashes --requirement $<
	@touch $@

$(ready)programs: requirements/programs.txt | $(python)
	@$(python) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || { echo "The packages of the published results exist" \
		"for Python 3.11 and 3.12. Make the environment with one: make clean, then PYTHON=python3.11 make setup-tool" >&2; \
		exit 1; }
	rm -rf $(venv)/programs
	$(install) --require-hashes --target $(venv)/programs --requirement $<
	@touch $@

# Half of pip's time is compiling modules that a check never imports; Python compiles the others as it imports them.
$(ready)check: install += --no-compile

$(ready)torch: requirements/torch.txt | $(python)
	$(python) -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

clean: ## what the goals above have made, but for weights and results
	rm -rf $(venv) .cog .mypy_cache .ruff_cache .pytest_cache .hypothesis deepseek_math.egg-info
