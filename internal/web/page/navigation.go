package page

import "postern/internal/web/navigation"

// Menu is the menu of a section, on its page with the address current.
func (f Frame) Menu(section navigation.Section, current string) []navigation.Item {
	return navigation.Menu(*f.Me, f.L, section, current)
}
