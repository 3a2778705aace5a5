// Package agent names browsers, so that people recognise their own. It does no I/O.
package agent

import "strings"

// browsers and systems are the names of browsers and systems, by a part of the header
// User-Agent. The first part that occurs counts: most browsers also claim to be others.
var (
	browsers = []struct{ part, name string }{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"},
		{"OPR/", "Opera"}, {"OPT/", "Opera"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"Chrome/", "Chrome"}, {"CriOS/", "Chrome"},
		{"Safari/", "Safari"},
		{"curl/", "curl"},
	}
	systems = []struct{ part, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"},
		{"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

// Name names the browser and the system of a header User-Agent: "Firefox on Linux". It is the
// browser alone if the system is not known, and "" if the browser is not known. No other text of
// the header is in it.
func Name(userAgent string) string {
	for _, browser := range browsers {
		if !strings.Contains(userAgent, browser.part) {
			continue
		}
		for _, system := range systems {
			if strings.Contains(userAgent, system.part) {
				return browser.name + " on " + system.name
			}
		}
		return browser.name
	}
	return ""
}
