# make run | test | soak | fuzz | check | bench | lock | clean. Everything installed lives in .venv; nothing else is touched.
# make install: sftpd for this machine, in PREFIX, and its units in SYSCONFDIR; docs/installation.md.

PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
PACKAGES = $(shell sed 's/\#.*//' packages.apt)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.NOTPARALLEL:
.DEFAULT_GOAL := run
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc

.PHONY: run test soak fuzz check bench lock clean install venv runtime dev bench-venv fuzz-venv packages

run: runtime
	test -f demo/sftpd.toml || $(BIN)/sftpd init demo >/dev/null
	exec $(BIN)/sftpd serve --config demo/sftpd.toml --announce demo/CONNECT.txt

# The tests start hundreds of processes, which load what is compiled more quickly. What takes long comes first (tests/conftest.py).
# Many wait for something: two cores are busy with six workers.
test: packages dev
	$(BIN)/python -m compileall -q sftpd
	exec $(BIN)/python -m pytest --numprocesses 6 --dist loadfile --no-loadscope-reorder $(ARGS)

# What takes minutes: a day's mixed load, sshfs under load, races, sieges, the fault bench, and the test suites of client libraries.
soak: packages dev
	exec $(BIN)/python -m pytest -m soak $(ARGS)

check: dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# make fuzz TARGET=ssh-packets SECONDS=600
fuzz: fuzz-venv
	exec $(BIN)/python -m tests.fuzz $(or $(TARGET),ssh-after-keys) --seconds $(or $(SECONDS),60)

bench: packages bench-venv
	exec $(BIN)/python -m bench $(ARGS)

# The development lock comes first and constrains the others, so that all fit in one .venv.
COMPILE := $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock:
	$(COMPILE) pyproject.toml --group build --group dev --extra pkcs11 --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --group build --constraint requirements-dev.lock --output-file requirements.lock
	$(COMPILE) pyproject.toml --group build --extra pkcs11 --constraint requirements-dev.lock --output-file requirements-pkcs11.lock
	$(COMPILE) pyproject.toml --group build --group bench --constraint requirements-dev.lock --output-file requirements-bench.lock
	$(COMPILE) pyproject.toml --group build --group fuzz --constraint requirements-dev.lock --output-file requirements-fuzz.lock
	for input in tests/clients/locks/*.in; do $(COMPILE) "$$input" --output-file "$${input%.in}.lock"; done

# Each release has a folder of its own and the last one stays, as a daemon that runs loads what it needs when it needs it.
RELEASES = $(PREFIX)/lib/sftpd
install:
	$(INSTALLER)
	$(PYTHON_FOUND)
	for place in "$$($(PYTHON) -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')" $(PREFIX); do
		case "$$place/" in /home/*|/root/*|/run/user/*)
			echo "$$place is in a home directory, which the service does not see: give make install PYTHON=/usr/bin/python3, or PREFIX=" >&2
			exit 1 ;;
		esac
	done
	release=$(RELEASES)/$$(date --utc +%Y%m%dT%H%M%SZ)
	source=$$(mktemp -d)
	trap 'rm -rf "$$source"; [ "$$(readlink $(PREFIX)/bin/sftpd)" = "$$release/bin/sftpd" ] || rm -rf "$$release"' EXIT
	mkdir -p "$$release" $(PREFIX)/bin $(SYSCONFDIR)/systemd/system $(SYSCONFDIR)/sysusers.d
	echo "Installing sftpd into $$release"
	$(PYTHON) -m venv "$$release"
	pip="$$release/bin/python -m pip -qq --disable-pip-version-check --no-input"
	$$pip install --require-hashes --requirement requirements.lock
	cp -r pyproject.toml README.md LICENSE sftpd hooks "$$source"
	$$pip install --no-deps --no-build-isolation "$$source"
	for name in sftpd sftpd-pkcs11-key; do
		ln -sfn "$$release/bin/$$name" $(PREFIX)/bin/$$name.new
		mv -T $(PREFIX)/bin/$$name.new $(PREFIX)/bin/$$name
	done
	sed 's#/usr/bin/sftpd#$(PREFIX)/bin/sftpd#' systemd/sftpd.service >$(SYSCONFDIR)/systemd/system/sftpd.service
	cp systemd/sftpd.socket $(SYSCONFDIR)/systemd/system/sftpd.socket
	cp systemd/sftpd.sysusers.conf $(SYSCONFDIR)/sysusers.d/sftpd.conf
	ls -d $(RELEASES)/*Z | head -n -2 | xargs -r rm -rf
	echo "$(PREFIX)/bin/sftpd is $$($(PREFIX)/bin/sftpd --version)"

# Instances are data, so demo/ stays.
clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Shell function: install the Debian packages named, or say how.
define INSTALLER
debian_install() {
	if [ "$$(id -u)" != 0 ]; then
		echo "These Debian packages are missing. Run:" >&2
		echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $$*" >&2
		return 1
	fi
	echo "Installing Debian packages: $$*"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$@" >/dev/null
}
endef

packages:
	$(INSTALLER)
	if ! command -v dpkg-query >/dev/null; then
		echo "Not a Debian system: the tests need what these packages hold: $(PACKAGES)" >&2
		exit 0
	fi
	# A package may be provided by another: some packages of Node.js bring its package manager along.
	installed=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}, $${Provides}\n' | sed -n 's/([^)]*)//g; s/^installed //p' | tr -s ', ' '\n')
	missing=$$(comm -13 <(sort <<<"$$installed") <(printf '%s\n' $(PACKAGES) | sort))
	[ -z "$$missing" ] || debian_install $$missing

# Shell text: see that PYTHON will do; it is known as `identity` then. INSTALLER comes before it.
define PYTHON_FOUND
	identity=$$($(PYTHON) -c 'import sys; print(sys.version, sys.base_prefix); sys.exit(sys.version_info < (3, 11))') || {
		echo "$(PYTHON) is missing or older than 3.11; name another with: make PYTHON=/path/to/python3" >&2
		exit 1
	}
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || debian_install python3-venv
endef

# A .venv serves as long as it was made here, by this python, and still starts.
venv:
	$(INSTALLER)
	$(PYTHON_FOUND)
	identity="$$identity $(CURDIR)"
	if [ "$$(cat .venv/made-by 2>/dev/null)" = "$$identity" ] && $(BIN)/python -c 'import pip' 2>/dev/null; then
		exit 0
	fi
	rm -rf .venv
	$(PYTHON) -m venv .venv
	printf '%s\n' "$$identity" > .venv/made-by

# Shell text: install the lock file $(1) and the project, unless this was done with these very files.
define INSTALL
	key=$$(cat $(1) pyproject.toml | sha256sum)
	[ "$$(cat .venv/$(1).installed 2>/dev/null)" != "$$key" ] || exit 0
	echo "Installing $(1) into .venv"
	$(PIP) install --require-hashes --requirement $(1)
	$(PIP) install --no-deps --no-build-isolation --editable .
	printf '%s\n' "$$key" > .venv/$(1).installed
endef

runtime: venv
	$(call INSTALL,requirements.lock)

fuzz-venv: dev
	$(call INSTALL,requirements-fuzz.lock)

bench-venv: dev
	$(call INSTALL,requirements-bench.lock)

dev: venv
	$(call INSTALL,requirements-dev.lock)
