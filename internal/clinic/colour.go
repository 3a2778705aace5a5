package clinic

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// leastContrast is the contrast that text needs: WCAG 2.2, success criterion 1.4.3.
const leastContrast = 4.5

// ground is the darkest ground of the portal on which links are, by day: --app-accent-soft in
// assets/scss/_colours.scss. White, the text of buttons, is lighter.
const ground = "#e6f1f2"

var hexColour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// colourFault says what is wrong with a colour; "" if nothing is.
func colourFault(text string) string {
	if !hexColour.MatchString(text) {
		return "must be # and six digits from 0 to 9 and a to f, such as #0a5c66"
	}
	if c := (luminance(ground) + 0.05) / (luminance(text) + 0.05); c < leastContrast {
		return fmt.Sprintf("is too light: a link in it has a contrast of %.1f to 1, and needs 4.5 to 1. Choose a darker colour", math.Floor(max(c, 1)*10)/10)
	}
	return ""
}

// channels returns red, green and blue, from 0 to 255.
func channels(colour string) (rgb [3]float64) {
	n, _ := strconv.ParseUint(colour[1:], 16, 32) // it matches hexColour
	for i := range rgb {
		rgb[i] = float64(n >> (8 * (2 - i)) & 0xff)
	}
	return rgb
}

// luminance is the relative luminance of a colour:
// https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
func luminance(colour string) (sum float64) {
	for i, c := range channels(colour) {
		c /= 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += c * [3]float64{0.2126, 0.7152, 0.0722}[i]
	}
	return sum
}

// Darker returns a colour with two thirds of the light, for a button under the pointer.
func Darker(colour string) string {
	rgb := channels(colour)
	return fmt.Sprintf("#%02x%02x%02x", int(rgb[0]*2/3), int(rgb[1]*2/3), int(rgb[2]*2/3))
}
