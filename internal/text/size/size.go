// Package size formats sizes in bytes for people. It does no I/O.
package size

import "strconv"

// units are the names of 1024, 1024², … bytes. A MB has 1,048,576 bytes, as in the
// limit of a document.
var units = []string{"kB", "MB", "GB", "TB", "PB", "EB"}

// Text formats a size with at most three digits, in the unit that keeps it below 1,000:
// "812 bytes", "34 kB", "1.2 MB", "70 GB". A negative size is "0 bytes".
func Text(bytes int64) string {
	switch {
	case bytes == 1:
		return "1 byte"
	case bytes < 1000:
		return strconv.FormatInt(max(bytes, 0), 10) + " bytes"
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 999.5 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 || value >= 99.95 {
		return strconv.FormatFloat(max(value, 1), 'f', 0, 64) + " " + units[unit]
	}
	tenths := int64(value*10 + 0.5)
	if tenths%10 == 0 {
		return strconv.FormatInt(tenths/10, 10) + " " + units[unit]
	}
	return strconv.FormatInt(tenths/10, 10) + "." + strconv.FormatInt(tenths%10, 10) + " " + units[unit]
}
