// Custom Labels shows how words read while they are typed, and an upload says how far
// it is and refuses what is too large before it begins. Both work without this.
import { focusErrors } from './forms.js'
import { sizeText } from './size.js'

const form = document.querySelector('form[data-labels]')
const upload = document.querySelector('form[data-upload]')
if (form) showHowItReads(form)
if (upload) watchUpload(upload)

// showHowItReads writes what stands in each field into the example, and fills a preset
// in where the page would otherwise be asked for anew.
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
    document.getElementById('labels-filled').textContent = `${preset.labelOne} is filled in below. Save the labels to use it.`
  })
}

// watchUpload sends the files itself, so that it can say how much has gone. The answer
// is the page that the form would have led to.
function watchUpload (form) {
  const files = form.querySelector('input[type=file]')
  const said = form.querySelector('[data-upload-progress]')
  const button = form.querySelector('button[type=submit]')
  const bar = form.querySelector('progress')
  const most = Number(form.dataset.uploadMost)
  const total = () => [...files.files].reduce((sum, file) => sum + file.size, 0)
  const tooLarge = () => total() > most ? `The files have ${sizeText(total())} together, and at most ${sizeText(most)} can be uploaded.` : ''

  files.addEventListener('change', () => { said.textContent = tooLarge() || (files.files.length ? `${files.files.length === 1 ? '1 file' : files.files.length + ' files'}, ${sizeText(total())}.` : '') })
  form.addEventListener('submit', (event) => {
    if (!files.files.length) return
    event.preventDefault()
    if (tooLarge()) return
    const request = new XMLHttpRequest()
    const keeping = setInterval(keepSession, 300_000)
    const ended = () => { clearInterval(keeping); button.disabled = false; bar.hidden = true }
    request.upload.addEventListener('progress', ({ loaded, total }) => {
      const percent = Math.floor(loaded * 100 / total)
      bar.value = percent
      const text = percent < 100 ? `Uploading: ${percent - percent % 10} % has gone.` : 'Everything has gone. One moment.'
      if (said.textContent !== text) said.textContent = text
    })
    request.addEventListener('load', () => {
      ended()
      if (request.status === 200) return location.assign(request.responseURL)
      showRefusal(new DOMParser().parseFromString(request.responseText, 'text/html'))
    })
    request.addEventListener('error', () => { ended(); said.textContent = 'The upload broke off. Look at your connection, and try again.' })
    request.open('POST', form.action)
    request.send(new FormData(form))
    button.disabled = true
    bar.hidden = false
  })
}

// keepSession goes on with the session of somebody who waits for a long upload.
async function keepSession () {
  const answer = await fetch(document.body.dataset.sessionKeep, { method: 'POST' }).catch(() => null)
  if (answer?.ok) document.dispatchEvent(new CustomEvent('postern:kept'))
}

// showRefusal puts the page that says what is wrong in the place of this one.
function showRefusal (page) {
  document.title = page.title
  document.querySelector('main').replaceWith(page.querySelector('main'))
  const again = document.querySelector('form[data-upload]')
  if (again) watchUpload(again)
  focusErrors()
}
