package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/certificate"
)

// certificatesLast is how long the certificates of a private network are valid. Their expiry would
// stop the whole system, so it is beyond the life of a machine.
const certificatesLast = 10 * 365 * 24 * time.Hour

// keysCertificatesCommand makes the certificates of servers on a private network.
func (env *environment) keysCertificatesCommand() *cobra.Command {
	return &cobra.Command{Use: "certificates DIR NAME…", Short: "Make certificates for the stores on a private network", Args: cobra.MinimumNArgs(2),
		Long: "Makes DIR/authority/authority.pem, and for each host name DIR/NAME/certificate.pem and DIR/NAME/key.pem, valid\n" +
			"for ten years. The authority's key is not kept, so it can sign nothing else.\n\n" +
			"If all files exist, nothing is changed. To replace them, delete them, run this verb, and restart all processes.",
		RunE: func(_ *cobra.Command, args []string) error {
			made, err := makeCertificates(args[0], args[1:])
			if err != nil {
				return err
			}
			if !made {
				return env.say(madeJSON{false}, "the certificates in %s exist already", args[0])
			}
			return env.say(madeJSON{true}, "made certificates in %s for %s", args[0], strings.Join(args[1:], ", "))
		}}
}

// makeCertificates makes the certificates, and reports whether any was missing. Only their owner's
// group may read a key besides its owner, as Postgres demands of a key that root owns.
func makeCertificates(dir string, names []string) (made bool, err error) {
	authorityFile := filepath.Join(dir, "authority", "authority.pem")
	wanted := []string{authorityFile}
	for _, name := range names {
		wanted = append(wanted, filepath.Join(dir, name, "certificate.pem"), filepath.Join(dir, name, "key.pem"))
	}
	missing := 0
	for _, path := range wanted {
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
		} else if err != nil {
			return false, fmt.Errorf("looking for certificates: %w", err)
		}
	}
	if missing == 0 {
		return false, nil
	}
	until := time.Now().Add(certificatesLast)
	authority, err := certificate.NewAuthority("Postern's private network", until)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		cert, key, err := authority.Issue(certificate.Request{Names: []string{name, "localhost", "127.0.0.1"}, Until: until})
		if err != nil {
			return false, err
		}
		if err := errors.Join(writeFile(filepath.Join(dir, name, "key.pem"), key, 0o640), writeFile(filepath.Join(dir, name, "certificate.pem"), cert, 0o644)); err != nil {
			return false, err
		}
	}
	// A crash before this line leaves files that the next run replaces.
	return true, writeFile(authorityFile, authority.PEM(), 0o644)
}

func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- its files have their own rights
		return fmt.Errorf("making certificates: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making certificates: %w", err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	return nil
}
