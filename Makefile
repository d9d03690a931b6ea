# The things to do here: make demo, make test, make check, make bench; make firmware, make test-mcu for chips. Each sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard */_*_build.py */csrc/*.[ch] */csrc/batch/*.[ch] firmware_sim/fleet/csrc/*.[ch] firmware_sim/ports/woken.[ch])
PORTABLE := $(wildcard paygo_core/csrc/*.c firmware_sim/csrc/*.c)
CSRC := $(PORTABLE) $(wildcard paygo_core/csrc/batch/*.c)
FLEET_CSRC := $(wildcard firmware_sim/fleet/csrc/*.c)
FLEET_TEST := $(FLEET_CSRC) firmware_sim/csrc/law.c tests/c/fleet.c
FLEET_FLAGS := -Wno-psabi -ffp-contract=off -Ifirmware_sim/fleet/csrc -Ifirmware_sim/csrc -Ipaygo_core/csrc
C_WARNINGS := -std=c99 -Wall -Wextra -Wconversion -pedantic -Werror
C_INCLUDES := -Ipaygo_core/csrc -Ifirmware_sim/csrc -Ifirmware_sim/ports
BUILD := build/check
COMPILERS := gcc $(shell command -v clang)

.PHONY: demo test test-mcu test-crashes test-alerts gateway-budget firmware check bench fuzz fuzz-python coverage mutants kit-mutants \
  matrix conformance-page lint typecheck c-warnings c-cross c-arm64 c-sanitize c-size chip-budgets api clean

demo: $(VENV)/.run
	$(BIN)/paygo demo --output demo

test: $(VENV)/.test
	$(BIN)/pytest -n 2 $(PYTEST_ARGS)

# 10 000 tokens issued by processes that are killed on the way, on SQLite and on PostgreSQL.
test-crashes: $(VENV)/.test
	PAYGO_CRASH_TOKENS=10000 $(BIN)/pytest -n 2 tests/core/test_registry_crashes.py

# 10 000 alerts over a line that loses one line in ten, with restarts of both ends: each becomes exactly one action.
test-alerts: $(VENV)/.test
	PAYGO_ALERTS=10000 $(BIN)/pytest -n 2 tests/bridge/test_alert_line.py

# 256 simulated units, a reading a second each, through one gateway to SQLite and MQTT: CPU, memory, nothing lost.
GATEWAY_SECONDS ?= 600
gateway-budget: $(VENV)/.test
	$(BIN)/python bench/gateway_budget.py $(GATEWAY_SECONDS)

# The firmware as machine code for each chip that has a port, with its sizes. The AVR's name may be changed.
AVR_MCU ?= atmega328p
export PAYGO_AVR_MCU := $(AVR_MCU)
MCU_CACHE := XDG_CACHE_HOME=$(CURDIR)/build

firmware: $(VENV)/.run
	@$(MCU_CACHE) $(BIN)/python bench/port_size.py

# The same firmware on emulated chips: simavr and QEMU. `make test` needs neither.
test-mcu: $(VENV)/.test
	$(MCU_CACHE) $(BIN)/pytest -n 2 tests/mcu $(PYTEST_ARGS)

check: lint typecheck c-warnings c-cross c-arm64 c-sanitize

bench: $(VENV)/.test
	@mkdir -p build/bench
	$(BIN)/pytest bench -q --benchmark-enable --benchmark-only --benchmark-columns=min,median,rounds -p no:xdist \
	  --benchmark-json=build/bench/results.json
	$(BIN)/python bench/budgets.py build/bench/results.json

# libFuzzer on each target in tests/fuzz, FUZZ_SECONDS each (clang needed), from the seeds in tests/fuzz/corpus. What it
# finds worth keeping grows in build/corpus. FUZZ_ARGS=-seed=1 takes the same way each time.
FUZZ_SECONDS ?= 60
FUZZ_ARGS ?=
FUZZ_FLAGS := -std=c99 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_TARGETS := $(basename $(notdir $(wildcard tests/fuzz/fuzz_*.c)))
fuzz:
	@command -v clang >/dev/null || { echo "make fuzz needs clang with its compiler-rt" >&2; exit 1; }
	@mkdir -p build/fuzz
	@for file in $(CSRC); do \
	  clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(C_INCLUDES) -c $$file -o build/fuzz/$$(basename $$file .c).o || exit 1; \
	done
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p build/corpus/$$target && \
	  clang $(FUZZ_FLAGS) -fsanitize=fuzzer $(C_INCLUDES) \
	    $(patsubst %.c,build/fuzz/%.o,$(notdir $(CSRC))) tests/fuzz/$$target.c -o build/$$target && \
	  build/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=30 -max_len=4096 -print_final_stats=1 -artifact_prefix=build/$$target. \
	    $(FUZZ_ARGS) $$(test ! -f tests/fuzz/$$target.dict || echo -dict=tests/fuzz/$$target.dict) \
	    build/corpus/$$target tests/fuzz/corpus/$$target 2>build/$$target.log || { tail -40 build/$$target.log; exit 1; }; \
	  grep -E "number_of_executed|cov:" build/$$target.log | tail -2; echo "$$target: nothing found"; \
	done

# The same for what reads bytes in Python, with atheris, FUZZ_SECONDS for each codec. CODECS="hdk vedirect" for some.
CODECS ?= hdk vedirect keypad control oplink metrics response
fuzz-python: $(VENV)/.test
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@for codec in $(CODECS); do \
	  $(BIN)/python tests/fuzz/codecs.py --seeds build/corpus/codec_$$codec $$codec && \
	  $(BIN)/python tests/fuzz/codecs.py $$codec -max_total_time=$(FUZZ_SECONDS) -timeout=30 -max_len=4096 \
	    -artifact_prefix=build/codec_$$codec. $(FUZZ_ARGS) build/corpus/codec_$$codec 2>build/codec_$$codec.log || \
	    { tail -40 build/codec_$$codec.log; exit 1; }; \
	  grep -E "^Done" build/codec_$$codec.log; echo "$$codec: nothing found"; \
	done

# Which lines of the C the tests run; in build/coverage/index.html line by line.
coverage: $(VENV)/.check
	$(BIN)/python tests/c/coverage.py

# The conformance kit against every unit that can be run here, and the page that tells what came of it. UNITS="pc avr"
# for some of them. Some minutes: the kit walks to count 1000 on emulated chips.
matrix: $(VENV)/.test
	$(MCU_CACHE) $(BIN)/python bench/matrix.py $(UNITS)
	$(BIN)/python docs/make_conformance.py

# docs/conformance.md, from the catalogue and the last `make matrix`.
conformance-page: $(VENV)/.test
	$(BIN)/python docs/make_conformance.py

# Breaks the firmware in one way after the other, in copies, and shows that the conformance kit finds each by the right
# test. DEFECT=T14 for those of one rule.
kit-mutants: $(VENV)/.test
	$(BIN)/python tests/mutants/kit.py $(DEFECT)

# Breaks the rules of the tokens one by one, in copies, and shows that the named tests fail of it. RULE=T14 for one rule.
# `make kit-mutants` breaks the firmware, for the conformance kit.
mutants: $(VENV)/.test
	$(BIN)/python tests/mutants/run.py $(RULE) $(MUTANTS_ARGS)

lint: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.check
	$(BIN)/mypy

# Every C file of ours under gcc, and under clang where it is installed (in CI it must be).
c-warnings:
	@mkdir -p $(BUILD)
	@if [ -n "$(CI)" ] && ! command -v clang >/dev/null; then echo "clang is missing" >&2; exit 1; fi
	@for compiler in $(COMPILERS); do \
	  for file in $(CSRC) $(filter-out tests/c/fleet.c tests/c/both_ways%,$(wildcard tests/c/*.c)) $(wildcard tests/fuzz/*.c firmware_sim/ports/*.c firmware_sim/ports/posix/*.c); do \
	    $$compiler $(C_WARNINGS) -O2 $(C_INCLUDES) -c $$file -o $(BUILD)/warnings.o || exit 1; \
	  done; \
	  for file in $(FLEET_CSRC) tests/c/fleet.c $(wildcard tests/c/both_ways*.c); do \
	    $$compiler $(C_WARNINGS) -O2 $(FLEET_FLAGS) -c $$file -o $(BUILD)/warnings.o || exit 1; \
	  done; echo "$$compiler: no warning in $(words $(CSRC) $(FLEET_CSRC)) files"; \
	done
	@command -v clang >/dev/null || echo "clang is not installed: checked with gcc only"

# The files that firmware takes, under the compilers of an 8-bit and a 32-bit microcontroller where they are installed.
c-cross:
	@mkdir -p $(BUILD)
	@for compiler in "avr-gcc -mmcu=atmega328p" "arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb"; do \
	  if ! command -v $${compiler%% *} >/dev/null; then \
	    echo "$${compiler%% *} is not installed: not checked with it"; \
	    if [ -n "$(CI)" ]; then exit 1; fi; continue; \
	  fi; \
	  for file in $(PORTABLE); do \
	    $$compiler $(C_WARNINGS) -Os $(C_INCLUDES) -c $$file -o $(BUILD)/cross.o || exit 1; \
	  done; \
	  for file in $(wildcard paygo_core/csrc/*.c); do \
	    $$compiler $(C_WARNINGS) -Os -DPAYGO_NO_EXTENDED $(C_INCLUDES) -c $$file -o $(BUILD)/cross.o || exit 1; \
	  done; echo "$$compiler: no warning in $(words $(PORTABLE)) files"; \
	done

# The C unit tests on 64-bit Arm, and a fleet's run to the same bytes as here, under an emulator where it and the compiler are installed.
c-arm64:
	@mkdir -p $(BUILD)
	@if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then \
	  echo "aarch64-linux-gnu-gcc or qemu-aarch64 is not installed: nothing run on Arm64"; \
	  if [ -n "$(CI)" ]; then exit 1; fi; exit 0; \
	fi; \
	for test in $(wildcard tests/c/test_*.c); do \
	  aarch64-linux-gnu-gcc $(C_WARNINGS) -O2 -static $(C_INCLUDES) $(CSRC) $$test -o $(BUILD)/c-test-arm64 || exit 1; \
	  qemu-aarch64 $(BUILD)/c-test-arm64 || exit 1; echo "aarch64-linux-gnu-gcc: $$test passed under qemu-aarch64"; \
	done; \
	aarch64-linux-gnu-gcc $(C_WARNINGS) -O2 -static $(FLEET_FLAGS) $(FLEET_TEST) -o $(BUILD)/fleet-arm64 || exit 1; \
	gcc $(C_WARNINGS) -O2 $(FLEET_FLAGS) $(FLEET_TEST) -o $(BUILD)/fleet || exit 1; \
	if [ "$$(qemu-aarch64 $(BUILD)/fleet-arm64)" != "$$($(BUILD)/fleet)" ]; then \
	  echo "a fleet comes to other bytes on Arm64" >&2; exit 1; fi; echo "Arm64: a fleet comes to the same bytes"

# What the C costs on microcontrollers, for docs/c-guide.md: flash, RAM, deepest stack.
c-size:
	@$(PYTHON) bench/c_size.py

# Cycles, instructions, flash and stack of the token core on three chips, in simavr and QEMU, beside their budgets.
chip-budgets: $(VENV)/.run
	@$(BIN)/python bench/chip_budgets.py

# docs/api.md, from the docstrings.
api: $(VENV)/.test
	$(BIN)/python docs/make_api.py

# The C unit tests under address and undefined-behaviour sanitizers.
c-sanitize:
	@mkdir -p $(BUILD)
	@for compiler in $(COMPILERS); do for test in $(wildcard tests/c/test_*.c); do \
	  $$compiler $(C_WARNINGS) -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all $(C_INCLUDES) \
	    $(CSRC) $$test -o $(BUILD)/c-test || exit 1; \
	  $(BUILD)/c-test || exit 1; echo "$$compiler: $$test passed under sanitizers"; \
	done; done
	@for compiler in $(COMPILERS); do \
	  $$compiler $(C_WARNINGS) -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all $(FLEET_FLAGS) $(FLEET_TEST) \
	    -o $(BUILD)/c-test || exit 1; \
	  $(BUILD)/c-test || exit 1; echo "$$compiler: tests/c/fleet.c passed under sanitizers"; \
	done
	@for compiler in $(COMPILERS); do for options in "-O1 -DPAYGO_CORE=8" "-Os"; do \
	  $$compiler $(C_WARNINGS) -g $$options -fsanitize=address,undefined -fno-sanitize-recover=all $(C_INCLUDES) \
	    $(wildcard paygo_core/csrc/*.c) tests/c/test_core.c -o $(BUILD)/c-test || exit 1; \
	  $(BUILD)/c-test || exit 1; echo "$$compiler $$options: tests/c/test_core.c passed under sanitizers"; \
	done; done

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is " + sys.version) if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/pip $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

$(VENV)/.check: $(VENV)/.test
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,check]'
	@touch $@

clean:
	rm -rf $(VENV) build demo *.egg-info */*.so */_native.c */_fleet.c
