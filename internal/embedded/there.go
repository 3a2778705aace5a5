package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// HasCluster tells whether a PostgreSQL cluster was made in the folder dir of
// [PostgresConfig]. It changes nothing.
func HasCluster(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, "cluster"))
	return found(err)
}

// HasStream tells whether JetStream ever kept a stream of that name in the folder dir of
// [NATSConfig]. It changes nothing.
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

// found makes of what looking for a file gave whether it is there.
func found(err error) (bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking into the data folder: %w", err)
	}
	return true, nil
}
