package language

import (
	"strconv"
	"strings"
)

// Decimal writes a number with one digit after the decimal point: "1.5", "1,5".
func (l Language) Decimal(x float64) string {
	text := strconv.FormatFloat(x, 'f', 1, 64)
	if s, ok := shapes[l]; ok {
		return strings.Replace(text, ".", s.decimal, 1)
	}
	return text
}
