package main

import (
	"crypto/sha1" // #nosec G505 -- UUIDs of version 5 are made with it
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// The parts of a CycloneDX document, version 1.6 (https://cyclonedx.org/docs/1.6/json/), that we
// write. It has no time, so that the same programs give the same document.
type (
	document struct {
		BOMFormat    string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version,omitempty"`
		PURL       string     `json:"purl,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licences   []licensed `json:"licenses,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licensed struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// writeSBOM writes the document of programs. A program is a component with the modules that are
// linked into it.
func writeSBOM(out io.Writer, root string, programs []string) error {
	assets, err := assetsOf(root)
	if err != nil {
		return err
	}
	d := document{BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{component{Type: "application", Ref: "postern", Name: "postern"}}}
	whole := dependency{Ref: "postern"}
	libraries, dependencies := map[string]component{}, []dependency{}
	for _, path := range slices.Sorted(slices.Values(programs)) {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading what %s is made of: %w", path, err)
		}
		name := "program/" + filepath.Base(path)
		d.Metadata.Component.Version = info.Main.Version
		d.Components = append(d.Components, component{Type: "application", Ref: name, Name: filepath.Base(path), Version: info.Main.Version})
		linked := dependency{Ref: name, DependsOn: []string{}}
		for _, m := range append(info.Deps, goItself(info.GoVersion)) {
			c := ofModule(m)
			libraries[c.Ref] = c
			linked.DependsOn = append(linked.DependsOn, c.Ref)
		}
		for _, a := range assets {
			c, err := ofAsset(a)
			if err != nil {
				return err
			}
			libraries[c.Ref] = c
			linked.DependsOn = append(linked.DependsOn, c.Ref)
		}
		slices.Sort(linked.DependsOn)
		dependencies, whole.DependsOn = append(dependencies, linked), append(whole.DependsOn, name)
	}
	for _, ref := range slices.Sorted(maps.Keys(libraries)) {
		d.Components = append(d.Components, libraries[ref])
		dependencies = append(dependencies, dependency{Ref: ref})
	}
	d.Dependencies = append([]dependency{whole}, dependencies...)
	return d.write(out)
}

// goItself is Go's standard library, as a module.
func goItself(version string) *debug.Module {
	version, _, _ = strings.Cut(version, " ") // without experiments
	return &debug.Module{Path: "stdlib", Version: strings.TrimPrefix(version, "go")}
}

func ofModule(m *debug.Module) component {
	if m.Replace != nil {
		m = m.Replace
	}
	purl := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if m.Sum != "" {
		c.Properties = []property{{"go:sum", m.Sum}} // of the module's files: not a hash that CycloneDX knows
	}
	return c
}

func ofAsset(a asset) (component, error) {
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a.Integrity, "sha512-"))
	if err != nil {
		return component{}, fmt.Errorf("reading the integrity of %s: %w", a.Name, err)
	}
	purl := "pkg:npm/" + a.Name + "@" + a.Version
	c := component{Type: "library", Ref: purl, Name: a.Name, Version: a.Version, PURL: purl,
		Hashes: []hash{{"SHA-512", hex.EncodeToString(sum)}}, Licences: make([]licensed, 1)}
	c.Licences[0].License.ID = a.Licence
	return c, nil
}

// write writes the document, with a serial number that is made of everything else.
func (d document) write(out io.Writer) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	id := sha1.Sum(append([]byte("postern sbom\n"), text...)) // #nosec G401 -- as above
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80           // version 5, variant of RFC 9562
	d.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(d)
}
