// watchSession says two minutes before that one is about to be signed out, and at the
// end does it. The server ends the session all the same; this only never lets it come
// as a surprise.
//
// Other scripts take part by events on document: they send postern:kept when they asked
// the server for something, which prolongs the session; and they hear postern:saving
// when it may be about to end, and give what they do then to event.detail.waitFor.
export function watchSession () {
  const { sessionExpiresIn, sessionMost, sessionWarn, sessionKeep, sessionOver } = document.body.dataset
  const dialog = document.getElementById('session-warning')
  if (!sessionExpiresIn || !dialog) return
  const whole = Number(sessionExpiresIn) * 1000
  const warning = Number(sessionWarn) * 1000
  const enough = 3000 // to save and to sign out
  const last = Date.now() + Number(sessionMost) * 1000 // whatever one does till then
  const remaining = dialog.querySelector('[data-session-remaining]')
  const stay = dialog.querySelector('[data-session-stay]')
  const tabs = new BroadcastChannel(sessionKeep) // the others have the same session
  let end, timer
  let toTheLast = false // told that nothing prolongs it, and went on

  const prolong = (left, tell = true) => {
    end = Math.min(Date.now() + left, last)
    if (tell) tabs.postMessage(left)
    if (dialog.open) dialog.close()
    look()
  }

  const look = () => {
    clearTimeout(timer)
    const left = end - Date.now()
    if (left <= enough) return over()
    if (left <= warning && !toTheLast) warn(left)
    timer = setTimeout(look, left > warning ? left - warning : Math.min(1000, left - enough))
  }

  const warn = (left) => {
    if (!dialog.open) {
      save()
      dialog.showModal()
    }
    const final = end === last
    stay.textContent = final ? 'Go on until then' : 'Stay signed in'
    const text = `You will be signed out in ${words(left)}${final ? ', because you have been signed in for long. Sign in again then' : ''}.`
    if (remaining.textContent !== text) remaining.textContent = text
  }

  const over = async () => {
    tabs.close()
    await Promise.race([save(), new Promise((resolve) => setTimeout(resolve, enough))])
    await signOut().catch(() => {})
    location.assign(sessionOver)
  }

  const keep = async () => {
    if (end === last) {
      toTheLast = true
      return dialog.close()
    }
    const answer = await fetch(sessionKeep, { method: 'POST' }).catch(() => null)
    if (!answer?.ok) return location.assign(sessionOver)
    prolong((await answer.json()).expires_in * 1000)
  }

  stay.addEventListener('click', keep)
  dialog.addEventListener('cancel', (event) => { event.preventDefault(); keep() })
  document.addEventListener('postern:kept', () => prolong(whole))
  document.addEventListener('htmx:afterRequest', (event) => { // one that somebody caused, and no clock
    if (event.detail.successful && event.detail.requestConfig.triggeringEvent) prolong(whole)
  })
  document.addEventListener('htmx:configRequest', (event) => { // the server does not count a clock's either
    if (!event.detail.triggeringEvent) event.detail.headers['Postern-Unattended'] = 'true'
  })
  document.addEventListener('visibilitychange', look) // a machine that slept missed the timer
  tabs.addEventListener('message', (event) => prolong(event.data, false))
  prolong(whole)
}

// save lets everybody save what they have, and waits for them.
function save () {
  const saving = []
  document.dispatchEvent(new CustomEvent('postern:saving', { detail: { waitFor: (promise) => saving.push(promise) } }))
  return Promise.allSettled(saving)
}

function signOut () {
  return fetch(document.querySelector('[data-sign-out]').action, { method: 'POST', redirect: 'manual' })
}

// words changes seldom, as it is read aloud at each change.
function words (left) {
  const seconds = Math.ceil(left / 1000)
  if (seconds > 60) return `${Math.ceil(seconds / 60)} minutes`
  const rough = [60, 30, 20, 10].filter((step) => step >= seconds).pop()
  return rough === 60 ? 'a minute' : `${rough} seconds`
}
