# SPDX-License-Identifier: BSD-2-Clause
# The front door; meson does the work. `make help` lists what there is.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 300
QUICK ?=

.PHONY: all run test test-all sim soak bench lint format fuzz install clean help

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/need --check build
	@meson setup $(BUILD) --buildtype=release -Db_lto=true --prefix=$(PREFIX) -Dtests=disabled

run: export BUILD := $(BUILD)
run: export IMAGE := $(IMAGE)
run: export SIZE := $(SIZE)
run: export LISTEN := $(LISTEN)
run:
	@scripts/run

test:
	@tests/run $(TESTFLAGS)

test-all:
	@tests/run --all $(TESTFLAGS)

# The simulation: one seed with its trace, the usual ones, or new ones for a while.
sim:
	@scripts/sim $(if $(SEED),--seed=$(SEED),--seeds=$(or $(SEEDS),1-2000))

soak:
	@scripts/sim --soak=$(or $(SECONDS),600)

bench:
	@tests/bench/run $(if $(filter-out 0,$(QUICK)),--quick) $(BENCHFLAGS)

lint:
	@tests/lint/run

format:
	@tests/lint/run --fix-format

fuzz:
	@scripts/fuzz $(FUZZ_SECONDS)

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@DESTDIR='$(DESTDIR)' meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-*

help:
	@echo 'make           build tgtd, tgtctl, tgtadm and libstgt in $(BUILD)/'
	@echo 'make run       install what is missing, build, and serve a disk over iSCSI until Ctrl-C'
	@echo '                 IMAGE=path    a file or block device (default: a sparse image of SIZE)'
	@echo '                 SIZE=1G       size of a new image'
	@echo '                 LISTEN=addr[:port]   where to listen (default 127.0.0.1:3260 or the next free port)'
	@echo 'make test      install what the tests need, build three ways, run everything'
	@echo '                 TESTFLAGS="--filter WORD --build plain"   a part of it (tests/run --help)'
	@echo 'make test-all  the same, and every scenario in a guest with the kernel'\''s own initiator (tests/guest)'
	@echo 'make sim       the simulated daemon under SEEDS=1-2000; SEED=n: one, with a trace of all that happens'
	@echo 'make soak      new seeds for SECONDS=600'
	@echo 'make bench     what it costs, against a floor and against tgt; rewrites docs/performance.md'
	@echo '                 QUICK=1       a look while working, below two minutes; writes nothing'
	@echo '                 SPDK=path     SPDK'\''s iscsi_tgt takes part'
	@echo '                 BENCHFLAGS="--rows PATTERN --peers NAMES"   a part of it (tests/bench/run --help)'
	@echo 'make lint      layers, words, format, static analysis, man pages'
	@echo 'make format    put C sources into the project'\''s format'
	@echo 'make fuzz      run the fuzzers longer (FUZZ_SECONDS=300 each)'
	@echo 'make install   PREFIX=/usr/local DESTDIR='
	@echo 'make clean     remove build folders'
