# make build      the release executables
# make test       everything that is checked, end-to-end tests with a real Podman
#                 included; needs root and Debian's archive (see integration/lab).
#                 LAB=forky, LAB=experimental or LAB=newest: only the end-to-end tests,
#                 with another Podman; see integration/README.md
# make test-all   everything, the end-to-end tests with every Podman, and upgrades from
#                 one to the next under running containers
# make unit       the tests that need neither root nor Podman
# make demo       the outage with Podman's own allocator, and with berth
# make samples    prints the samples of docs/USING.md anew, from a lab, and docs/map.svg
# make fixtures   makes ipam.db files for the tests of berth-migrate anew, with the Podman
#                 that LAB chooses
# make torture    kills everything that can be killed, for the figures of
#                 docs/RELIABILITY.md (an hour); TORTURE='--seed 7 kills' for a part
# make fuzz       ten million inputs for each reader of what others write: netlink's
#                 answers, /proc, and damaged files of ipam.db (an hour);
#                 FUZZ='-runs=100000 -seed=7' are options of libFuzzer
# make model      tries every order of steps of three hosts that share leases, with spin; and
#                 that it notices each step that is left out (a minute, 1 GiB)
# make bench      the benchmarks
# make lab        a shell in a lab: a real Podman that nothing here can hurt
# make install    PREFIX=/usr/local by default; DESTDIR for packages
#                 HOST_WIDE=1: also `berth host-wide on`
# make uninstall  undoes `make install`, with the same variables
# make deb        a package for Debian of what make build has made, in PACKAGES
# make rpm        one for rpm; REVISION=2 for another packaging of the same version
# make clean-lab  removes what labs are started from (target/lab*)

PREFIX ?= /usr/local
HOST_WIDE ?=
DESTDIR ?=
PACKAGES ?= target/packages
REVISION ?= 1
DEB_FLAGS ?=
RPM_FLAGS ?=
TORTURE ?=
FUZZ ?=
CARGO ?= cargo
# Which Podman; see integration/README.md.
LAB ?=
BUILT ?= $(or $(CARGO_TARGET_DIR),target)/release

PLUGIN_DIR := $(PREFIX)/libexec/netavark
SHARE := $(PREFIX)/share
DROP_IN := /etc/containers/containers.conf.d/50-berth.conf
# Made by `berth host-wide on`.
LINK := /usr/local/libexec/podman/netavark
# Where Podman and systemd look by themselves.
STANDARD := $(filter /usr /usr/local,$(PREFIX))
UNIT_DIR := $(if $(STANDARD),$(PREFIX)/lib/systemd,/etc/systemd)
MANUAL := man/man1/berth.1 man/man1/berth-migrate.1 man/man5/berth.conf.5 \
	$(foreach of,berth berth-migrate,bash-completion/completions/$(of) \
	zsh/site-functions/_$(of) fish/vendor_completions.d/$(of).fish)
# The same files serve root and users; those for root alone; all, below UNIT_DIR.
UNITS := berth-gc.service berth-gc.timer berth-sanitise.service berth-sanitise.timer
SYSTEM_UNITS := berth-metrics.service berth-metrics.timer
INSTALLED_UNITS := $(addprefix system/,$(UNITS) $(SYSTEM_UNITS)) $(addprefix user/,$(UNITS))

.PHONY: build test test-all check unit samples fixtures demo build-demo torture fuzz model bench lab prepare-lab clean-lab install uninstall deb rpm package-root prepare-packages
.DEFAULT_GOAL := build

build:
	$(CARGO) build --release --workspace --locked

ifeq ($(LAB),)
test: check prepare-lab prepare-packages
	$(CARGO) build --workspace --locked
	$(CARGO) test --workspace --locked --no-fail-fast
else
export BERTH_LAB := $(LAB)
test: prepare-lab prepare-packages
	$(CARGO) build --workspace --locked
	$(CARGO) test -p berth-integration --tests --locked --no-fail-fast
endif

# What fails does not keep the rest from being tried. Debian 13 is named here: without a name,
# the host's own Podman may take its place, and upgrades start from Debian's.
test-all:
	failed=; \
	$(MAKE) check || failed="$$failed check"; \
	$(MAKE) unit || failed="$$failed unit"; \
	for lab in trixie forky experimental newest; do \
		$(MAKE) test LAB=$$lab || failed="$$failed $$lab"; \
	done; \
	BERTH_LAB=trixie $(CARGO) test -p berth-integration --locked --test upgrade || \
		failed="$$failed upgrade"; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	.ci/deny

unit:
	$(CARGO) test --workspace --exclude berth-integration --locked --no-fail-fast

# Two things at once: one waits for the archive, the other for the compiler.
demo:
	$(MAKE) --jobs=2 prepare-lab build-demo
	$(BUILT)/berth-demo

build-demo:
	$(CARGO) build --release --locked -p berth -p berth-migrate -p berth-manual -p berth-integration \
		--bin berth --bin berth-migrate --bin berth-manual --bin berth-demo --bin lab-store

samples: prepare-lab
	$(CARGO) build --workspace --locked
	$(or $(CARGO_TARGET_DIR),target)/debug/berth-samples docs

fixtures: export BERTH_LAB := $(LAB)
fixtures: prepare-lab
	$(CARGO) build --workspace --locked
	$(or $(CARGO_TARGET_DIR),target)/debug/berth-fixtures state-migrate/tests/fixtures

torture: prepare-lab
	$(CARGO) build --workspace --locked
	$(or $(CARGO_TARGET_DIR),target)/debug/berth-torture $(TORTURE)

fuzz:
	plugin/fuzz/run $(FUZZ)
	state-migrate/fuzz/run $(FUZZ)

model:
	share/model/check

bench: prepare-lab build
	$(CARGO) bench --workspace --locked --no-fail-fast

lab: prepare-lab
	$(CARGO) build --workspace --locked
	$(or $(CARGO_TARGET_DIR),target)/debug/berth-lab

prepare-lab:
	integration/lab/prepare

clean-lab:
	for lab in trixie forky experimental newest; do BERTH_LAB=$$lab integration/lab/prepare --clean; done

# In /usr and /usr/local, Podman finds the plugin by itself.
install:
	@for file in berth berth-migrate berth-manual; do test -x $(BUILT)/$$file || \
		{ echo "$(BUILT)/$$file is missing: run make build first" >&2; exit 1; }; done
	install -D -m 755 $(BUILT)/berth $(DESTDIR)$(PLUGIN_DIR)/berth
	install -D -m 755 $(BUILT)/berth-migrate $(DESTDIR)$(PREFIX)/bin/berth-migrate
	ln -sf ../libexec/netavark/berth $(DESTDIR)$(PREFIX)/bin/berth
	umask 022 && $(BUILT)/berth-manual $(DESTDIR)$(SHARE)
	install -d $(DESTDIR)$(UNIT_DIR)/system $(DESTDIR)$(UNIT_DIR)/user
	for unit in $(INSTALLED_UNITS); do \
		sed 's|/usr/local/bin|$(PREFIX)/bin|' systemd/$${unit##*/} >$(DESTDIR)$(UNIT_DIR)/$$unit || exit; \
	done
ifeq ($(STANDARD),)
	install -d $(DESTDIR)$(dir $(DROP_IN))
	sed 's|/opt/berth/libexec/netavark|$(PLUGIN_DIR)|' containers.conf.d/50-berth.conf >$(DESTDIR)$(DROP_IN)
endif

ifneq ($(HOST_WIDE),)
	$(PREFIX)/bin/berth host-wide on --yes
endif

# What is packed: an installation below target/package. The tools that pack it are
# installed by cargo, once (packaging/tools).
PACKAGE_ROOT := target/package
TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools

prepare-packages:
	packaging/tools $(TOOLS)

package-root: prepare-packages
	rm -rf $(PACKAGE_ROOT)
	$(MAKE) install PREFIX=/usr DESTDIR=$(CURDIR)/$(PACKAGE_ROOT) HOST_WIDE=
	mkdir -p $(PACKAGES)

deb: package-root
	$(TOOLS)/bin/cargo-deb --package berth --no-build --quiet \
		--deb-revision $(REVISION) --output $(PACKAGES) $(DEB_FLAGS)

rpm: package-root
	$(TOOLS)/bin/cargo-generate-rpm --package plugin --output $(PACKAGES) \
		--set-metadata 'release = "$(REVISION)"' $(RPM_FLAGS)

# Podman could start nothing without the link's target. `host-wide on` makes the link where Podman
# looks first, which need not be LINK: so berth is asked, and every link is followed to its end.
uninstall:
	@program=$(DESTDIR)$(PLUGIN_DIR)/berth; \
	keep() { \
		if [ "$$1" -ef $$program ]; then \
			echo "$$1 is berth, in front of netavark: run berth host-wide off first" >&2; exit 1; fi; \
	}; \
	keep $(DESTDIR)$(LINK); \
	if [ -z "$(DESTDIR)" ] && [ -x $$program ]; then \
		status=$$($$program host-wide status) || { \
			echo "it is not known whether berth is in front of netavark: put that right first," \
				"or, if Podman is gone, remove $$program first" >&2; exit 1; }; \
		keep "$$(printf '%s\n' "$$status" | sed -n 's/^on: \(.*\) is berth, .*/\1/p')"; \
	fi
	rm -f $(DESTDIR)$(PLUGIN_DIR)/berth $(addprefix $(DESTDIR)$(PREFIX)/bin/,berth berth-migrate)
	rm -f $(addprefix $(DESTDIR)$(SHARE)/,$(MANUAL))
	rm -f $(addprefix $(DESTDIR)$(UNIT_DIR)/,$(INSTALLED_UNITS))
ifeq ($(STANDARD),)
	rm -f $(DESTDIR)$(DROP_IN)
endif
