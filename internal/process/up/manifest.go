package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"postern/internal/store/keyfile"
)

// manifestFile is the file in a data folder that says what the folder is.
const manifestFile = "folder.json"

// The states of a data folder.
const (
	making = "making" // its first start has not finished: a part that is not there was never made
	made   = "made"   // every part was there once: a part that is not there was lost
)

// A manifest says what a data folder is. A folder that was made before there were
// manifests has none; see [Folder.derive].
type manifest struct {
	State  string    `json:"state"`
	MadeAt time.Time `json:"made_at"`
	// Demo: `postern up --demo` made the folder.
	Demo bool `json:"demo"`
	// Recovering are the parts that a recovery is replacing. They count as lost until the
	// recovery has finished.
	Recovering []Part `json:"recovering,omitempty"`
}

// readManifest gives nil where the folder has none.
func readManifest(path string) (*manifest, error) {
	data, err := os.ReadFile(path) // #nosec G304 -- in the operator's folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what the data folder is: %w", err)
	}
	m := &manifest{}
	if err := json.Unmarshal(data, m); err != nil || m.State != making && m.State != made {
		return nil, fmt.Errorf("%s can't be understood: restore it from a backup of the folder, or move it away: then `postern up` "+
			"looks at the other files to tell what the folder is", path)
	}
	return m, nil
}

// write puts the manifest on disk, whole or not at all.
func (m *manifest) write(path string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", manifestFile, err)
	}
	if err := keyfile.Replace(path, append(data, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", manifestFile, err)
	}
	return nil
}
