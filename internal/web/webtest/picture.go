package webtest

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
)

var shots = flag.String("screenshots", "", "keep the pictures of Browser.Screenshot in this folder")

// KeepsPictures reports whether -screenshots names a folder.
func KeepsPictures() bool { return *shots != "" }

// Screenshot saves a picture of the whole page as name.png in the folder of the flag
// -screenshots. Without the flag it does nothing.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	if *shots != "" {
		b.Picture(name, 1<<14)
	}
}

// Picture takes a picture of the top of the page, at most tallest pixels high, and
// saves it as name.png if -screenshots names a folder. While it is taken, the window is
// as high as the picture, so that elements fixed to its edge are at the picture's edge.
func (b *Browser) Picture(name string, tallest int64) {
	b.t.Helper()
	whole := must(chromedp.Run(b.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollHeight")))(b)
	b.do(chromedp.EmulateViewport(b.width, min(max(whole, b.height), tallest)))
	defer b.do(chromedp.EmulateViewport(b.width, b.height))
	shot := must(chromedp.Run(b.ctx, chromedp.CaptureScreenshot()))(b)
	if *shots == "" {
		return
	}
	picture := smaller(b, shot)
	err := os.MkdirAll(*shots, 0o750)
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, strings.ReplaceAll(name, "/", "-")+".png"), picture, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// smaller encodes a picture with at most 256 colours. Flat pages have few more, so the
// picture looks the same at a third of the size.
func smaller(b *Browser, data []byte) []byte {
	b.t.Helper()
	decoded := must(png.Decode(bytes.NewReader(data)))(b)
	full := image.NewRGBA(decoded.Bounds())
	draw.Draw(full, full.Bounds(), decoded, full.Bounds().Min, draw.Src)
	few := image.NewPaletted(full.Bounds(), mostUsed(full, 256))
	index := map[color.RGBA]uint8{}
	for at, c := range runs(full) {
		nearest, known := index[c]
		if !known {
			nearest = uint8(few.Palette.Index(c)) // #nosec G115 -- of 256
			index[c] = nearest
		}
		for i := at.from; i < at.to; i++ {
			few.Pix[i] = nearest
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, few); err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes()
}

// mostUsed returns the n most frequent colours of a picture.
func mostUsed(picture *image.RGBA, n int) color.Palette {
	count := map[color.RGBA]int{}
	for at, c := range runs(picture) {
		count[c] += at.to - at.from
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

// run is a sequence of pixels of one colour, by their index in the picture.
type run struct{ from, to int }

// runs returns the pixels of a picture in runs of one colour. Pixel by pixel, it would
// take seconds under the race detector.
func runs(picture *image.RGBA) iter.Seq2[run, color.RGBA] {
	return func(yield func(run, color.RGBA) bool) {
		pixels := len(picture.Pix) / 4
		for from := 0; from < pixels; {
			first := picture.Pix[4*from : 4*from+4]
			to := from + 1
			for to < pixels && bytes.Equal(first, picture.Pix[4*to:4*to+4]) {
				to++
			}
			if !yield(run{from, to}, color.RGBA{first[0], first[1], first[2], first[3]}) {
				return
			}
			from = to
		}
	}
}
