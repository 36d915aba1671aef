# Each line calls a tool that a person could call.

# The site: a Vite project with src/entry-client and src/entry-server.
SITE ?= images/site
# The image's name, as docker build's --tag takes it.
TAG ?= site
PORT ?= 8080
PREFIX ?= /usr/local
# Always the whole workspace: cargo chooses dependencies' features by what is
# selected, and would compile them again for another selection.
CARGO = scripts/cargo-release.sh

# On so slow a machine ctr itself loses the end of an input that arrives before the process.
VM_SKIPS = --skip a_program_is_executed_in_a_linux_container
# $(call test-in,trixie) runs tests where another Debian's containerd and Docker are.
test-in = $(CARGO) test --config 'target."cfg(unix)".runner = ["scripts/in-debian.sh", "$(1)"]'

export PORT

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

build: ## Build target/release/ssr and target/release/containerd-shim-ssr-v1
	scripts/setup.sh build
	scripts/build-engine.sh
	$(CARGO) build

image: build ## Build the site's image, target/image/site.tar (SITE=path/to/a/vite/project)
	node scripts/build-site.mjs "$(SITE)" target/site
	@mkdir -p target/image
	target/release/ssr build target/site/server/entry-server.js --template target/site/client/index.html -o target/image/ssr.wasm
	target/release/ssr image --wasm target/image/ssr.wasm --static target/site/client --tag "$(TAG)" -o target/image/site.tar

demo: image ## Run the site as a container under a containerd of its own (PORT=8080)
	scripts/setup.sh containerd
	scripts/demo.sh target/image/site.tar

demo-stop: ## Stop the demo and leave nothing of it behind
	scripts/demo-stop.sh

test: test-fast test-e2e test-browser ## Run all tests

test-fast: build ## Run the tests that need no container
	$(CARGO) test --lib --bins --test build --test cache_cli --test serve --test site --test k8s_manifests
	node --test scripts

test-e2e: image ## Run the tests under containerd 1.6, Docker 28 and CRI, as root
	scripts/setup.sh containerd debian
	$(CARGO) test --test 'ctr_*' --test demo
	$(call test-in,forky) --test 'docker_*' --test 'containerd*'

test-matrix: test-e2e ## Run them under every containerd and Docker there is
	$(call test-in,forky) --test 'ctr_*'
	$(call test-in,trixie) --test 'ctr_*' --test 'docker_*' --test 'containerd17_*'
	scripts/setup.sh vm
	$(CARGO) test --config 'target."cfg(unix)".runner = "scripts/vm.sh"' --test ctr_memory --test ctr_tasks -- $(VM_SKIPS)

test-browser: image ## Run the tests in Chromium
	scripts/setup.sh browser
	scripts/test-browser.sh

lint: ## Check format and style
	scripts/setup.sh lint
	cargo fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	shellcheck --external-sources scripts/*.sh
	npm --prefix images/site run lint
	scripts/deny.sh

bench: image ## Measure side by side with peers, into bench/results
	scripts/setup.sh bench containerd
	scripts/bench-render.sh
	scripts/bench-lifecycle.sh

dist: ## Build the static tarballs for amd64 and arm64 into target/dist
	scripts/setup.sh build dist
	scripts/build-engine.sh
	scripts/dist.sh amd64 arm64

install: ## Install both binaries below PREFIX (/usr/local)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 target/release/containerd-shim-ssr-v1 target/release/ssr "$(DESTDIR)$(PREFIX)/bin"

uninstall: ## Remove what install has put there
	rm -f "$(DESTDIR)$(PREFIX)/bin/containerd-shim-ssr-v1" "$(DESTDIR)$(PREFIX)/bin/ssr"

.PHONY: help build image demo demo-stop test test-fast test-e2e test-matrix test-browser lint bench dist install uninstall
