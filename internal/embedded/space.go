package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"postern/internal/text/size"
)

const (
	// spaceReserve is the space in bytes that JetStream leaves free. On a full disk it
	// does not refuse events but stops answering, and PostgreSQL stops too.
	spaceReserve = 256 << 20
	// spaceShort is the free space below which the server refuses all events. Other
	// programs fill the disk too, and the server's limit was computed at its start.
	spaceShort = spaceReserve + 64<<20
	// spaceEnough is the free space from which the server accepts events again.
	spaceEnough = spaceShort + 64<<20
)

// FreeBytes returns the free space on the file system of dir for an unprivileged process,
// in bytes.
func FreeBytes(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil // #nosec G115 -- no disk has 8 EiB
}

// CheckSpace returns an error if too little space is free on the disk. Then every published
// event is refused, and the stored events can still be read.
func (n *NATS) CheckSpace() error {
	if !n.short.Load() {
		return nil
	}
	free, err := n.FreeBytes()
	if err != nil {
		return err
	}
	return fmt.Errorf("the disk of the record has only %s free and needs %s: free some space, and sending continues automatically", size.Text(free), size.Text(spaceEnough))
}

// FreeBytes returns the free space on the server's disk, in bytes.
func (n *NATS) FreeBytes() (int64, error) { return n.cfg.Free(n.cfg.StoreDir) }

// WatchSpace checks the free space at every tick until ctx ends. When too little is free,
// it restarts the server with a limit that refuses all events, before the disk is full and
// the server would block. When enough is free again, it restarts the server to accept
// events. Clients reconnect on their own; publishers must retry refused events.
func (n *NATS) WatchSpace(ctx context.Context, ticks <-chan time.Time) error {
	var failed bool
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		}
		free, err := n.FreeBytes()
		if err != nil {
			n.log.Error("the free space on the disk could not be read", "error", err)
			continue
		}
		if n.isShort(free) == n.short.Load() && !failed {
			continue
		}
		n.log.Warn("the free space on the record's disk has fallen below the limit, or is sufficient again: restarting NATS", "free_mib", free>>20)
		if err := n.Restart(ctx); err != nil {
			n.log.Error("NATS could not be started; trying again", "error", err)
			failed = true
			continue
		}
		failed = false
	}
}

// isShort reports whether too little space is free: below spaceShort it is true, from
// spaceEnough it is false, and in between it keeps its last value.
func (n *NATS) isShort(free int64) bool {
	return free < spaceShort || n.short.Load() && free < spaceEnough
}

// storeLimit returns the maximum size of JetStream's folder in bytes: its present size
// plus the free space, minus the reserve. The server refuses events that would exceed it.
// With too little space free it is 1, so that all events are refused; 0 would mean no
// limit.
func (n *NATS) storeLimit() (int64, error) {
	dir := n.cfg.StoreDir
	free, err := n.FreeBytes()
	if err != nil {
		return 0, err
	}
	short := n.isShort(free)
	n.short.Store(short)
	if short {
		return 1, nil
	}
	var used int64
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			used += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the folder of NATS: %w", err)
	}
	return used + free - spaceReserve, nil
}
