// What the pages of portal users do besides what they do without it. It is little, as
// a slow phone has to read it.
import { focusErrors, sendOnce } from './forms.js'
import { watchSession } from './session.js'

focusErrors()
sendOnce()
watchSession()
