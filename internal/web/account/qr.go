package account

import (
	"fmt"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quiet is how many modules of white are around a code: ISO/IEC 18004, section 9.1.
const quiet = 4

// QR is a QR code as the path of an SVG: within the page, so that no picture has to be
// fetched, and its secret is in no address.
type QR struct {
	Size int    // of the side, in modules
	Path string // the dark ones, each a square
}

// Pixels is how wide it is shown: five to a module, so that all are as wide.
func (c QR) Pixels() int { return 5 * c.Size }

// Encode makes the code of a text. It fails where the text is too long.
func Encode(text string) (QR, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return QR{}, fmt.Errorf("drawing a QR code: %w", err)
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
	return QR{side + 2*quiet, path.String()}, nil
}
