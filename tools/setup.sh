#!/bin/sh
# Installs the named tools with the system's package manager if they are missing,
# and says so first. It does not change tools that are already installed.
#
#   tools/setup.sh postgres            needed to run and to test postern
#   tools/setup.sh make compiler       also needed by `make check`
#   tools/setup.sh browser             needed by the tests of the pages
#   tools/setup.sh scanner             needed by the test with a virus scanner
#   tools/setup.sh have browser        only checks; exit status 0 if installed
#   tools/setup.sh scratch             prints the folder for the temporary files of tests
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

# Searches the same places as internal/embedded/postgres.
found_postgres() {
	for bin in ${PG_BIN:+"$PG_BIN"} "$(dirname "$(command -v postgres || echo /nowhere/postgres)")" \
		/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
		/home/linuxbrew/.linuxbrew/opt/postgresql*/bin /Applications/Postgres.app/Contents/Versions/*/bin; do
		[ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] || continue
		major=$("$bin/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
		[ "${major:-0}" -ge 15 ] && return 0
	done
	return 1
}

found_make() { command -v make >/dev/null; }

# The race detector needs a C compiler for linking.
found_compiler() { command -v "$(go env CC)" >/dev/null && { [ "$(uname)" != Linux ] || [ -e /usr/include/stdlib.h ]; }; }

# Searches the same places as internal/web/webtest.
found_browser() {
	for name in chromium-headless-shell chromium chromium-browser google-chrome-stable google-chrome \
		"/Applications/Chromium.app/Contents/MacOS/Chromium" \
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
		command -v "$name" >/dev/null && return 0
	done
	return 1
}

# Searches the same places as internal/content/clamd/clamdtest.
found_scanner() {
	for name in clamd /usr/sbin/clamd /opt/homebrew/sbin/clamd /usr/local/sbin/clamd; do
		command -v "$name" >/dev/null && return 0
	done
	return 1
}

# packages NAME MANAGER: prints the names of the tool's packages for that manager.
packages() {
	case "$1/$2" in
	postgres/dnf) echo postgresql-server ;;
	postgres/brew) echo postgresql@17 ;;
	postgres/*) echo postgresql ;;
	make/*) echo make ;;
	compiler/apt-get) echo gcc libc6-dev ;;
	compiler/dnf) echo gcc glibc-devel ;;
	compiler/apk) echo gcc musl-dev ;;
	compiler/*) echo gcc ;;
	# The headless browser, where it is packaged, makes the tests a tenth faster.
	browser/apt-get)
		if apt-cache show chromium-headless-shell >/dev/null 2>&1; then
			echo chromium-headless-shell fonts-liberation
		else
			echo chromium fonts-liberation
		fi
		;;
	scanner/dnf) echo clamd ;;
	scanner/brew) echo clamav ;;
	scanner/*) echo clamav-daemon ;;
	browser/dnf) echo chromium liberation-fonts ;;
	browser/apk) echo chromium font-liberation ;;
	esac
}

describe() {
	case "$1" in
	postgres) echo "PostgreSQL 15 or newer" ;;
	make) echo "make" ;;
	compiler) echo "a C compiler (for the race detector)" ;;
	browser) echo "Chromium (for the tests of the pages)" ;;
	scanner) echo "ClamAV's daemon (for the test with a virus scanner)" ;;
	*) die "can't set up '$1': it is not a known tool" ;;
	esac
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root, and sudo is not installed; run as root: $*"
	fi
}

install_with() {
	manager=$1
	shift
	case "$manager" in
	apt-get)
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
		;;
	dnf) as_root dnf install -y "$@" ;;
	apk) as_root apk add "$@" ;;
	brew) brew install "$@" ;;
	esac
}

ensure() {
	what=$(describe "$1")
	"found_$1" && return
	for manager in apt-get dnf apk brew; do
		command -v "$manager" >/dev/null || continue
		if [ "$manager" = apt-get ]; then
			as_root apt-get update -q >&2 || say "some package lists could not be updated; continuing with the existing ones"
		fi
		# shellcheck disable=SC2046 # package names contain no blanks
		set -- "$1" $(packages "$1" "$manager")
		name=$1
		shift
		say "$what was not found; installing it: $manager install $*"
		install_with "$manager" "$@"
		"found_$name" || die "$manager installed $*, but $what is still missing: install it by hand (PostgreSQL: https://www.postgresql.org/download/) and try again"
		return
	done
	die "$what was not found, and neither was a known package manager (apt-get, dnf, apk, brew): install it and try again"
}

if [ "${1:-}" = have ]; then
	"found_$2"
	exit
fi

# Tests create and drop hundreds of databases. If there is enough memory, they go to
# a folder in memory and cost no disk writes.
if [ "${1:-}" = scratch ]; then
	free=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
	if [ -w /dev/shm ] && [ "${free:-0}" -gt 8000000 ] && [ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" -gt 12000000 ]; then
		echo /dev/shm
	else
		echo "${TMPDIR:-/tmp}"
	fi
	exit
fi

for thing in "$@"; do
	ensure "$thing"
done
