package config

import (
	"fmt"
	"maps"
	"os"
	"strings"
)

// InFile returns the name of the setting that names a file with the value of a secret setting.
func InFile(setting string) string { return setting + "_FILE" }

// isSecret reports whether settings with this mask hold a secret, alone or in an address.
func isSecret(mask string) bool { return mask == "secret" || mask == "dsn" || mask == "urls" }

// withSecretFiles returns the values with those of the files, without the newline at their end.
func withSecretFiles(values map[string]string) (map[string]string, []error) {
	values = maps.Clone(values)
	var faults []error
	eachField(func(name, mask string) {
		path := values[InFile(name)]
		if !isSecret(mask) || path == "" {
			return
		}
		if values[name] != "" {
			faults = append(faults, fmt.Errorf("  %s and %s are both set; remove one of them", name, InFile(name)))
			return
		}
		text, err := os.ReadFile(path) // #nosec G304 -- named by the operator
		if err != nil {
			faults = append(faults, fmt.Errorf("  %s must name a file that this process can read: %w", InFile(name), err))
			return
		}
		value, _ := strings.CutSuffix(string(text), "\n")
		values[name] = strings.TrimSuffix(value, "\r")
	})
	return values, faults
}
