// The page of a draft: what is typed saves itself, buttons act where one is, files are
// uploaded as soon as they are chosen or dropped. Without this the same form, sent by
// the same buttons, does the same.
const form = document.getElementById('draft')
const parts = (name) => form.querySelector(`[data-part="${name}"]`)
const path = new URL(form.action).pathname

// Requests go one after the other, so that each knows what the one before it saved.
let queue = Promise.resolve()
let waiting = 0
function inTurn (task) {
  waiting++
  const done = queue.then(task).finally(() => { waiting-- })
  queue = done.catch(() => {})
  return done
}

// What is typed and not saved yet, since when, and what is to save it.
let unsaved = 0
let timer
let leaving = false

form.addEventListener('input', (event) => {
  if (event.target.type === 'search' || event.target.type === 'file') return
  unsaved ||= Date.now()
  saveIn(Date.now() - unsaved > 10_000 ? 0 : 1000)
})

function saveIn (delay) {
  clearTimeout(timer)
  timer = setTimeout(() => save().then(tellKept), delay)
}

// tellKept says that the server was asked for something, which prolongs the session.
function tellKept (saved) {
  if (saved) document.dispatchEvent(new CustomEvent('postern:kept'))
}

// save saves what was typed, if anything was. While another tab's version is in the
// way, only its button saves.
function save () {
  clearTimeout(timer)
  return inTurn(() => unsaved && !parts('status').querySelector('.app-conflict') ? post() : null)
}

// post sends the form, by a button or by itself, and shows what became of it.
async function post (button) {
  const since = unsaved
  const data = new FormData(form)
  if (button?.name) data.append(button.name, button.value) // it may be off the page by now
  data.delete('file')
  if (!button) ['find-user', 'find-staff'].forEach((name) => data.delete(name))
  const body = new URLSearchParams(data)
  unsaved = 0
  let answer
  try {
    answer = await fetch(form.action, { method: 'POST', body, headers: { 'HX-Request': 'true' }, keepalive: `${body}`.length < 60_000 })
  } catch {
    return failed(since, 'Not saved: there is no connection. What you typed is still here, and is saved as soon as there is one.')
  }
  if (await show(answer.status, answer.headers.get('HX-Redirect'), await answer.text(), data)) return true
  unsaved ||= since
  return false
}

// While the mouse or a finger is down the page stays as it is: a button that is replaced
// between press and release is not clicked. A release outside of the window is not told.
const longestPress = 2000 // ms
let released = Promise.resolve()
form.addEventListener('pointerdown', () => {
  released = new Promise((resolve) => {
    setTimeout(resolve, longestPress)
    for (const end of ['pointerup', 'pointercancel']) window.addEventListener(end, () => setTimeout(resolve), { once: true }) // the click comes first
  })
})

// show puts the parts of the page that an answer to data brings in place, and says
// whether it was saved.
async function show (status, redirect, html, data = new FormData()) {
  if (redirect) {
    return failed(Date.now(), 'Not saved: you have been signed out. What you typed is still here. ', '/sign-in', 'Sign in in another tab', ', then come back and press Save draft.')
  }
  if (!html.includes('data-part=')) {
    return failed(Date.now(), `Not saved. ${html.trim().slice(0, 300)}`, '', '', '', status >= 500)
  }
  const fresh = document.createElement('template')
  fresh.innerHTML = html
  await released
  for (const part of fresh.content.querySelectorAll('[data-part]')) {
    const old = parts(part.dataset.part)
    if (part.dataset.part.startsWith('found-') && data.get(old.dataset.asks) !== form.elements[old.dataset.asks].value) continue // found by other words than are there now
    // What is the same is left alone: it is not read aloud again.
    if (old && old.innerHTML !== part.innerHTML) old.replaceChildren(...part.childNodes)
  }
  showCounts()
  const wrong = fresh.content.querySelector('[data-errors]')
  if (wrong && status !== 409) parts('status').append(wrong)
  if (status === 409) return false
  if (location.pathname !== path) history.replaceState(null, '', path)
  form.querySelector('[data-saved]')?.removeAttribute('hidden')
  return true
}

function failed (since, text, href, link, rest, again = true) {
  unsaved ||= since || Date.now()
  const said = document.createElement('p')
  said.className = 'govuk-error-message'
  said.append(text)
  if (href) {
    const a = Object.assign(document.createElement('a'), { href, target: '_blank', rel: 'noopener', className: 'govuk-link', textContent: link })
    said.append(a, rest)
  } else if (again) saveIn(10_000)
  if (parts('status').textContent !== said.textContent) parts('status').replaceChildren(said)
  return false
}

// A button acts, and the keyboard stays where it was, or comes to what is next to it.
async function act (button) {
  const part = button?.closest('[data-part]')
  const place = part ? [...part.querySelectorAll('button')].indexOf(button) : -1
  const what = button?.textContent.replace('×', '').trim()
  if (button?.hasAttribute('data-overwrites')) clearTimeout(timer)
  const saved = await inTurn(() => post(button))
  tellKept(saved)
  if (!part || part.dataset.part === 'status') return
  if (saved) say(what.replace(/^Add\b/, 'Added').replace(/^Remove\b/, 'Removed'))
  if (document.activeElement !== document.body) return // its place is still there, or its owner has gone on to another
  const left = part.querySelectorAll('button')
  const next = left[Math.min(place, left.length - 1)] ?? document.getElementById(part.dataset.asks) ?? part.closest('[tabindex="-1"]')
  next.focus()
}

const heard = document.createElement('div')
heard.className = 'govuk-visually-hidden'
heard.setAttribute('role', 'status')
form.append(heard)
function say (text) { heard.textContent = text }

form.addEventListener('submit', async (event) => {
  const button = event.submitter
  if (button?.hasAttribute('data-leaves')) {
    if (!waiting) { leaving = true; return }
    event.preventDefault()
    say('Waiting until everything is uploaded and saved.')
    await queue
    return form.requestSubmit(button)
  }
  event.preventDefault()
  act(button)
})

form.addEventListener('click', (event) => { if (event.target.closest('[data-reload]')) leaving = true })
form.addEventListener('keydown', (event) => {
  const chip = event.target.closest('.app-chip__remove')
  if (chip && (event.key === 'Delete' || event.key === 'Backspace')) { event.preventDefault(); chip.click() }
})

// The session may be about to end; the page may be left; the connection may be back.
document.addEventListener('postern:saving', (event) => event.detail.waitFor(save()))
document.addEventListener('visibilitychange', () => { if (document.hidden) save() })
window.addEventListener('online', save)
window.addEventListener('pageshow', () => { leaving = false })
window.addEventListener('beforeunload', (event) => { if ((unsaved || waiting) && !leaving) event.preventDefault() })

// The groups are counted when one first looks at them.
const counts = new Map()
const adding = document.getElementById('add-recipients')
adding.addEventListener('toggle', count)
if (adding.open) count()

function count () {
  if (!adding.open) return
  for (const { dataset: { countGroup: url } } of form.querySelectorAll('[data-count-group]')) {
    if (counts.has(url)) continue
    counts.set(url, 'Counting…')
    fetch(url, { headers: { 'HX-Request': 'true' } })
      .then((answer) => answer.ok && !answer.headers.get('HX-Redirect') ? answer.text() : Promise.reject(answer))
      .then((text) => counts.set(url, text.trim()), () => counts.delete(url))
      .then(showCounts)
  }
  showCounts()
}

function showCounts () {
  for (const one of form.querySelectorAll('[data-count-group]')) {
    one.textContent = counts.get(one.dataset.countGroup) ?? 'Not counted. You’ll see the number before you send.'
  }
}

// The date and time are asked for from those who want one.
const later = document.getElementById('when-later')
const sendAt = document.getElementById('send-at')
const choose = () => { sendAt.hidden = !later.checked }
form.querySelector('[data-when]').addEventListener('change', choose)
choose()

// Files: each has a line of its own until it is in the list of documents, or for as
// long as one must read why it is not.
const field = document.getElementById('file')
const drop = form.querySelector('[data-drop]')
const uploads = form.querySelector('[data-uploads]')
form.querySelector('[data-upload-button]').hidden = true
form.querySelector('[data-drop-hint]').hidden = false

field.addEventListener('change', () => {
  const chosen = [...field.files]
  field.value = ''
  chosen.forEach(add)
})
const withFiles = (event) => event.dataTransfer?.types.includes('Files')
window.addEventListener('dragover', (event) => {
  if (!withFiles(event)) return
  event.preventDefault() // missed, it would open in place of the page
  drop.classList.toggle('app-drop--over', drop.contains(event.target))
})
window.addEventListener('dragleave', (event) => { if (!event.relatedTarget) drop.classList.remove('app-drop--over') })
window.addEventListener('drop', (event) => {
  if (!withFiles(event)) return
  event.preventDefault()
  drop.classList.remove('app-drop--over')
  if (drop.contains(event.target)) [...event.dataTransfer.files].forEach(add)
})

function add (file) {
  const row = document.createElement('li')
  row.className = 'app-file'
  uploads.append(row)
  uploads.hidden = false
  const why = refusal(file)
  if (why) return refuse(row, file, `“${file.name}” was not added: ${why}.`)
  const bar = Object.assign(document.createElement('progress'), { className: 'app-bar', max: 100, value: 0 })
  bar.setAttribute('aria-label', `Upload of ${file.name}`)
  const said = Object.assign(document.createElement('span'), { className: 'app-file__state', textContent: 'Waiting for the one before' })
  row.replaceChildren(name(file), bar, said)
  inTurn(() => upload(file, row, bar, said))
}

// refusal says why a file need not be sent at all. The server looks again, and closer.
function refusal (file) {
  if (file.size > Number(form.dataset.mostSize)) return `it is larger than ${form.dataset.most}. Choose a smaller file, or split it`
  if (file.size === 0) return 'it is empty'
  const known = form.dataset.extensions.split(',')
  return known.some((ending) => file.name.toLowerCase().endsWith(ending)) ? '' : 'files of that type can’t be sent'
}

function name (file) {
  return Object.assign(document.createElement('span'), { className: 'app-file__name', dir: 'auto', textContent: file.name })
}

function upload (file, row, bar, said) {
  return new Promise((resolve) => {
    const data = new FormData()
    for (const one of ['version', 'page']) data.append(one, form.elements[one].value)
    data.append('do', 'attach')
    data.append('file', file)
    const request = new XMLHttpRequest()
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = Math.floor(loaded / total * 100)
      said.textContent = loaded < total ? `${bar.value} % uploaded` : 'Being checked'
    }
    request.onerror = () => {
      refuse(row, file, `“${file.name}” did not arrive: there is no connection.`)
      resolve()
    }
    request.onload = async () => {
      const kept = await show(request.status, request.getResponseHeader('HX-Redirect'), request.responseText)
      const why = parts('status').querySelector('[data-errors] [data-field="file"]')
      parts('status').querySelector('[data-errors]')?.remove()
      if (why) refuse(row, file, why.textContent)
      else if (!kept) refuse(row, file, `“${file.name}” was not added.`)
      else {
        row.remove()
        uploads.hidden = !uploads.children.length
        say(`${file.name} is added.`)
        tellKept(kept)
      }
      resolve()
    }
    request.open('POST', form.action)
    request.setRequestHeader('HX-Request', 'true')
    request.send(data)
  })
}

function refuse (row, file, text) {
  const said = Object.assign(document.createElement('span'), { className: 'app-file__name govuk-error-message', dir: 'auto', textContent: text })
  const dismiss = Object.assign(document.createElement('button'), { type: 'button', className: 'app-link-button', textContent: 'Dismiss' })
  dismiss.append(Object.assign(document.createElement('span'), { className: 'govuk-visually-hidden', textContent: ` ${file.name}` }))
  dismiss.addEventListener('click', () => {
    row.remove()
    uploads.hidden = !uploads.children.length
    field.focus()
  })
  row.replaceChildren(said, dismiss)
}
