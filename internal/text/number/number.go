// Package number writes numbers in texts for people. It does no I/O.
package number

import "strconv"

// Text writes a number with its thousands apart: "1,204,331".
func Text(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Of counts things: "1 file", "0 files", "1,000 files".
func Of(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Text(n) + " " + many
}

// Percent is how much of the whole a part is: "61%". It is 100% only of all, and 0% only of
// nothing.
func Percent(part, whole int) string {
	n := 0
	switch {
	case whole <= 0 || part <= 0:
	case part >= whole:
		n = 100
	default:
		n = min(max(part*100/whole, 1), 99)
	}
	return strconv.Itoa(n) + "%"
}
