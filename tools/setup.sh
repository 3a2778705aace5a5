#!/bin/sh
# Installs what is missing of the things named, with the system's package
# manager, and says so first. What is there already is left alone.
#
#   tools/setup.sh postgres            what postern needs to run and to be tested
#   tools/setup.sh make compiler       what `make check` needs besides
#   tools/setup.sh browser             what the tests of the pages need
#   tools/setup.sh have browser        only says, by its status, whether it is there
#   tools/setup.sh scratch             prints the folder for the temporary files of tests
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

# The same places as internal/embedded looks in.
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

# The race detector is linked by a C compiler.
found_compiler() { command -v "$(go env CC)" >/dev/null && { [ "$(uname)" != Linux ] || [ -e /usr/include/stdlib.h ]; }; }

# The same places as internal/web/webtest looks in.
found_browser() {
	for name in chromium-headless-shell chromium chromium-browser google-chrome-stable google-chrome \
		"/Applications/Chromium.app/Contents/MacOS/Chromium" \
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
		command -v "$name" >/dev/null && return 0
	done
	return 1
}

# packages NAME MANAGER: what the thing is called there.
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
	# The browser without a window, where it is packaged, takes a tenth less of the tests' time.
	browser/apt-get)
		if apt-cache show chromium-headless-shell >/dev/null 2>&1; then
			echo chromium-headless-shell fonts-liberation
		else
			echo chromium fonts-liberation
		fi
		;;
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
	*) die "I do not know how to set up '$1'" ;;
	esac
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root and there is no sudo; run as root: $*"
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
			as_root apt-get update -q >&2 || say "the package lists could not all be updated; going on with what is there"
		fi
		# shellcheck disable=SC2046 # the names are words
		set -- "$1" $(packages "$1" "$manager")
		name=$1
		shift
		say "$what was not found; installing it: $manager install $*"
		install_with "$manager" "$@"
		"found_$name" || die "$manager installed $*, but $what is still not there: install it by hand (PostgreSQL: https://www.postgresql.org/download/) and try again"
		return
	done
	die "$what was not found, and no package manager that I know (apt-get, dnf, apk, brew): install it and try again"
}

if [ "${1:-}" = have ]; then
	"found_$2"
	exit
fi

# Tests make and drop hundreds of databases. In memory, where there is room for
# them, that costs no disk.
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
