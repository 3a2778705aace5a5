package postgres

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// oldestPostgres is the oldest major version that supports our migrations.
const oldestPostgres = 15

var (
	// ErrNotInstalled is the error if no usable PostgreSQL is installed.
	ErrNotInstalled = errors.New("PostgreSQL 15 or newer was not found: install it (make setup; or apt-get install postgresql, " +
		"dnf install postgresql-server, apk add postgresql, brew install postgresql@17), or say where it is with PG_BIN")
	// ErrOtherVersion is the error if the data folder needs a PostgreSQL that is not installed.
	ErrOtherVersion = errors.New("the data folder was made by another major version of PostgreSQL")
)

// installation is an installed PostgreSQL.
type installation struct {
	bin   string // the folder with initdb and postgres
	major int
}

// findPostgres chooses an installation: one of the major version want if that is not 0,
// else the newest. If binDir is given, it is the only folder searched.
func findPostgres(ctx context.Context, binDir string, want int) (installation, error) {
	dirs := []string{binDir}
	if binDir == "" {
		dirs = installedIn()
	}
	var found []installation
	for _, dir := range dirs {
		major, err := postgresMajor(ctx, dir)
		if err != nil {
			if binDir != "" {
				return installation{}, fmt.Errorf("%w: looked in %s: %w", ErrNotInstalled, dir, err)
			}
			continue
		}
		found = append(found, installation{bin: dir, major: major})
	}
	return choose(found, want)
}

func choose(found []installation, want int) (installation, error) {
	slices.SortStableFunc(found, func(a, b installation) int { return b.major - a.major })
	for _, candidate := range found {
		if candidate.major == want || want == 0 && candidate.major >= oldestPostgres {
			return candidate, nil
		}
	}
	if want == 0 || len(found) == 0 {
		return installation{}, ErrNotInstalled
	}
	return installation{}, fmt.Errorf("%w: it needs %d, the newest installed is %d: install PostgreSQL %d beside it, or move the data "+
		"with pg_upgrade; nothing was changed", ErrOtherVersion, want, found[0].major, want)
}

// installedIn lists the folders in which PostgreSQL may be installed.
func installedIn() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// The programs find their libraries relative to their real path.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // the PostgreSQL project's packages for Red Hat and similar systems
		"/usr/libexec/postgresql*",          // Alpine
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, _ := filepath.Glob(pattern) // fails only for a malformed pattern
		dirs = append(dirs, matches...)
	}
	return dirs
}

// postgresMajor returns the version that the server's binary prints. Both initdb and
// postgres must exist; client-only packages have neither.
func postgresMajor(ctx context.Context, dir string) (int, error) {
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output() // #nosec G204 -- the operator names it
	if err != nil {
		return 0, fmt.Errorf("asking for its version: %w", err)
	}
	return parseMajor(string(out))
}

// parseMajor reads "postgres (PostgreSQL) 17.2 (Debian 17.2-1)", also "18beta1".
func parseMajor(version string) (int, error) {
	_, rest, ok := strings.Cut(version, "(PostgreSQL) ")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !ok || digits < 1 {
		return 0, fmt.Errorf("not a version of PostgreSQL: %q", strings.TrimSpace(version))
	}
	return strconv.Atoi(rest[:digits])
}
