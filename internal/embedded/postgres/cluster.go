package postgres

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
	postgresPort = "5432" // only part of the socket's file name, unless a test lets the server listen on TCP
	// socketPathMax is the length that fits into sockaddr_un on all supported systems.
	socketPathMax = 103
)

// clusterVersion returns the major version that made the cluster, 0 if there is no cluster
// yet.
func clusterVersion(cluster string) (int, error) {
	text, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION")) // #nosec G304 -- the operator names the data folder
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(cluster); err == nil {
			return 0, fmt.Errorf("%s exists but is not a PostgreSQL data folder (it has no PG_VERSION): restore it from a backup, or move it away", cluster)
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

// createCluster runs initdb in a temporary folder and renames that when it is complete. A
// crash before the rename leaves an unused folder initdb-*, which the next start removes.
// A crash after it leaves a complete cluster.
func (p *Server) createCluster(ctx context.Context) error {
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

// removeLeftovers removes the folders of interrupted initdbs. An initdb may still be
// running and writing there; then a later start removes its folder.
func (p *Server) removeLeftovers() {
	entries, err := os.ReadDir(p.cfg.Dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "initdb-") {
			err = errors.Join(err, os.RemoveAll(filepath.Join(p.cfg.Dir, entry.Name())))
		}
	}
	if err != nil {
		p.log.Warn("the folder of an interrupted initdb could not be removed", "error", err)
	}
}

func (p *Server) initdb(ctx context.Context, dir string) error {
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

// initdbOptions returns the options of initdb without the folder.
func (c Config) initdbOptions() []string {
	options := []string{"--username=" + postgresName, "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--data-checksums",
		// The order of texts is the order of their bytes, so that an update of the
		// system's locales can't invalidate an index. Upper and lower case still work for
		// all scripts.
		"--locale=C", "--lc-ctype=" + characterType()}
	if c.Unsafe {
		options = append(options, "--no-sync")
	}
	return options
}

// ClusterKind describes how a new cluster would be made: PostgreSQL's folder and major
// version, and the options of initdb. Two new clusters of the same kind are
// interchangeable. It returns the same errors as [Start].
func ClusterKind(ctx context.Context, cfg Config) (string, error) {
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

// makeSocketDir creates the folder of the unix socket inside Dir. If that path is too long
// for a socket, or the owner has no access to it, it creates a temporary folder and stores
// its path in Dir.
func (p *Server) makeSocketDir() error {
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

// removeSocketDir removes the temporary socket folder that this or an earlier run made,
// unless it has other files. The system may have removed it before.
func (p *Server) removeSocketDir() error {
	outside, err := os.ReadFile(p.socketRecord())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the path of the socket's folder: %w", err)
	}
	for _, name := range []string{".s.PGSQL." + postgresPort, ".s.PGSQL." + postgresPort + ".lock", ""} {
		_ = os.Remove(filepath.Join(string(outside), name)) // #nosec G703 -- we wrote that file, in a folder closed to others
	}
	return os.Remove(p.socketRecord())
}

func (p *Server) socketRecord() string { return filepath.Join(p.cfg.Dir, "socket-folder") }

// lastLines returns the last lines of a program's output, for an error.
func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// HasCluster reports whether the folder dir of [Config] has a PostgreSQL cluster.
// It changes nothing.
func HasCluster(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, "cluster"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking into the data folder: %w", err)
	}
	return true, nil
}
