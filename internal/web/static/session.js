import { formOf } from './words.js'

// watchSession warns the reader two minutes before the session ends, and signs out at
// the end. The server ends the session in any case; this script makes sure that the
// reader knows before.
//
// Other scripts take part by events on document. They send postern:kept after a request
// that prolongs the session. They receive postern:saving when the session may be about
// to end, and pass the promise of their save to event.detail.waitFor.
export function watchSession () {
  const { sessionExpiresIn, sessionMost, sessionWarn, sessionKeep, sessionOver } = document.body.dataset
  const dialog = document.getElementById('session-warning')
  if (!sessionExpiresIn || !dialog) return
  const whole = Number(sessionExpiresIn) * 1000
  const warning = Number(sessionWarn) * 1000
  const saveTimeout = 3000 // ms to save and to sign out
  const last = Date.now() + Number(sessionMost) * 1000 // the session can't be prolonged beyond this
  const remaining = dialog.querySelector('[data-session-remaining]')
  const stay = dialog.querySelector('[data-session-stay]')
  const stayText = stay.textContent
  const tabs = new BroadcastChannel(sessionKeep) // other tabs have the same session
  let end, timer
  let finalWarningRead = false // the reader knows that the session can't be prolonged

  const prolong = (left, broadcast = true) => {
    end = Math.min(Date.now() + left, last)
    if (broadcast) tabs.postMessage(left)
    if (dialog.open) dialog.close()
    check()
  }

  // check warns or signs out, depending on the time left, and schedules the next check.
  const check = () => {
    clearTimeout(timer)
    const left = end - Date.now()
    if (left <= saveTimeout) return endSession()
    if (left <= warning && !finalWarningRead) warn(left)
    timer = setTimeout(check, left > warning ? left - warning : Math.min(1000, left - saveTimeout))
  }

  const warn = (left) => {
    if (!dialog.open) {
      save()
      dialog.showModal()
    }
    const final = end === last
    stay.textContent = final ? stay.dataset.sessionUntil : stayText
    const text = timeText(left, remaining.dataset) + (final ? ' ' + remaining.dataset.final : '')
    if (remaining.textContent !== text) remaining.textContent = text
  }

  const endSession = async () => {
    tabs.close()
    await Promise.race([save(), new Promise((resolve) => setTimeout(resolve, saveTimeout))])
    await signOut().catch(() => {})
    location.assign(sessionOver)
  }

  const keep = async () => {
    if (end === last) {
      finalWarningRead = true
      return dialog.close()
    }
    const answer = await fetch(sessionKeep, { method: 'POST' }).catch(() => null)
    if (!answer?.ok) return location.assign(sessionOver)
    prolong((await answer.json()).expires_in * 1000)
  }

  stay.addEventListener('click', keep)
  dialog.addEventListener('cancel', (event) => { event.preventDefault(); keep() })
  document.addEventListener('postern:kept', () => prolong(whole))
  document.addEventListener('htmx:afterRequest', (event) => { // only a request that the reader caused; a timer's does not prolong the session
    if (event.detail.successful && event.detail.requestConfig.triggeringEvent) prolong(whole)
  })
  document.addEventListener('htmx:configRequest', (event) => { // tells the server that a timer caused the request
    if (!event.detail.triggeringEvent) event.detail.headers['Postern-Unattended'] = 'true'
  })
  document.addEventListener('visibilitychange', check) // timers don't run while the machine sleeps
  tabs.addEventListener('message', (event) => prolong(event.data, false))
  prolong(whole)
}

// save asks all scripts to save, and waits for them.
function save () {
  const saving = []
  document.dispatchEvent(new CustomEvent('postern:saving', { detail: { waitFor: (promise) => saving.push(promise) } }))
  return Promise.allSettled(saving)
}

function signOut () {
  return fetch(document.querySelector('[data-sign-out]').action, { method: 'POST', redirect: 'manual' })
}

// timeText says how much time is left, in the words of the page. It changes rarely, because screen
// readers read each change aloud.
function timeText (left, words) {
  const seconds = Math.ceil(left / 1000)
  if (seconds > 60) return formOf(words.minutes, Math.ceil(seconds / 60))
  const rough = [60, 30, 20, 10].filter((step) => step >= seconds).pop()
  return rough === 60 ? words.minute : formOf(words.seconds, rough)
}
