# Every target sets up what it needs by itself. `make sweep` and `make test` are all that a fresh machine needs.
PYTHON ?= python3.11
BIN := .venv/bin
METHOD ?= deepjscc
MINUTES ?= 60
START ?=
OUT ?= runs/kodak
OUT_ALL ?= runs/kodak_all
SWEEP_METHODS ?= kltjscc,deepjscc,softcast
FADING_METHODS ?= kltjscc,deepjscc,softcast,digital
FADING_DRAWS ?= 20
OUT_MISMATCH ?= runs/mismatch
MISMATCH_DATASET ?= kodak
MISMATCH_LIMIT ?= 8
MISMATCH_METHODS ?= kltjscc,deepjscc,model_based,softcast,digital
MISMATCH_SNR_DB ?= 0,10
CERTS ?= build/certs
CERTIFIED := encoder channel decoder decoder-model-based decoder-diffusion orchestrator user
PROTOS := $(wildcard proto/jscc/wire/v1/*.proto)
REFERENCE := proto/reference.binpb
ORDER ?=
SEED ?= $(shell date +%s)
JOBS ?= 2
PYTEST := $(BIN)/pytest -q -n $(JOBS) --dist loadfile $(if $(filter random,$(ORDER)),-p randomly --randomly-seed=$(SEED))

# Data next to the project are found without being told; elsewhere JSCC_DATA says where they are.
ifndef JSCC_DATA
ifneq ($(wildcard ../shared/data),)
export JSCC_DATA := $(abspath ../shared/data)
endif
endif

.PHONY: help sweep sweep-all fading mismatch test quick check fix certs up down train bench bench-train stubs wire-reference lock

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

sweep: .venv/.installed ## Kodak through the link with SWEEP_METHODS, over one gain per image and AWGN: rows, summary and figures in $(OUT), some minutes
	$(BIN)/jscc-link sweep --dataset kodak --methods $(SWEEP_METHODS) --channels rayleigh --snr-db=0,10,20 --draws 1 --out $(OUT)
	$(BIN)/jscc-link sweep --dataset kodak --methods $(SWEEP_METHODS) --snr-db=-5,0,5,10,15,20 --draws 1 --out $(OUT)

sweep-all: .venv/.installed ## everything: all methods, their studies, all references, into $(OUT_ALL); says first how long it takes
	$(BIN)/jscc-link sweep --dataset kodak --methods all --snr-db=-5,0,5,10,15,20 --draws 1 --out $(OUT_ALL)

fading: .venv/.installed ## FADING_METHODS over one gain per image and over fast fading, FADING_DRAWS draws of each image, all references, into $(OUT_ALL); hours
	$(BIN)/jscc-link sweep --dataset kodak --methods $(FADING_METHODS) --channels rayleigh,rayleigh:coherence=1,csi=perfect \
	  --snr-db=-5,0,5,10,15,20 --draws $(FADING_DRAWS) --references all --out $(OUT_ALL)

mismatch: .venv/.installed ## MISMATCH_METHODS told 0 to 6 dB too much, without, with the usual and with a larger margin, into $(OUT_MISMATCH)
	for margins in "--option margin_db=0.0 --option header_margin_db=0.0" "" "--option margin_db=4.0 --option header_margin_db=4.0"; do \
	  $(BIN)/jscc-link sweep --dataset $(MISMATCH_DATASET) --limit $(MISMATCH_LIMIT) --methods $(MISMATCH_METHODS) --snr-db=$(MISMATCH_SNR_DB) \
	    --told-above-db 0,0.5,1,2,3,6 $$margins --references none --out $(OUT_MISMATCH) || exit; done

test: .venv/.installed ## unit, contract and end-to-end tests, JOBS files at a time; ORDER=random shuffles them by SEED
	$(PYTEST)

quick: .venv/.installed ## the unit and contract tests that are cheap, in less than 90 s
	$(PYTEST) -m "not slow" tests/unit tests/contract

check: .venv/.installed ## style, types, import arrows, protobuf rules, then the tests; writes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/buf breaking --against $(REFERENCE)
	$(PYTEST)

fix: .venv/.installed ## format and repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stubs: .venv/.installed ## generate jscc/wire/v1 from proto/
	PATH=$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --mypy_out=quiet:. $(PROTOS)

wire-reference: .venv/.installed ## take proto/ as it is for what `make check` holds the wire to; with each release
	$(BIN)/buf build --exclude-source-info -o $(REFERENCE)

certs: ## an authority and certificates for every service and a user, for TLS (docs/security.md), into $(CERTS); by openssl
	@sh deploy/certificates.sh $(CERTS) $(CERTIFIED)
	@echo "$(CERTS): $(CERTIFIED)"

up: .venv/.installed ## start the link as local processes
	$(BIN)/jscc-link up

down: .venv/.installed ## stop the link that `make up` started
	$(BIN)/jscc-link down

train: .venv/.installed ## train METHOD for MINUTES, perhaps from START; the same command goes on where it stopped
	$(BIN)/python -m trainer train configs/$(METHOD).toml --minutes $(MINUTES) --out runs/$(METHOD) --resume $(if $(START),--start $(START))

bench: .venv/.installed ## one hop over loopback beside memcpy, a raw TCP echo and plain gRPC
	$(BIN)/python bench/hop.py

bench-train: .venv/.installed ## training of METHOD: crops per second beside a plain loop, and what brings them
	$(BIN)/python -m trainer bench configs/$(METHOD).toml

lock: ## pin what is installed
	$(BIN)/pip freeze --all --exclude-editable --exclude pip --exclude imageio-ffmpeg | grep -v '^-e' | sed 's/+cpu$$//' > requirements.lock
