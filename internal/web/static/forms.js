// Forms: errors are come to first, nothing is sent twice, and a limit is counted down.

// focusErrors brings the reader to the summary of what is wrong, and from each line of
// it to the field, its label in sight.
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

// sendOnce lets an impatient second press of the same form go nowhere, until the page
// is come back to or it is clear that nothing happened.
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

// countCharacters says below a field of .govuk-character-count how much may still be
// written: at once to the eye, and to the ear when the writer rests.
export function countCharacters () {
  for (const part of document.querySelectorAll('.govuk-character-count[data-maxlength]')) {
    const field = part.querySelector('textarea, input')
    const said = part.querySelector('.govuk-character-count__message')
    if (!field || !said) continue
    const heard = document.createElement('div')
    heard.className = 'govuk-visually-hidden'
    heard.setAttribute('aria-live', 'polite')
    said.after(heard)
    let rest
    const count = () => {
      const left = Number(part.dataset.maxlength) - field.value.length
      const text = `${Math.abs(left).toLocaleString('en')} ${Math.abs(left) === 1 ? 'character' : 'characters'} ${left < 0 ? 'too many' : 'left'}`
      said.textContent = text
      said.classList.toggle('govuk-error-message', left < 0)
      clearTimeout(rest)
      rest = setTimeout(() => { heard.textContent = text }, 1000)
    }
    field.addEventListener('input', count)
    if (field.value) count()
  }
}
