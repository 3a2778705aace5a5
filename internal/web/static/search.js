// searchByKeyboard adds keys to Global Search: / focuses it from anywhere, the arrow keys
// move through the results, Enter opens one, Escape closes the list. The results are a
// list of links, so they also work without these keys.
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

  // The number of results is read aloud. Results that arrive after the reader has emptied
  // or left the field are not shown.
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
