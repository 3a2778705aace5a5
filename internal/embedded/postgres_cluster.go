package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

const (
	postgresPort = "5432" // names the socket file; nothing listens on TCP
	// socketPathMax is what fits into sockaddr_un on every system that we run on.
	socketPathMax = 103
)

// clusterVersion is the major version that made the cluster, 0 when there is no
// cluster yet.
func clusterVersion(cluster string) (int, error) {
	text, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION")) // #nosec G304 -- the operator names the data folder
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(cluster); err == nil {
			return 0, fmt.Errorf("%s is there but is no PostgreSQL data folder (it has no PG_VERSION): restore it from a backup, or move it away", cluster)
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the version of the data folder: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the version of the data folder %s: %w: it is damaged; restore it from a backup", cluster, err)
	}
	return major, nil
}

// createCluster runs initdb in a folder beside and gives it its name when it is
// whole. A crash before the rename leaves a folder initdb-*, which nobody uses
// and the next start removes; after it, a finished cluster.
func (p *Postgres) createCluster(ctx context.Context) error {
	fresh, err := os.MkdirTemp(p.cfg.Dir, "initdb-")
	if err != nil {
		return fmt.Errorf("creating the data folder: %w", err)
	}
	if err := errors.Join(p.owner.give(p.cfg.Dir), p.owner.give(fresh)); err != nil {
		return fmt.Errorf("giving the data folder to an unprivileged user: %w", err)
	}
	p.log.Info("creating a private PostgreSQL cluster", "dir", p.cluster, "version", p.install.major)
	if err := p.initdb(ctx, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, p.cluster); err != nil {
		return fmt.Errorf("naming the data folder: %w", err)
	}
	return syncFolder(p.cfg.Dir)
}

// removeLeftovers removes what interrupted initdbs left. One that outlived the
// process that started it may still be writing there: the start after has it.
func (p *Postgres) removeLeftovers() {
	entries, err := os.ReadDir(p.cfg.Dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "initdb-") {
			err = errors.Join(err, os.RemoveAll(filepath.Join(p.cfg.Dir, entry.Name())))
		}
	}
	if err != nil {
		p.log.Warn("an interrupted initdb left something that cannot be removed now", "error", err)
	}
}

func (p *Postgres) initdb(ctx context.Context, dir string) error {
	cmd := p.owner.command(ctx, filepath.Join(p.install.bin, "initdb"), p.cfg.initdbOptions()...)
	release, err := p.owner.dataArgument(cmd, dir)
	if err != nil {
		return err
	}
	defer release()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("creating the cluster: initdb: %w\n%s", err, lastLines(out))
	}
	return nil
}

// initdbOptions are the options of initdb but for the folder.
func (c PostgresConfig) initdbOptions() []string {
	options := []string{"--username=" + postgresName, "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--data-checksums",
		// Bytes decide the order, which no update of the system's locales can
		// change under an index; letters of every script still have cases.
		"--locale=C", "--lc-ctype=" + characterType()}
	if c.Unsafe {
		options = append(options, "--no-sync")
	}
	return options
}

// ClusterKind names what a new cluster would be made by: PostgreSQL's folder and
// major version, and the options of initdb. Two folders of one kind can stand in
// for each other. Errors are those of [StartPostgres].
func ClusterKind(ctx context.Context, cfg PostgresConfig) (string, error) {
	found, err := findPostgres(ctx, cfg.BinDir, 0)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(found.bin, found.major, cfg.initdbOptions()), nil
}

func characterType() string {
	if runtime.GOOS == "darwin" {
		return "UTF-8"
	}
	return "C.UTF-8"
}

// syncFolder makes a rename in dir survive a power cut.
func syncFolder(dir string) error {
	folder, err := os.Open(dir) // #nosec G304 -- the operator names the data folder
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// makeSocketDir chooses the folder of the unix socket: inside Dir, or, where
// that path is too long for a socket or closed to the owner, a short one among
// the temporary files, whose path is kept in Dir.
func (p *Postgres) makeSocketDir() error {
	inside := filepath.Join(p.cfg.Dir, "socket")
	if len(filepath.Join(inside, ".s.PGSQL."+postgresPort)) <= socketPathMax && p.owner.reaches(p.cfg.Dir) {
		p.socket = inside
		if err := os.Mkdir(inside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("creating the socket's folder: %w", err)
		}
		return p.owner.give(inside)
	}
	if err := p.removeSocketDir(); err != nil {
		return err
	}
	parent := os.TempDir()
	if len(parent) > socketPathMax/2 || !p.owner.reaches(parent) {
		parent = "/tmp"
	}
	outside, err := os.MkdirTemp(parent, "postern-")
	if err != nil {
		return fmt.Errorf("creating the socket's folder: %w", err)
	}
	p.socket = outside
	return errors.Join(p.owner.give(outside), os.WriteFile(p.socketRecord(), []byte(outside), 0o600))
}

// removeSocketDir removes the temporary socket folder that this or an earlier
// run made, unless something is in it. The system may have removed it before.
func (p *Postgres) removeSocketDir() error {
	outside, err := os.ReadFile(p.socketRecord())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading where the socket was: %w", err)
	}
	for _, name := range []string{".s.PGSQL." + postgresPort, ".s.PGSQL." + postgresPort + ".lock", ""} {
		_ = os.Remove(filepath.Join(string(outside), name)) // #nosec G703 -- we wrote that file, in a folder closed to others
	}
	return os.Remove(p.socketRecord())
}

func (p *Postgres) socketRecord() string { return filepath.Join(p.cfg.Dir, "socket-folder") }

// lastLines is the end of a program's output, for an error.
func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
