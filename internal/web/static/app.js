// The script of all staff pages. They also work without it.
import { keepFocus } from './focus.js'
import { focusErrors, sendOnce, countCharacters } from './forms.js'
import { closeMenus } from './menus.js'
import { searchByKeyboard } from './search.js'
import { watchSession } from './session.js'

focusErrors()
sendOnce()
countCharacters()
closeMenus()
searchByKeyboard()
watchSession()
keepFocus()
