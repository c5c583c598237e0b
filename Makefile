# Filbert. `make` alone lists what can be made.

prefix         = /usr/local
exec_prefix    = $(prefix)
sbindir        = $(exec_prefix)/sbin
bindir         = $(exec_prefix)/bin
libexecdir     = $(exec_prefix)/libexec
datarootdir    = $(prefix)/share
mandir         = $(datarootdir)/man
sysconfdir     = /etc
localstatedir  = /var
runstatedir    = /run
DESTDIR        =

# Where the programs are compiled to. A package build or a test that wants other
# directories in them uses another one and leaves bin/ as it is.
objdir         = bin

# Where the systemd unit goes; nowhere if empty.
unitdir        =

GO       ?= go
SCDOC    ?= scdoc
FUZZTIME ?= 10s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

settings = filbert/pkg/settings
ldflags  = -s -w \
	-X main.version=$(VERSION) \
	-X main.libexec=$(libexecdir)/filbert \
	-X $(settings).version=$(VERSION) \
	-X $(settings).etcDir=$(sysconfdir)/filbert \
	-X $(settings).spoolDir=$(localstatedir)/spool/filbert \
	-X $(settings).dbDir=$(localstatedir)/lib/filbert \
	-X $(settings).logDir=$(localstatedir)/log/filbert \
	-X $(settings).mailDir=$(localstatedir)/mail \
	-X $(settings).runDir=$(runstatedir)/filbert \
	-X $(settings).libexecDir=$(libexecdir)/filbert

quiet = $(if $(V),,@)

# Only the race detector needs C.
export CGO_ENABLED = 0

.PHONY: help build man run check test test-root race fuzz crash e2e interop bench cover generate install clean
.DEFAULT_GOAL = help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## compile everything into bin/
	@command -v $(GO) >/dev/null || { echo "Go is not installed: see https://go.dev/dl/ (or apt-get install golang)" >&2; exit 1; }
	@mkdir -p $(objdir)/libexec
	@echo "compiling into $(objdir)/ (make V=1 shows how)"
	$(quiet)$(GO) build -trimpath -ldflags '$(ldflags)' -o $(objdir)/ ./cmd/...
	$(quiet)$(GO) build -trimpath -ldflags '$(ldflags)' -o $(objdir)/libexec/ ./libexec/...
	@for name in mailq newaliases rmail; do ln -sf sendmail $(objdir)/$$name; done

man: ## the manual pages, into bin/man (needs scdoc)
	@if command -v $(SCDOC) >/dev/null; then \
		mkdir -p $(objdir)/man || exit 1; \
		for page in doc/man/*.scd; do $(SCDOC) <$$page >$(objdir)/man/$$(basename $$page .scd) || exit 1; done; \
		for name in newaliases rmail; do echo .so man1/sendmail.1 >$(objdir)/man/$$name.1; done; \
	else \
		echo "scdoc is not installed: only the pages that are in doc/man already are there" >&2; \
	fi

run: build ## start a private instance, send two messages, show the log until Ctrl-C
	@tools/run.sh

check: ## gofmt, go vet, and the tests that guard the tree
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$bad" ]; then echo "gofmt these: $$bad" >&2; exit 1; fi
	$(GO) vet -tags "crash interop" ./...
	$(GO) test ./tests/arch

test: build ## every test that needs no root and no other package
	$(GO) test ./...

test-root: build ## what must be root: users, chroot, what each process can not do
	@[ "$$(id -u)" = 0 ] || { echo "make test-root must be run as root" >&2; exit 1; }
	FILBERT_TEST_ROOT=1 $(GO) test -count=1 ./tests/root ./pkg/privsep ./pkg/localdeliver ./pkg/master ./pkg/pickup

race: ## the unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./pkg/...

fuzz: ## each fuzz target for FUZZTIME (10s)
	@tools/fuzz.sh $(FUZZTIME)

crash: build ## cut the power at every disk operation; kill -9 at random (ROUNDS, STATES, SEED; see doc/CRASH.md)
	$(GO) test -count=1 -timeout 30m -tags crash ./tests/crash ./tests/crash/rig ./pkg/journal ./pkg/spool ./pkg/durable/...
	FILBERT_BIN='$(abspath $(objdir))' $(GO) test -count=1 -p 1 -v -timeout 60m -tags crash ./tests/crash/kill ./tests/crash/power

e2e: build ## the scripts that drive real processes
	$(GO) test -count=1 ./tests/e2e/...

interop: build ## with other mail programs (Debian packages; see tests/interop)
	$(GO) test -count=1 -timeout 15m -tags interop ./tests/interop/...

bench: build ## speed, CPU, memory and flushes beside Postfix (root; BENCH="R50d LAT", RUNS, SCALE)
	tests/bench/run.sh $(BENCH)

cover: ## coverage of the unit tests, as cover.html
	$(GO) test -coverprofile=cover.out ./pkg/...
	$(GO) tool cover -html=cover.out -o cover.html
	@$(GO) tool cover -func=cover.out | tail -1

generate: ## the sample configuration and the documents made from the source
	$(GO) generate ./...
	$(GO) generate ./pkg/config # the sample is made from the table that was just written

# Root has often no Go in its path: what was compiled before will do, if it was
# for the same directories.
install: $(if $(shell command -v $(GO)),build man,compiled) ## install under prefix (DESTDIR, prefix, libexecdir, sysconfdir, localstatedir, unitdir)
	DESTDIR='$(DESTDIR)' etc='$(sysconfdir)/filbert' spool='$(localstatedir)/spool/filbert' \
	db='$(localstatedir)/lib/filbert' log='$(localstatedir)/log/filbert' run='$(runstatedir)/filbert' \
	mail='$(localstatedir)/mail' libexec='$(libexecdir)/filbert' sbin='$(sbindir)' bin='$(bindir)' \
	man='$(mandir)' unit='$(unitdir)' objdir='$(objdir)' tools/install.sh

.PHONY: compiled
compiled:
	@grep -qF '$(sysconfdir)/filbert' $(objdir)/mtactl 2>/dev/null && grep -qF '$(libexecdir)/filbert' $(objdir)/sendmail || \
	{ echo "Nothing is compiled for these directories: run make build, with the same variables, as a user who has Go" >&2; exit 1; }

clean: ## remove what was built
	rm -rf bin cover.out cover.html
