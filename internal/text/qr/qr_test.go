package qr

import (
	"fmt"
	"image/color"
	"strings"
	"testing"

	"github.com/boombuler/barcode/qr"
)

// The path has one square for each dark module of the code, and no others.
func TestThePathMatchesTheCode(t *testing.T) {
	const text = "otpauth://totp/Postern:ada@clinic.example?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Postern"
	drawn, err := Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		t.Fatal(err)
	}
	dark := 0
	for y := range code.Bounds().Dy() {
		for x := range code.Bounds().Dx() {
			if code.At(x, y) != color.Black {
				continue
			}
			dark++
			if square := fmt.Sprintf("M%d %dh1v1h-1z", x+4, y+4); !strings.Contains(drawn.Path, square) {
				t.Fatalf("module %d, %d is dark and not drawn", x, y)
			}
		}
	}
	if n := strings.Count(drawn.Path, "M"); n != dark || drawn.Size != code.Bounds().Dx()+8 {
		t.Errorf("%d squares of %d, %d wide", n, dark, drawn.Size)
	}
}

func TestATextThatIsTooLongForACode(t *testing.T) {
	if _, err := Encode(strings.Repeat("x", 5000)); err == nil {
		t.Error("a text that is too long was drawn")
	}
}
