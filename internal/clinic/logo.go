package clinic

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"strings"

	"postern/internal/limits"
)

// The media types of a logo.
const (
	SVG = "image/svg+xml"
	PNG = "image/png"
)

// mostPixels is the longest side of a PNG.
const mostPixels = 2000

var errLogoKind = errors.New("the logo is neither an SVG nor a PNG: save it as one of them")

// ReadLogo returns a logo without anything that a picture doesn't need: of a PNG, the pixels
// alone; of an SVG, only shapes, text and gradients, without scripts, links, styles, pictures
// within it and metadata. Its errors say what to do.
func ReadLogo(data []byte) (Logo, error) {
	clean, kind, err := cleanLogo(data)
	if err != nil {
		return Logo{}, err
	}
	if len(clean) > int(limits.ClinicLogo) {
		return Logo{}, logoTooLarge(len(clean))
	}
	return Logo{MediaType: kind, Data: clean}, nil
}

func cleanLogo(data []byte) (clean []byte, kind string, err error) {
	if len(data) > int(limits.ClinicLogoFile) {
		return nil, "", logoTooLarge(len(data))
	}
	if bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) {
		clean, err = cleanPNG(data)
		return clean, PNG, err
	}
	clean, err = cleanSVG(data)
	return clean, SVG, err
}

func cleanPNG(data []byte) ([]byte, error) {
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("the PNG is damaged: save it again")
	}
	if config.Width > mostPixels || config.Height > mostPixels {
		return nil, fmt.Errorf("the PNG has %d × %d pixels, and may have at most %d × %d: make it smaller", config.Width, config.Height, mostPixels, mostPixels)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("the PNG is damaged: save it again")
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, picture); err != nil {
		return nil, fmt.Errorf("writing the PNG: %w", err)
	}
	return b.Bytes(), nil
}

const svgSpace = "http://www.w3.org/2000/svg"

// The elements and attributes of SVG 1.1 that draw. None of them runs a script, and none loads
// anything: a reference is only url(#id) or href="#id", see drawsOnly.
var (
	svgElements = setOf("svg g defs symbol use path rect circle ellipse line polyline polygon text tspan title desc linearGradient radialGradient stop clipPath mask pattern")
	svgAttrs    = setOf(`id class x y x1 y1 x2 y2 dx dy cx cy fx fy r rx ry d points width height viewBox preserveAspectRatio version
		transform gradientTransform gradientUnits patternTransform patternUnits patternContentUnits spreadMethod offset
		clipPathUnits maskUnits maskContentUnits clip-path clip-rule mask
		fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin stroke-miterlimit stroke-dasharray stroke-dashoffset
		opacity stop-color stop-opacity color display visibility
		font-family font-size font-weight font-style text-anchor letter-spacing rotate textLength href`)
	// svgProperties are the properties of a style attribute, which becomes attributes.
	svgProperties = setOf(`clip-path clip-rule mask fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin
		stroke-miterlimit stroke-dasharray stroke-dashoffset opacity stop-color stop-opacity color display visibility
		font-family font-size font-weight font-style text-anchor letter-spacing`)
)

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// cleanSVG writes an SVG again with the elements and attributes that draw. What it doesn't know it
// leaves out, with all that is within.
func cleanSVG(data []byte) ([]byte, error) {
	in := xml.NewDecoder(bytes.NewReader(data))
	in.Entity = map[string]string{} // no entity but those of XML
	var b bytes.Buffer
	out := xml.NewEncoder(&b)
	depth := 0
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if depth == 0 {
				return nil, errLogoKind
			}
			return nil, errors.New("the SVG is damaged: save it again as plain SVG")
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 && (t.Name.Local != "svg" || b.Len() > 0) {
				return nil, errLogoKind
			}
			if !svgElements[t.Name.Local] || t.Name.Space != "" && t.Name.Space != svgSpace {
				if err := in.Skip(); err != nil {
					return nil, errors.New("the SVG is damaged: save it again as plain SVG")
				}
				continue
			}
			err = out.EncodeToken(xml.StartElement{Name: xml.Name{Local: t.Name.Local}, Attr: cleanAttrs(t, depth == 0)})
			depth++
		case xml.EndElement:
			depth--
			err = out.EncodeToken(xml.EndElement{Name: xml.Name{Local: t.Name.Local}})
		case xml.CharData:
			if depth > 0 {
				err = out.EncodeToken(t)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("writing the SVG: %w", err)
		}
		if err := out.Flush(); err != nil {
			return nil, fmt.Errorf("writing the SVG: %w", err)
		}
	}
	if b.Len() == 0 {
		return nil, errLogoKind
	}
	return b.Bytes(), nil
}

func cleanAttrs(e xml.StartElement, root bool) (kept []xml.Attr) {
	at := map[string]int{}
	keep := func(name, value string) {
		if !drawsOnly(name, value) {
			return
		}
		if i, has := at[name]; has { // a property of style comes before the attribute of its name
			kept[i].Value = value
			return
		}
		at[name] = len(kept)
		kept = append(kept, xml.Attr{Name: xml.Name{Local: name}, Value: value})
	}
	if root {
		keep("xmlns", svgSpace)
	}
	for _, a := range e.Attr {
		switch name := a.Name.Local; {
		case name == "style" && a.Name.Space == "":
			for property := range strings.SplitSeq(a.Value, ";") {
				if name, value, ok := strings.Cut(property, ":"); ok && svgProperties[strings.TrimSpace(name)] {
					keep(strings.TrimSpace(name), strings.TrimSpace(value))
				}
			}
		case svgAttrs[name] && (a.Name.Space == "" || name == "href"):
			keep(name, a.Value)
		}
	}
	return kept
}

// drawsOnly reports whether the value of an attribute refers to nothing outside the picture.
func drawsOnly(name, value string) bool {
	if name == "href" {
		return strings.HasPrefix(value, "#")
	}
	low := strings.ToLower(value)
	if strings.ContainsAny(low, "\\") || strings.Contains(low, "javascript:") || strings.Contains(low, "data:") || strings.Contains(low, "@import") {
		return false
	}
	for rest := low; ; {
		_, after, refers := strings.Cut(rest, "url(")
		if !refers {
			return true
		}
		if !strings.HasPrefix(strings.TrimLeft(after, " '\""), "#") {
			return false
		}
		rest = after
	}
}
