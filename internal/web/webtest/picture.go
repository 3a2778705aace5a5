package webtest

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
)

var shots = flag.String("screenshots", "", "keep what Browser.Screenshot sees in this folder")

// Screenshot keeps what is seen of the whole page as name.png in the folder of
// -screenshots; without that it does nothing.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	if *shots != "" {
		b.Picture(name, 1<<14)
	}
}

// Picture gives what is seen of the page's top, no more than a height in pixels, and
// keeps it where there is a folder for that. The window
// is as high for that moment, so that what sticks to its edge is at the edge.
func (b *Browser) Picture(name string, tallest int64) []byte {
	b.t.Helper()
	whole := must(chromedp.Run(b.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollHeight")))(b)
	b.do(chromedp.EmulateViewport(b.width, min(max(whole, b.height), tallest)))
	defer b.do(chromedp.EmulateViewport(b.width, b.height))
	shot := must(chromedp.Run(b.ctx, chromedp.CaptureScreenshot()))(b)
	picture := smaller(b, shot)
	if *shots == "" {
		return picture
	}
	err := os.MkdirAll(*shots, 0o750)
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, strings.ReplaceAll(name, "/", "-")+".png"), picture, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}

// smaller writes a picture anew with at most 256 colours, which flat pages have few
// more of than that: it is a third of the size and looks the same.
func smaller(b *Browser, data []byte) []byte {
	b.t.Helper()
	full := must(png.Decode(bytes.NewReader(data)))(b)
	few := image.NewPaletted(full.Bounds(), mostUsed(full, 256))
	draw.Draw(few, few.Bounds(), full, full.Bounds().Min, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, few); err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes()
}

// mostUsed gives the colours that a picture has most of.
func mostUsed(picture image.Image, n int) color.Palette {
	count := map[color.RGBA]int{}
	at := picture.Bounds()
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			count[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := color.Palette{}
	for _, c := range colours[:min(n, len(colours))] {
		palette = append(palette, c)
	}
	return palette
}
