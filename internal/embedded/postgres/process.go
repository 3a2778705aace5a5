package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/store"
)

const (
	pollInterval = 25 * time.Millisecond
	// silenceBound is how long a running server may give no answer. "Starting up" is an
	// answer too.
	silenceBound = 30 * time.Second
)

// adopt takes over a server that still runs over the cluster because the last process was
// killed, or returns nil if there is none. If the server is shutting down, adopt waits for
// its end.
func (p *Server) adopt(ctx context.Context) (*postmaster, error) {
	file, err := readPIDFile(p.cluster)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !isPostmaster(file.pid, p.cluster) {
		return nil, p.removeStale(file.pid)
	}
	server := &postmaster{pid: file.pid, exited: make(chan struct{})}
	go func() {
		defer close(server.exited)
		// It is not our child process, so its end must be polled.
		for isPostmaster(server.pid, p.cluster) {
			time.Sleep(4 * pollInterval)
		}
	}()
	// A server that has just started has not written its socket to the file yet.
	for file.socketDir == "" && isPostmaster(file.pid, p.cluster) {
		if err := pause(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("taking over PostgreSQL: %w", err)
		}
		if file, err = readPIDFile(p.cluster); err != nil {
			return nil, err
		}
	}
	p.socket = file.socketDir
	switch err := p.awaitAnswer(ctx, server); {
	case errors.Is(err, errExited):
		return nil, nil
	case err != nil:
		return nil, err
	}
	p.log.Info("took over the running PostgreSQL", "pid", server.pid)
	return server, nil
}

// removeStale removes a postmaster.pid whose process id now belongs to another program.
// Otherwise the server would mistake that program for another server and refuse to start.
// If no process has the id, the server handles the file itself, more carefully than we
// could.
func (p *Server) removeStale(pid int) error {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err := os.Remove(filepath.Join(p.cluster, "postmaster.pid")); err != nil {
		return fmt.Errorf("removing a stale postmaster.pid: %w", err)
	}
	return nil
}

// launch starts the server and waits until it answers. There is no time limit for the
// recovery after a crash.
func (p *Server) launch(ctx context.Context) (*postmaster, error) {
	if err := p.makeSocketDir(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(silenceBound)
	for {
		server, err := p.spawn(ctx)
		if err != nil {
			return nil, err
		}
		err = p.awaitAnswer(ctx, server)
		if err == nil {
			p.log.Info("PostgreSQL runs", "pid", server.pid, "version", p.install.major)
			return server, nil
		}
		if !errors.Is(err, errExited) {
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
			defer cancel()
			return nil, errors.Join(err, server.stop(stopCtx))
		}
		logged := p.logTail()
		// The child processes of a killed postmaster notice its end after a moment.
		if !strings.Contains(logged, "still in use") || time.Now().After(deadline) {
			return nil, fmt.Errorf("starting PostgreSQL: it ended; its log %s says:\n%s", p.logPath(), logged)
		}
		if err := pause(ctx, 4*pollInterval); err != nil {
			return nil, fmt.Errorf("starting PostgreSQL: %w", err)
		}
	}
}

// spawn starts the postmaster. ctx only limits the start; the process outlives it.
func (p *Server) spawn(ctx context.Context) (*postmaster, error) {
	out, err := p.openLog()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := p.owner.command(context.WithoutCancel(ctx), filepath.Join(p.install.bin, "postgres"))
	release, err := p.owner.dataArgument(cmd, p.cluster)
	if err != nil {
		return nil, err
	}
	defer release()
	settings := p.settings()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		cmd.Args = append(cmd.Args, "-c", name+"="+settings[name])
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	server := &postmaster{pid: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the server's log has the reason of its end
		close(server.exited)
	}()
	return server, nil
}

// errExited is the error if the server ended before it answered.
var errExited = errors.New("the server has ended")

// awaitAnswer waits until the server accepts connections.
func (p *Server) awaitAnswer(ctx context.Context, server *postmaster) error {
	silentSince := time.Now()
	for {
		err := ping(ctx, p.socketURL("postgres"))
		if err == nil {
			return nil
		}
		if store.Code(err) == store.CannotConnectNow {
			silentSince = time.Now()
		}
		if time.Since(silentSince) > silenceBound {
			return fmt.Errorf("PostgreSQL (process %d) is alive but does not answer; end it with kill -QUIT %d and start again: %w", server.pid, server.pid, err)
		}
		select {
		case <-server.exited:
			return errExited
		case <-ctx.Done():
			return fmt.Errorf("waiting for PostgreSQL to answer: %w", ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

func ping(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
