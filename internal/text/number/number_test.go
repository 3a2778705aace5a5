package number_test

import (
	"testing"

	"postern/internal/text/number"
)

func TestText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 7: "7", -7: "-7", 999: "999", -999: "-999", 1000: "1,000", -1000: "-1,000",
		123456: "123,456", 1204331: "1,204,331", -1204331: "-1,204,331"} {
		if got := number.Text(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 files", 1: "1 file", 2: "2 files", 1000: "1,000 files"} {
		if got := number.Of(n, "file", "files"); got != want {
			t.Errorf("%d files are %q, want %q", n, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		part, whole int
		want        string
	}{{0, 0, "0%"}, {0, 9, "0%"}, {1, 1000, "1%"}, {61, 100, "61%"}, {999, 1000, "99%"}, {9, 9, "100%"}, {10, 9, "100%"}} {
		if got := number.Percent(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d is %q, want %q", c.part, c.whole, got, c.want)
		}
	}
}
