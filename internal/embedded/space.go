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
	// spaceReserve is what JetStream leaves free on the disk: on a full one it does
	// not refuse, it stops answering, and PostgreSQL beside it stops too.
	spaceReserve = 256 << 20
	// spaceShort is when the server is made to refuse everything: others fill the
	// disk too, and what it may use was reckoned when it started.
	spaceShort = spaceReserve + 64<<20
	// spaceEnough is when it takes events again.
	spaceEnough = spaceShort + 64<<20
)

// FreeBytes is how much an unprivileged process may still write to the file
// system of dir.
func FreeBytes(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil // #nosec G115 -- no disk has 8 EiB
}

// Space is nil, or says that too little is free on the disk: then everything
// that is published is refused, and what is on the record can be read.
func (n *NATS) Space() error {
	if !n.short.Load() {
		return nil
	}
	free, err := n.Free()
	if err != nil {
		return err
	}
	return fmt.Errorf("%s are free on the disk of the record, and %s must be: make room, and sending goes on by itself", size.Text(free), size.Text(spaceEnough))
}

// Free is how much may still be written to the server's disk.
func (n *NATS) Free() (int64, error) { return n.cfg.Free(n.cfg.StoreDir) }

// KeepSpace looks at the disk at every tick until ctx ends. Where it gets short of
// space the server is started again so that it refuses, before it would wedge;
// once space has returned, so that it takes events again. Connections come back
// by themselves, and what is refused is the publisher's to repeat.
func (n *NATS) KeepSpace(ctx context.Context, ticks <-chan time.Time) error {
	var failed bool
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		}
		free, err := n.Free()
		if err != nil {
			n.log.Error("can't tell how much space is free", "error", err)
			continue
		}
		if n.isShort(free) == n.short.Load() && !failed {
			continue
		}
		n.log.Warn("the disk of the record got short of space, or has it again: starting NATS anew", "free_mib", free>>20)
		if err := n.Restart(ctx); err != nil {
			n.log.Error("NATS can't be started, trying again", "error", err)
			failed = true
			continue
		}
		failed = false
	}
}

// isShort says so below one mark, and not above the other; in between it stays as
// it was.
func (n *NATS) isShort(free int64) bool {
	return free < spaceShort || n.short.Load() && free < spaceEnough
}

// storeLimit is how large JetStream's folder may become: what it has, and what
// is free now, but for the reserve. The server refuses what would exceed it, and
// with a limit of one byte everything; 0 would mean none.
func (n *NATS) storeLimit() (int64, error) {
	dir := n.cfg.StoreDir
	free, err := n.Free()
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
