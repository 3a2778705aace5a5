package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// HasStream reports whether the folder dir of [NATSConfig] has a stream with the name. It
// changes nothing.
func HasStream(dir, stream string) (bool, error) {
	accounts, err := os.ReadDir(filepath.Join(dir, "jetstream"))
	if there, err := found(err); !there {
		return false, err
	}
	for _, account := range accounts {
		_, err := os.Lstat(filepath.Join(dir, "jetstream", account.Name(), "streams", stream))
		if there, err := found(err); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// found converts the error of looking for a file to whether it exists.
func found(err error) (bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking into the data folder: %w", err)
	}
	return true, nil
}
