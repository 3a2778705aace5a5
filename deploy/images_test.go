package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	image  = regexp.MustCompile(`^\s*image:\s*(\S+)|^FROM\s+(\S+)`)
	digest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)
)

// Each image is named by its digest, or the line above it says why not. A tag can be moved to
// another image.
func TestImagesHaveDigests(t *testing.T) {
	files, err := filepath.Glob("*.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range append(files, "../docker-compose.yml", "../Dockerfile") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found += images(t, name, string(text))
	}
	if found < 5 {
		t.Errorf("only %d images were found", found)
	}
}

// images checks the images of a file and returns their number.
func images(t *testing.T, name, text string) (n int) {
	t.Helper()
	above := ""
	for line := range strings.Lines(text) {
		if m := image.FindStringSubmatch(line); m != nil {
			n++
			if used := m[1] + m[2]; !digest.MatchString(used) && !strings.HasPrefix(strings.TrimSpace(above), "# no digest: ") {
				t.Errorf("%s: %s has no digest: add it, or say why not in the line above, after \"# no digest: \"", name, used)
			}
		}
		above = line
	}
	return n
}
