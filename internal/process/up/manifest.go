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

// manifestFile is the file in a data folder that holds its manifest.
const manifestFile = "folder.json"

// The states of a data folder.
const (
	making = "making" // the first start has not finished: a missing part was never made
	made   = "made"   // all parts existed: a missing part was lost
)

// A manifest describes a data folder. Folders made by versions before manifests have none;
// see [Folder.derive].
type manifest struct {
	State  string    `json:"state"`
	MadeAt time.Time `json:"made_at"`
	// Demo: `postern up --demo` made the folder.
	Demo bool `json:"demo"`
	// Recovering are the parts that a recovery is replacing. They count as lost until the
	// recovery has finished.
	Recovering []Part `json:"recovering,omitempty"`
}

// readManifest reads the manifest. It returns nil if the folder has none.
func readManifest(path string) (*manifest, error) {
	data, err := os.ReadFile(path) // #nosec G304 -- in the operator's folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of the data folder: %w", err)
	}
	m := &manifest{}
	if err := json.Unmarshal(data, m); err != nil || m.State != making && m.State != made {
		return nil, fmt.Errorf("%s can't be understood: restore it from a backup of the folder, or move it away: then `postern up` "+
			"derives the state of the folder from the other files", path)
	}
	return m, nil
}

// write writes the manifest to disk atomically.
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
