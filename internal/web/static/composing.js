// The page of a draft: saves typed text automatically, posts buttons without leaving the
// page, and uploads files as soon as they are chosen or dropped. Without the script, the
// same form with the same buttons does the same.
import { around, fill, texts } from './words.js'

const form = document.getElementById('draft')
const parts = (name) => form.querySelector(`[data-part="${name}"]`)
const path = new URL(form.action).pathname

// Requests run one after the other, so that each sends the version that the one before
// it has saved.
let queue = Promise.resolve()
let queued = 0
function enqueue (task) {
  queued++
  const done = queue.then(task).finally(() => { queued-- })
  queue = done.catch(() => {})
  return done
}

let unsavedSince = 0 // when the oldest unsaved input was typed, in ms; 0: everything is saved
let timer // of the next automatic save
let leaving = false // the reader leaves the page on purpose

form.addEventListener('input', (event) => {
  if (event.target.type === 'search' || event.target.type === 'file') return
  unsavedSince ||= Date.now()
  saveIn(Date.now() - unsavedSince > 10_000 ? 0 : 1000)
})

function saveIn (delay) {
  clearTimeout(timer)
  timer = setTimeout(() => save().then(sessionKept), delay)
}

// sessionKept tells other scripts that a request was answered, which prolongs the session.
function sessionKept (saved) {
  if (saved) document.dispatchEvent(new CustomEvent('postern:kept'))
}

// save saves unsaved input. During a conflict with another tab's version, only the
// conflict's own button saves. A button that leaves the page takes the input along: saved
// again after it, the input would undo what the button did.
function save () {
  clearTimeout(timer)
  return enqueue(() => unsavedSince && !leaving && !parts('status').querySelector('.app-conflict') ? post() : null)
}

// post sends the form, for a button or as an automatic save, and shows the result. It
// returns whether the draft was saved.
async function post (button) {
  const since = unsavedSince
  const data = new FormData(form)
  if (button?.name) data.append(button.name, button.value) // the button may no longer be on the page
  data.delete('file')
  if (!button) ['find-user', 'find-staff'].forEach((name) => data.delete(name))
  const body = new URLSearchParams(data)
  unsavedSince = 0
  let answer
  try {
    answer = await fetch(form.action, { method: 'POST', body, headers: { 'HX-Request': 'true' }, keepalive: `${body}`.length < 60_000 })
  } catch {
    return failed(since, texts.offline)
  }
  if (await show(answer.status, answer.headers.get('HX-Redirect'), await answer.text(), data)) return true
  unsavedSince ||= since
  return false
}

// While the mouse button or a finger is down, the page does not change: if a button is
// replaced between press and release, browsers report no click. They report no release
// outside the window, so the wait has a limit.
const longestPress = 2000 // ms
let released = Promise.resolve()
form.addEventListener('pointerdown', () => {
  released = new Promise((resolve) => {
    setTimeout(resolve, longestPress)
    for (const end of ['pointerup', 'pointercancel']) window.addEventListener(end, () => setTimeout(resolve), { once: true }) // after the click event
  })
})

// show replaces the parts of the page that the answer to data contains, and returns
// whether the draft was saved.
async function show (status, redirect, html, data = new FormData()) {
  if (redirect) {
    return failed(Date.now(), texts.signedOut, '/sign-in')
  }
  if (!html.includes('data-part=')) {
    return failed(Date.now(), fill(texts.refused, { reason: html.trim().slice(0, 300) }), '', status >= 500)
  }
  const fresh = document.createElement('template')
  fresh.innerHTML = html
  await released
  for (const part of fresh.content.querySelectorAll('[data-part]')) {
    const old = parts(part.dataset.part)
    if (part.dataset.part.startsWith('found-') && data.get(old.dataset.asks) !== form.elements[old.dataset.asks].value) continue // results of an outdated query
    if (part.dataset.part === 'which-time' && old?.contains(document.activeElement)) continue // the choice that is being made
    // Unchanged parts stay, so that screen readers don't read them again.
    if (old && old.innerHTML !== part.innerHTML) old.replaceChildren(...part.childNodes)
  }
  showCounts()
  const errors = fresh.content.querySelector('[data-errors]')
  if (errors && status !== 409) parts('status').append(errors)
  if (status === 409) return false
  if (location.pathname !== path) history.replaceState(null, '', path)
  form.querySelector('[data-saved]')?.removeAttribute('hidden')
  return true
}

// failed shows why the draft was not saved. It schedules a retry unless the reader has to
// act first: by the link, if there is one, or if again is false. It returns false.
function failed (since, text, href, again = true) {
  unsavedSince ||= since || Date.now()
  const message = document.createElement('p')
  message.className = 'govuk-error-message'
  if (href) {
    const [before, link, after] = around(text, 'a')
    message.append(before, Object.assign(document.createElement('a'), { href, target: '_blank', rel: 'noopener', className: 'govuk-link', textContent: link }), after)
  } else {
    message.append(text)
    if (again) saveIn(10_000)
  }
  if (parts('status').textContent !== message.textContent) parts('status').replaceChildren(message)
  return false
}

// act posts the form for a button. If the button disappears, the focus moves to the one
// next to it.
async function act (button) {
  const part = button?.closest('[data-part]')
  const place = part ? [...part.querySelectorAll('button')].indexOf(button) : -1
  const label = button?.textContent.replace('×', '').trim()
  if (button?.hasAttribute('data-overwrites')) clearTimeout(timer)
  const saved = await enqueue(() => post(button))
  sessionKept(saved)
  if (!part || part.dataset.part === 'status') return
  if (saved) announce(done(button.value, label))
  if (document.activeElement !== document.body) return // the button is still there, or the reader has moved the focus
  const left = part.querySelectorAll('button')
  const next = left[Math.min(place, left.length - 1)] ?? document.getElementById(part.dataset.asks) ?? part.closest('[tabindex="-1"]')
  next.focus()
}

// done says what a button with a value and a label has done. The label is a verb and a name.
function done (value, label) {
  const name = label.replace(/^\S+\s/, '')
  if (value.startsWith('add')) return fill(texts.added, { name })
  return value.startsWith('remove') ? fill(texts.removed, { name }) : label
}

const announcements = document.createElement('div')
announcements.className = 'govuk-visually-hidden'
announcements.setAttribute('role', 'status')
form.append(announcements)
// announce has screen readers read text aloud.
function announce (text) { announcements.textContent = text }

form.addEventListener('submit', async (event) => {
  const button = event.submitter
  if (button?.hasAttribute('data-leaves')) {
    if (!queued) { leaving = true; return }
    event.preventDefault()
    announce(texts.waiting)
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

// Save before the session ends, when the page is hidden, and when the connection is back.
document.addEventListener('postern:saving', (event) => event.detail.waitFor(save()))
document.addEventListener('visibilitychange', () => { if (document.hidden) save() })
window.addEventListener('online', save)
window.addEventListener('pageshow', () => { leaving = false })
window.addEventListener('beforeunload', (event) => { if ((unsavedSince || queued) && !leaving) event.preventDefault() })

// The groups are counted when the reader first opens the list.
const counts = new Map()
const adding = document.getElementById('add-recipients')
adding.addEventListener('toggle', count)
if (adding.open) count()

function count () {
  if (!adding.open) return
  for (const { dataset: { countGroup: url } } of form.querySelectorAll('[data-count-group]')) {
    if (counts.has(url)) continue
    counts.set(url, texts.counting)
    fetch(url, { headers: { 'HX-Request': 'true' } })
      .then((answer) => answer.ok && !answer.headers.get('HX-Redirect') ? answer.text() : Promise.reject(answer))
      .then((text) => counts.set(url, text.trim()), () => counts.delete(url))
      .then(showCounts)
  }
  showCounts()
}

function showCounts () {
  for (const one of form.querySelectorAll('[data-count-group]')) {
    one.textContent = counts.get(one.dataset.countGroup) ?? texts.notCounted
  }
}

// The fields for date and time show only for “Send at a date and time”.
const later = document.getElementById('when-later')
const sendAt = document.getElementById('send-at')
const choose = () => { sendAt.hidden = !later.checked }
form.querySelector('[data-when]').addEventListener('change', choose)
choose()

// Files: each has its own line until it is in the list of documents. If it is refused, the
// line with the reason stays until the reader dismisses it.
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
  event.preventDefault() // else the browser opens a file that is dropped beside the field
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
  if (why) return refuse(row, file, why)
  const bar = Object.assign(document.createElement('progress'), { className: 'app-bar', max: 100, value: 0 })
  bar.setAttribute('aria-label', fill(texts.fileBar, file))
  const state = Object.assign(document.createElement('span'), { className: 'app-file__state', textContent: texts.fileWaits })
  row.replaceChildren(name(file), bar, state)
  enqueue(() => upload(file, row, bar, state))
}

// refusal says why a file can't be attached, '' if the browser sees no reason. The
// server checks again, more closely.
function refusal (file) {
  const { name } = file
  if (file.size > Number(form.dataset.mostSize)) return fill(texts.fileLarge, { name, size: form.dataset.most })
  if (file.size === 0) return fill(texts.fileEmpty, { name })
  const known = form.dataset.extensions.split(',')
  return known.some((ending) => name.toLowerCase().endsWith(ending)) ? '' : fill(texts.fileType, { name })
}

function name (file) {
  return Object.assign(document.createElement('span'), { className: 'app-file__name', dir: 'auto', textContent: file.name })
}

function upload (file, row, bar, state) {
  return new Promise((resolve) => {
    const data = new FormData()
    for (const one of ['version', 'page']) data.append(one, form.elements[one].value)
    data.append('do', 'attach')
    data.append('file', file)
    const request = new XMLHttpRequest()
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = Math.floor(loaded / total * 100)
      state.textContent = loaded < total ? fill(texts.fileSent, { percent: bar.value }) : texts.fileChecked
    }
    request.onerror = () => {
      refuse(row, file, fill(texts.fileOffline, file))
      resolve()
    }
    request.onload = async () => {
      const kept = await show(request.status, request.getResponseHeader('HX-Redirect'), request.responseText)
      const why = parts('status').querySelector('[data-errors] [data-field="file"]')
      parts('status').querySelector('[data-errors]')?.remove()
      if (why) refuse(row, file, why.textContent)
      else if (!kept) refuse(row, file, fill(texts.fileRefused, file))
      else {
        row.remove()
        uploads.hidden = !uploads.children.length
        announce(fill(texts.fileAdded, file))
        sessionKept(kept)
      }
      resolve()
    }
    request.open('POST', form.action)
    request.setRequestHeader('HX-Request', 'true')
    request.send(data)
  })
}

// refuse shows in the file's line why the file was not added.
function refuse (row, file, text) {
  const message = Object.assign(document.createElement('span'), { className: 'app-file__name govuk-error-message', dir: 'auto', textContent: text })
  const dismiss = Object.assign(document.createElement('button'), { type: 'button', className: 'app-link-button' })
  const [before, hidden, after] = around(texts.dismiss, 'hidden')
  dismiss.append(before, Object.assign(document.createElement('span'), { className: 'govuk-visually-hidden', textContent: fill(hidden, file) }), after)
  dismiss.addEventListener('click', () => {
    row.remove()
    uploads.hidden = !uploads.children.length
    field.focus()
  })
  row.replaceChildren(message, dismiss)
}
