package page

import "postern/internal/navigation"

// Menu returns the menu of a section, for the page with the address current.
func (f Frame) Menu(section navigation.Section, current string) []navigation.Item {
	return navigation.Menu(*f.Me, f.L, section, current)
}
