package size_test

import (
	"math"
	"regexp"
	"testing"

	"postern/internal/text/size"
)

func TestText(t *testing.T) {
	t.Parallel()
	const kB, MB, GB, TB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
	for _, c := range []struct {
		bytes int64
		want  string
	}{
		{math.MinInt64, "0 bytes"}, {-1, "0 bytes"}, {0, "0 bytes"}, {1, "1 byte"}, {812, "812 bytes"}, {999, "999 bytes"},
		{1000, "1 kB"}, {kB, "1 kB"}, {34*kB + 100, "34 kB"}, {999 * kB, "999 kB"},
		{999*kB + 600, "1 MB"}, {1000 * kB, "1 MB"}, {MB, "1 MB"}, {4 * MB, "4 MB"}, {4*MB + MB/2, "4.5 MB"}, {99*MB + MB*94/100, "99.9 MB"},
		{99*MB + MB*96/100, "100 MB"}, {256 * MB, "256 MB"}, {999 * MB, "999 MB"}, {1000 * MB, "1 GB"},
		{75150000000, "70 GB"}, // an earlier version of the operations page showed 71668.4 MB
		{GB*3/2 + 1, "1.5 GB"}, {2 * TB, "2 TB"}, {math.MaxInt64, "8 EB"},
	} {
		if got := size.Text(c.bytes); got != c.want {
			t.Errorf("%d bytes are %q, want %q", c.bytes, got, c.want)
		}
	}
}

// No size has more than three digits or a 0 after the decimal point.
func TestTextIsShort(t *testing.T) {
	t.Parallel()
	short := regexp.MustCompile(`^(\d{1,3}|\d{1,2}\.[1-9]) (bytes?|[kMGTPE]B)$`)
	for n := int64(1); n > 0 && n < math.MaxInt64/3; n += n/7 + 1 {
		for _, one := range []int64{n - 1, n, n + 1} {
			if got := size.Text(one); !short.MatchString(got) {
				t.Fatalf("%d bytes are %q", one, got)
			}
		}
	}
}
