// Package qr draws QR codes as SVG. It does no I/O.
package qr

import (
	"fmt"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quiet is the width of the white border, in modules: ISO/IEC 18004, section 9.1.
const quiet = 4

// Code is a QR code as the path of an SVG. It is part of the page, so its text is in no
// address of a picture.
type Code struct {
	Size int    // length of a side, in modules
	Path string // the dark modules, each a square
}

// Pixels is the width on the page: five pixels a module, so that all modules are equal.
func (c Code) Pixels() int { return 5 * c.Size }

// Side is the width on a sheet of paper: two pixels a module, which is half a millimetre.
func (c Code) Side() int { return 2 * c.Size }

// Encode makes the code of a text. It fails if the text is too long.
func Encode(text string) (Code, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return Code{}, fmt.Errorf("drawing a QR code: %w", err)
	}
	side := code.Bounds().Dx()
	var path strings.Builder
	for y := range side {
		for x := range side {
			if code.At(x, y) == color.Black {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	return Code{side + 2*quiet, path.String()}, nil
}
