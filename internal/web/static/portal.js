// The script of all portal pages. They also work without it. It is small, because slow
// phones load it.
import { focusErrors, sendOnce } from './forms.js'
import { watchSession } from './session.js'

focusErrors()
sendOnce()
watchSession()
