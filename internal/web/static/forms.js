// Forms: the focus on errors, no double submit, and a count of the characters left.
import { formOf, texts } from './words.js'

// focusErrors focuses the error summary. Its links focus the field and scroll to the label.
export function focusErrors () {
  const summary = document.querySelector('.govuk-error-summary')
  if (!summary) return
  summary.tabIndex = -1
  summary.focus()
  summary.addEventListener('click', (event) => {
    const link = event.target.closest('a[href^="#"]')
    const field = link && document.getElementById(link.hash.slice(1))
    if (!field) return
    event.preventDefault()
    const label = field.closest('fieldset')?.querySelector('legend') ?? field.labels?.[0] ?? field
    label.scrollIntoView({ block: 'start' })
    field.focus({ preventScroll: true })
  })
}

// sendOnce ignores a second submit of the same form within 5 seconds, unless the reader
// has come back to the page in between.
export function sendOnce () {
  const sent = new Set()
  document.addEventListener('submit', (event) => {
    if (event.defaultPrevented || event.target.method !== 'post') return
    if (sent.has(event.target)) return event.preventDefault()
    sent.add(event.target)
    setTimeout(() => sent.delete(event.target), 5000)
  })
  window.addEventListener('pageshow', () => sent.clear())
}

// countCharacters shows below a field of .govuk-character-count how many characters are
// left. Screen readers read the number after a pause in typing.
export function countCharacters () {
  for (const part of document.querySelectorAll('.govuk-character-count[data-maxlength]')) {
    const field = part.querySelector('textarea, input')
    const message = part.querySelector('.govuk-character-count__message')
    if (!field || !message) continue
    const spoken = document.createElement('div')
    spoken.className = 'govuk-visually-hidden'
    spoken.setAttribute('aria-live', 'polite')
    message.after(spoken)
    let timer
    const count = () => {
      const left = Number(part.dataset.maxlength) - field.value.length
      const text = formOf(left < 0 ? texts.over : texts.left, Math.abs(left))
      message.textContent = text
      message.classList.toggle('govuk-error-message', left < 0)
      clearTimeout(timer)
      timer = setTimeout(() => { spoken.textContent = text }, 1000)
    }
    field.addEventListener('input', count)
    if (field.value) count()
  }
}
