package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// spaceReserve is what JetStream leaves free on the disk: on a full one it does
// not refuse, it stops answering, and PostgreSQL beside it stops too.
const spaceReserve = 256 << 20

// FreeBytes is how much an unprivileged process may still write to the file
// system of dir.
func FreeBytes(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil // #nosec G115 -- no disk has 8 EiB
}

// storeLimit is how large JetStream's folder may become: what it has, and what
// is free now, but for the reserve. The server refuses what would exceed it.
func storeLimit(dir string) (int64, error) {
	free, err := FreeBytes(dir)
	if err != nil {
		return 0, err
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
	return used + max(free-spaceReserve, 1), nil // 0 would mean no limit
}
