// Custom Labels: shows an example that follows the typed words. Import: shows the
// progress of an upload, and refuses files that are too large before it starts. Both
// pages also work without this script.
import { focusErrors } from './forms.js'
import { sizeText } from './size.js'
import { fill, formOf, texts } from './words.js'

const form = document.querySelector('form[data-labels]')
const upload = document.querySelector('form[data-upload]')
if (form) showHowItReads(form)
if (upload) watchUpload(upload)

// showHowItReads copies each field into the example. A preset fills in its words here;
// without the script the server would send the page again.
function showHowItReads (form) {
  const show = (field) => {
    for (const part of document.querySelectorAll(`[data-reads="${field.id}"]`)) part.textContent = field.value.trim() || '…'
  }
  form.addEventListener('input', (event) => show(event.target))
  document.querySelector('form[data-presets]')?.addEventListener('submit', (event) => {
    const preset = event.submitter?.dataset
    if (!preset?.labelOne) return
    event.preventDefault()
    for (const [id, word] of [['patient-one', preset.labelOne], ['patient-many', preset.labelMany]]) {
      const field = document.getElementById(id)
      field.value = word
      show(field)
    }
    document.getElementById('labels-filled').textContent = fill(texts.filled, { word: preset.labelOne })
  })
}

// watchUpload sends the files by XMLHttpRequest, so that it can show the progress. The
// answer is the page that the form would have opened.
function watchUpload (form) {
  const files = form.querySelector('input[type=file]')
  const status = form.querySelector('[data-upload-progress]')
  const button = form.querySelector('button[type=submit]')
  const bar = form.querySelector('progress')
  const most = Number(form.dataset.uploadMost)
  const total = () => [...files.files].reduce((sum, file) => sum + file.size, 0)
  const tooLarge = () => total() > most ? fill(texts.large, { size: sizeText(total()), most: sizeText(most) }) : ''

  files.addEventListener('change', () => { status.textContent = tooLarge() || (files.files.length ? formOf(texts.chosen, files.files.length, { size: sizeText(total()) }) : '') })
  form.addEventListener('submit', (event) => {
    if (!files.files.length) return
    event.preventDefault()
    if (tooLarge()) return
    const request = new XMLHttpRequest()
    const keeping = setInterval(keepSession, 300_000) // 5 minutes; the session ends after 30 without a request
    const ended = () => { clearInterval(keeping); button.disabled = false; bar.hidden = true }
    request.upload.addEventListener('progress', ({ loaded, total }) => {
      const percent = Math.floor(loaded * 100 / total)
      bar.value = percent
      const text = percent < 100 ? fill(texts.sent, { percent: percent - percent % 10 }) : texts.complete
      if (status.textContent !== text) status.textContent = text
    })
    request.addEventListener('load', () => {
      ended()
      if (request.status === 200) return location.assign(request.responseURL)
      showRefusal(new DOMParser().parseFromString(request.responseText, 'text/html'))
    })
    request.addEventListener('error', () => { ended(); status.textContent = texts.interrupted })
    request.open('POST', form.action)
    request.send(new FormData(form))
    button.disabled = true
    bar.hidden = false
  })
}

// keepSession prolongs the session during a long upload.
async function keepSession () {
  const answer = await fetch(document.body.dataset.sessionKeep, { method: 'POST' }).catch(() => null)
  if (answer?.ok) document.dispatchEvent(new CustomEvent('postern:kept'))
}

// showRefusal replaces the content of this page with the page that lists the errors.
function showRefusal (page) {
  document.title = page.title
  document.querySelector('main').replaceWith(page.querySelector('main'))
  const again = document.querySelector('form[data-upload]')
  if (again) watchUpload(again)
  focusErrors()
}
