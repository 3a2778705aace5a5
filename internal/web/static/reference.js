// The page of the API's reference, /docs. It runs before Stoplight Elements.

// The reference's icons would otherwise write a style element into the page, which the content
// security policy refuses. reference.css has their rules.
window.FontAwesomeConfig = { autoAddCss: false }

// What the reference's elements lack for screen readers and for people who use a keyboard.
const icons = new Map([['copy', 'Copy'], ['bars', 'Show the list of operations'], ['xmark', 'Close']])
const text = (e) => e.innerText.replace(/\s+/g, ' ').trim()
const change = (e, name, value) => { if (e.getAttribute(name) !== value) e.setAttribute(name, value) }

function repair () {
  for (const e of document.querySelectorAll('[role=heading]:not([aria-level])')) {
    change(e, 'aria-level', location.hash.startsWith('#/operations') ? '3' : '2')
  }
  for (const e of document.querySelectorAll('main h4')) {
    change(e, 'role', 'heading')
    change(e, 'aria-level', '2')
  }
  for (const e of document.querySelectorAll('main button, main [role=button]')) {
    const shown = text(e)
    const label = e.getAttribute('aria-label') ?? ''
    if (shown !== '' && label !== '' && !label.toLowerCase().includes(shown.toLowerCase())) {
      e.removeAttribute('aria-labelledby')
      change(e, 'aria-label', label + ': ' + shown)
    }
    if (shown === '' && label === '' && !e.title) {
      change(e, 'aria-label', icons.get(e.querySelector('svg')?.dataset.icon) ?? 'Show or hide the fields')
    }
  }
  for (const e of document.querySelectorAll('.sl-markdown-viewer[role=textbox]')) e.removeAttribute('role')
  // A button can't hold another one.
  for (const e of document.querySelectorAll('[role=button]:has(button, select, [role=button])')) {
    e.removeAttribute('aria-expanded')
    change(e, 'role', 'group')
    change(e, 'aria-label', 'Open or close: ' + text(e))
  }
  for (const e of document.querySelectorAll('[aria-controls]')) {
    if (!document.getElementById(e.getAttribute('aria-controls'))) e.removeAttribute('aria-controls')
  }
  for (const e of document.querySelectorAll('.sl-code-viewer__scroller, .sl-markdown-viewer pre, .sl-overflow-x-auto')) change(e, 'tabindex', '0')
}

addEventListener('DOMContentLoaded', () => {
  let due = false
  new MutationObserver(() => {
    if (due) return
    due = true
    requestAnimationFrame(() => {
      due = false
      repair()
    })
  }).observe(document.querySelector('main'), { subtree: true, childList: true, attributes: true })
})
