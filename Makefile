# Each line calls a tool that a person could call.

# The site: a Vite project with src/entry-client and src/entry-server.
SITE ?= images/site
# The image's name, as docker build's --tag takes it.
TAG ?= site
PORT ?= 8080
PREFIX ?= /usr/local

# PIE=1 makes position-independent binaries, whose place in memory is random, in a target
# directory of their own: docs/threat-model.md says what that costs.
TARGET = target$(if $(PIE),/pie)
POSITION = $(if $(PIE),--config .cargo/pie.toml --target-dir $(TARGET))
# Where cargo leaves the program; $(RELEASE) has it with its engines, under its two names.
BUILT = $(TARGET)/$(shell rustc --print host-tuple)/release
RELEASE = $(TARGET)/release

# Tests by what they need: `ctr_*` any containerd, `docker_*` Docker, `containerd17_*` and
# `containerd2_*` that version of containerd or a later one.
# Of the whole workspace, as the unit tests: cargo chooses dependencies' features by what is
# selected, and would compile them again for another selection.
E2E = cargo test --workspace
# $(call test-in,trixie) runs tests in another Debian release, with its containerd and Docker.
test-in = $(E2E) --config 'target."cfg(unix)".runner = ["scripts/in-debian.sh", "$(1)"]'
# $(call tests-of,cli) selects the integration tests of a package by its folder.
tests-of = $(patsubst $(1)/tests/%.rs,--test %,$(wildcard $(1)/tests/*.rs))
# On so slow a machine ctr itself loses the end of an input that arrives before the process.
VM_SKIPS = --skip a_program_is_executed_in_a_linux_container

# Of `make test-boards`, each with a program that scripts/dist.sh has built for it: arm64-16k runs
# that of arm64.
BOARDS ?= arm64 arm64-16k armv7 armv6

# Of `make soak`: a run prints its seed, and SEED repeats it.
ROUNDS ?= 1000
SEED ?=

export PORT PREFIX DESTDIR

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

build: ## Build ssr and the shim into target/release (PIE=1: into target/pie/release, at random addresses, 1 MB more per process)
	@echo "build: 1 of 3: installing what is missing"
	scripts/setup.sh build
	@echo "build: 2 of 3: the JavaScript engine (a minute the first time)"
	scripts/build-engine.sh
	@echo "build: 3 of 3: the shim and ssr (several minutes the first time, for some 300 crates)"
	cargo build --release $(POSITION)
	scripts/attach-engines.sh $(BUILT)/ssr $(BUILT)/ssr $(RELEASE)

image: build ## Build the site's image, target/image/site.tar (SITE=path/to/a/vite/project)
	node scripts/build-site.mjs "$(SITE)" target/site
	@mkdir -p target/image
	$(RELEASE)/ssr build target/site/server/entry-server.js --template target/site/template.html -o target/image/ssr.wasm
	$(RELEASE)/ssr image --wasm target/image/ssr.wasm --static target/site/client --tag "$(TAG)" -o target/image/site.tar

demo: image ## Run the site as a container under a containerd of its own (PORT=8080)
	scripts/setup.sh containerd
	scripts/demo.sh target/image/site.tar

demo-stop: ## Stop the demo and leave nothing of it behind
	scripts/demo-stop.sh

test: test-fast test-e2e test-browser test-templates ## Run all tests

# All in the debug profile, with overflow checks; the command-line tests run the released `ssr`.
test-fast: build ## Run the tests that need no container
	cargo test --workspace --lib --bins
	scripts/setup.sh registry manifests
	SSR_UNDER_TEST=$(CURDIR)/$(RELEASE)/ssr $(E2E) $(call tests-of,cli) $(call tests-of,images/engine) --test 'k8s_*'
	node --test scripts

test-e2e: image ## Run the tests under containerd 1.6, Docker 28 and CRI, as root
	scripts/setup.sh containerd debian registry
	scripts/build-fixtures.sh
	$(E2E) --test 'ctr_*' --test demo
	$(call test-in,forky) --test 'docker_*' --test 'containerd*'

test-matrix: test-e2e ## Run them under every containerd and Docker there is
	$(call test-in,forky) --test 'ctr_*'
	$(call test-in,trixie) --test 'ctr_*' --test 'docker_*' --test 'containerd17_*'
	scripts/setup.sh vm
	$(E2E) --config 'target."cfg(unix)".runner = "scripts/vm.sh"' --test ctr_memory --test ctr_tasks --test ctr_isolation \
	  --test ctr_mounts -- --test-threads 2 $(VM_SKIPS)

test-systemd: build ## Run the tests of systemd's cgroup driver in an emulated machine, as root
	scripts/setup.sh containerd debian vm
	$(E2E) --config 'target."cfg(unix)".runner = ["scripts/vm.sh", "--systemd"]' --test 'systemd_*' -- --test-threads 1

test-community: build ## Run containerd's own integration tests with runc and with ours, and compare, as root
	scripts/setup.sh debian
	scripts/community-suites.sh

test-kubernetes: image ## Run the site on a Kubernetes node, built from Debian's sources (6 minutes, once), as root
	scripts/setup.sh kubernetes
	$(E2E) --test 'kubernetes_*' -- --test-threads 1

test-modules: test-e2e ## Run modules of other languages and tools, and WASI's tests of Node, in containers, as root
	scripts/build-modules.sh
	$(E2E) --test modules_containerd
	$(call test-in,forky) --test modules_docker

soak: build ## Let ROUNDS (1000) random faults happen under load (SEED=n repeats a run)
	scripts/setup.sh containerd
	SSR_SOAK_ROUNDS="$(ROUNDS)" SSR_SOAK_SEED="$(SEED)" $(E2E) --test soak_faults -- --ignored --nocapture

# In a virtual machine, whose clock is nobody else's.
soak-clock: ROUNDS = 10
soak-clock: build ## Let the clock jump ROUNDS (10) times under load, in a virtual machine
	scripts/setup.sh vm
	$(E2E) --config 'target."cfg(unix)".runner = ["scripts/vm.sh", "env", "SSR_SOAK_OWN_CLOCK=yes", "SSR_SOAK_ROUNDS=$(ROUNDS)"]' \
	  --test soak_faults -- --ignored --nocapture

test-browser: image ## Run the tests in Chromium
	scripts/setup.sh browser
	scripts/test-browser.sh

test-32-bit: build ## Test the back end of 32-bit machines: the engine, translated to C
	scripts/setup.sh dist
	scripts/test-linked.sh
	scripts/test-32-bit.sh

test-boards: image ## Run sites on emulated boards of 512 MB, as root (BOARDS=arm64; needs scripts/dist.sh arm64 first)
	scripts/setup.sh boards
	@set -e; for board in $(BOARDS); do \
	  echo "test-boards: $$board"; SSR_BOARD=$$board $(E2E) --test boards -- --test-threads 1 --nocapture; done

test-templates: build ## Build today's Vite templates as images, and compare their pages with Node's
	node scripts/compare-templates.mjs

test-packages: build ## Test install.sh and the Debian package in Debian 12, 13 and forky, as root
	scripts/setup.sh containerd debian
	scripts/test-packages.sh $(RELEASE)

test-guides: build ## Follow the guides in docs on an emulated machine with systemd, containerd and Docker, as root
	scripts/setup.sh debian vm
	scripts/test-guides.sh $(RELEASE)

lint: ## Check format and style
	scripts/setup.sh lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	shellcheck --external-sources scripts/*.sh packaging/install.sh packaging/debian/p* k8s/overlays/installer/install.sh .ci/run
	npm --prefix images/site run lint
	scripts/deny.sh

bench: image ## Measure side by side with peers, into bench/results
	scripts/setup.sh bench containerd dist
	scripts/bench-render.sh
	scripts/bench-render-32-bit.sh
	scripts/bench-lifecycle.sh
	scripts/bench-components.sh
	node scripts/site-figures.mjs

dist: build ## Build static tarballs and Debian packages for every kind of board into target/dist
	scripts/setup.sh dist
	scripts/dist.sh amd64 arm64 armv7 armv6

install: ## Install binaries, man pages, shell completions and systemd units below PREFIX (/usr/local)
	scripts/make-install.sh $(RELEASE)

uninstall: ## Remove what install has put there
	scripts/make-install.sh $(RELEASE) --uninstall

.PHONY: help build image demo demo-stop test test-fast test-e2e test-matrix test-systemd test-community test-kubernetes test-modules test-32-bit test-packages test-boards soak soak-clock test-browser test-templates lint bench dist install uninstall
