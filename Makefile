# Letterlock. `make` builds build/letterlock; `make help` lists the rest.
.DEFAULT_GOAL := build
.PHONY: build deps deps-run deps-bench run run-clean check bench fuzz torture sim cover lint fmt docs install help clean
B ?= build
PREFIX ?= /usr/local
DESTDIR ?=
T ?= all
S ?= 60
SEED ?= 1..20

$(B)/build.ninja:
	meson setup $(B)

build: $(B)/build.ninja ## build/letterlock, optimised, with debug information
	@ninja -C $(B) letterlock

deps: ## install every Debian package that building, running and testing need (root or sudo); does nothing when all is there
	@tools/deps

deps-bench: ## the peers that `make bench` measures against: Postfix and Dovecot
	@tools/deps --bench

deps-run:
	@tools/deps --run

run: deps-run build ## install what is missing, build, then a whole mail server on loopback with accounts and mail: `letterlock demo`, state in run/demo
	@$(B)/letterlock demo --state run/demo $(ARGS)

run-clean: ## forget the demo's accounts and mail
	rm -rf run/demo

check: deps ## everything CI runs: lint, both compilers, unit, dialog, ASan+UBSan, fuzz, sim, black box
	@tools/check

bench: deps deps-bench build ## figures side by side with Postfix and Dovecot on this machine
	@ninja -C $(B)
	@bench/run $(ARGS)

fuzz: ## T=target or all, S=seconds each: executions, edges and corpus per target
	@tools/fuzz T=$(T) S=$(S)

torture: build ## fail every allocation and every system call in turn along the whole journey
	@ninja -C $(B)
	@tools/sim --torture

sim: build ## SEED=n or a..b: power cuts at every prefix of the store's writes
	@ninja -C $(B)
	@tools/sim SEED=$(SEED)

cover: ## line coverage of the test suite, per file
	@tools/cover

lint: ## layers, sizes and banned words
	@tools/check-layers
	@tools/check-size
	@tools/check-banned

fmt: ## lay out the lines that differ from HEAD as .clang-format says
	@git clang-format --extensions c,h || true

docs: build ## docs/cli.md, configuration.md, events.md, ipc.md and shell completion, from the program's own tables
	@tools/docs $(B)/letterlock

install: build ## into $(DESTDIR)$(PREFIX); the unit file and completion too
	install -D -m 755 $(B)/letterlock $(DESTDIR)$(PREFIX)/bin/letterlock
	install -d $(DESTDIR)$(PREFIX)/sbin
	ln -sf ../bin/letterlock $(DESTDIR)$(PREFIX)/sbin/sendmail
	ln -sf letterlock $(DESTDIR)$(PREFIX)/bin/mailq
	install -D -m 644 packaging/letterlock.service $(DESTDIR)/lib/systemd/system/letterlock.service
	install -D -m 644 packaging/letterlock.sysusers $(DESTDIR)/usr/lib/sysusers.d/letterlock.conf
	install -D -m 644 packaging/letterlock.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/letterlock
	install -D -m 644 packaging/letterlock.conf $(DESTDIR)/etc/letterlock/letterlock.conf.example
	sed -i 's|/usr/bin/letterlock|$(PREFIX)/bin/letterlock|' $(DESTDIR)/lib/systemd/system/letterlock.service

clean: ## remove the build directories
	rm -rf build build-asan build-fuzz build-cover

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
