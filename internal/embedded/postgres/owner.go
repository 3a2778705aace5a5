package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// owner is the user that the server runs as: the user of this process, or an unprivileged
// user if this process runs as root, because PostgreSQL refuses to run as root.
type owner struct {
	uid, gid uint32
	drop     bool // this process runs as root, and the server must run as this user
}

// ownerOf returns the owner of an existing cluster, or the owner for a new one.
func ownerOf(cluster string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	info, err := os.Stat(cluster)
	if errors.Is(err, fs.ErrNotExist) {
		return unprivileged()
	}
	if err != nil {
		return owner{}, fmt.Errorf("looking at the data folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 {
		return owner{}, fmt.Errorf("the data folder %s belongs to root, and PostgreSQL refuses to run as root: give it to another user with chown -R", cluster)
	}
	return owner{uid: stat.Uid, gid: stat.Gid, drop: true}, nil
}

func unprivileged() (owner, error) {
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(account.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(account.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return owner{}, fmt.Errorf("reading the ids of user %s: %w", name, err)
		}
		return owner{uid: uint32(uid), gid: uint32(gid), drop: true}, nil
	}
	return owner{}, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as: run as another user")
}

// command prepares a program that runs as the owner. It has its own session, so that
// Ctrl-C in our terminal does not reach it, and none of our environment variables that
// could change its behaviour.
func (o owner) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 -- the operator names it
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if o.drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: o.uid, Gid: o.gid}
	}
	// initdb has child processes, so kill the whole session.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// give makes the owner the owner of a file or folder.
func (o owner) give(path string) error {
	if !o.drop {
		return nil
	}
	return os.Chown(path, int(o.uid), int(o.gid))
}

// reaches reports whether the owner has access to dir. Folders of root are often closed to
// other users.
func (o owner) reaches(dir string) bool {
	return !o.drop || o.command(context.Background(), "/bin/sh", "-c", `cd "$0"`, dir).Run() == nil
}

// dataArgument adds the data folder dir to the arguments of cmd. If the owner has no access
// to its path, the command inherits the open folder as a file descriptor, which works only
// on Linux.
func (o owner) dataArgument(cmd *exec.Cmd, dir string) (release func(), err error) {
	if o.reaches(dir) {
		cmd.Args = append(cmd.Args, "-D", dir)
		return func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("PostgreSQL must run as user %d because postern runs as root, and that user has no access to %s: choose another folder, or run postern as another user", o.uid, dir)
	}
	folder, err := os.Open(dir) // #nosec G304 -- the operator names the data folder
	if err != nil {
		return nil, fmt.Errorf("opening the data folder: %w", err)
	}
	cmd.ExtraFiles = []*os.File{folder} // becomes file descriptor 3
	cmd.Args = append(cmd.Args, "-D", "/proc/self/fd/3")
	return func() { _ = folder.Close() }, nil
}
