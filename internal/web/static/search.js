// searchByKeyboard makes Global Search a thing of the keyboard: / comes to it from
// anywhere, the arrows walk through what was found, Enter opens it, Escape closes it.
// What was found is a list of links, so that nothing else has to be known to use it.
export function searchByKeyboard () {
  const search = document.querySelector('header .app-search')
  if (!search) return
  const field = search.querySelector('input')
  const results = search.querySelector('[data-search-results]')
  const status = search.querySelector('[data-search-status]')
  const links = () => [...results.querySelectorAll('a')]
  const close = () => { results.replaceChildren(); status.textContent = '' }

  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (event.target.closest('input, textarea, select, [contenteditable], dialog')) return
    event.preventDefault()
    field.focus()
    field.select()
  })

  search.addEventListener('keydown', (event) => {
    const all = [field, ...links()]
    const at = all.indexOf(document.activeElement)
    switch (event.key) {
      case 'ArrowDown':
      case 'ArrowUp':
        if (at < 0 || all.length === 1) return
        event.preventDefault()
        all[(at + (event.key === 'ArrowDown' ? 1 : all.length - 1)) % all.length].focus()
        return
      case 'Escape':
        if (results.childElementCount === 0) return
        event.preventDefault()
        close()
        field.focus()
    }
  })

  // What was found is said, and an answer that comes after its question is gone is not shown.
  results.addEventListener('htmx:beforeSwap', (event) => {
    if (!field.value.trim() || !search.contains(document.activeElement)) event.detail.shouldSwap = false
  })
  results.addEventListener('htmx:afterSwap', () => {
    status.textContent = results.querySelector('[data-found]')?.dataset.found ?? ''
  })
  field.addEventListener('input', () => { if (!field.value.trim()) close() })

  const left = (event) => { if (event.target && !search.contains(event.target)) close() }
  document.addEventListener('click', left)
  document.addEventListener('focusin', left)
}
