# The steps of development and installation. CI calls these and nothing else.
# Nothing has to be prepared by hand on Debian 12: what is missing is installed, and said.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= deploy/demo.yaml
EXTRAS ?= tflite

# What the tests talk to: a real broker, a real RTSP server, real encoders, a browser.
TEST_PACKAGES := mosquitto mosquitto-clients ffmpeg libfaketime strace \
	python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-ugly gstreamer1.0-plugins-bad chromium chromium-driver \
	pulseaudio pulseaudio-utils libasound2-plugins

# What PyAudio is compiled with: there is no wheel of it for Linux.
MIC_PACKAGES := portaudio19-dev gcc libc6-dev python3-dev

.PHONY: help run dashboard test lint bench models score test-demo test-dashboard faults test-systemd test-arm install uninstall clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: $(VENV)/run.stamp ## the demo; SOURCE=rtsp://…, /dev/video0 or clip.mp4 for a real input, CONFIG=file for your own
	$(if $(SOURCE),$(BIN)/smartbox run --source '$(SOURCE)',$(BIN)/smartbox run -c $(CONFIG))

dashboard: $(VENV)/run.stamp ## the demo with its dashboard in your browser; BOXES=2, or BROKER=mqtts://… for your own boxes
	command -v npm >/dev/null || scripts/debian-packages nodejs npm
	$(if $(BROKER),,scripts/debian-packages mosquitto)
	$(BIN)/python deploy/dashboards/demo

test: $(VENV)/test.stamp $(VENV)/mic.stamp ## the test suite, without the long ones below (JOBS=4); ARGS="tests/rules -k sleep" is a part
	scripts/debian-packages $(TEST_PACKAGES)
	$(BIN)/python scripts/test $(or $(JOBS),4) $(ARGS)

lint: $(VENV)/test.stamp ## ruff, its format check, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

PEERS ?= $(wildcard ../shared/data/peers/yolox_nano.onnx ../shared/data/peers/pvb-2000.xml)
bench: $(VENV)/test.stamp ## figures on this machine: backends, tracker, latency, cost per camera
	scripts/debian-packages $(TEST_PACKAGES)
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/smartbox bench --bundle lrssd-park $(PEERS:%=--peer %)
	set -e; for part in benchmarks/bench_*.py; do $(BIN)/python "$$part"; done

MODELS ?= $(notdir $(wildcard models/*))
models: $(VENV)/test.stamp ## MODELS (default all) anew, tiny, on simulated data (minutes); FULL=1: whole recipes (hours, ../shared/data)
	$(BIN)/smartbox lab rebuild $(if $(FULL),--full) $(MODELS)
	$(BIN)/smartbox models verify $(patsubst %,build/models/%,$(MODELS))

score: $(VENV)/test.stamp ## scored scenarios, quiet hours, sounds and real pictures into docs/score.md (hours; JOBS=2, HOURS=24)
	$(BIN)/python -m benchmarks.score --real ../shared/data --sound ../shared/data --quiet $(or $(HOURS),24) --jobs $(or $(JOBS),2)
	$(BIN)/python -m benchmarks.score --jobs $(or $(JOBS),2) $(ARGS)

test-demo: $(VENV)/test.stamp ## the demo as it runs, and random simulated parks against their truth (minutes)
	$(BIN)/python -m pytest tests/e2e/test_demo.py -m slow -s $(ARGS)

test-dashboard: $(VENV)/test.stamp ## the dashboard in a browser, against the demo as it runs (minutes)
	command -v npm >/dev/null || scripts/debian-packages nodejs npm
	scripts/debian-packages $(TEST_PACKAGES)
	$(BIN)/python -m pytest tests/dashboard -m slow -s $(ARGS)

faults: $(VENV)/test.stamp ## every fault row with all its repetitions (an hour); writes docs/reliability.md
	scripts/debian-packages $(TEST_PACKAGES)
	$(BIN)/python -m pytest -m 'faults or row' --timeout 3600 -s --durations 12 --table build/faults.json $(ARGS); status=$$?; \
	$(BIN)/python -m tests.faults.table $(if $(ARGS),build,docs)/reliability.md build/faults.json && exit $$status

test-systemd: $(VENV)/test.stamp ## installs into a Debian booted by systemd-nspawn and breaks it there (root)
	scripts/debian-packages $(TEST_PACKAGES) debootstrap systemd-container libsystemd-dev pkg-config
	$(BIN)/python -m pytest tests/systemd -m systemd --timeout 1800 -s $(ARGS)

test-arm: $(VENV)/test.stamp ## installs and replays in an arm64 root under qemu-user (root)
	scripts/debian-packages $(TEST_PACKAGES) debootstrap systemd-container qemu-user-static libsystemd-dev pkg-config
	$(BIN)/python -m pytest tests/arm -m arm --timeout 3600 -s $(ARGS)

install: ## to PREFIX (/opt/smartbox), with unit, user and example configuration (root; DESTDIR, EXTRAS, WHEELS)
	scripts/install

uninstall: ## removes it; data and configuration stay unless PURGE=1 (root)
	scripts/uninstall

clean: ## forgets the environment and what was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/run.stamp: pyproject.toml scripts/environment scripts/pick-python
	scripts/environment $(VENV) demo
	@touch $@

$(VENV)/test.stamp: pyproject.toml scripts/environment scripts/pick-python
	scripts/environment $(VENV) demo,tflite,mnn,openvino,dev lab
	@touch $(VENV)/run.stamp $@

$(VENV)/mic.stamp: $(VENV)/test.stamp
	scripts/debian-packages $(MIC_PACKAGES)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[mic]'
	@touch $@

# scripts/install and scripts/uninstall read these from the environment
export PREFIX DESTDIR EXTRAS WHEELS PURGE PYTHON
