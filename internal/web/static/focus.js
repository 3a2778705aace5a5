// keepFocus keeps the keyboard where it is when htmx replaces a part of the page. htmx
// does so itself for an element with an id. Links and buttons in lists have none: without
// this the keyboard would go back to the top of the page, in the middle of a list that
// renews itself every few seconds.
export function keepFocus () {
  const focused = new Map() // by the id of the part: the element that had the focus

  const before = ({ detail: { target } }) => {
    if (target.id && target !== document.activeElement && target.contains(document.activeElement)) {
      focused.set(target.id, document.activeElement)
    }
  }
  const after = () => {
    for (const [id, old] of focused) {
      focused.delete(id)
      if (document.activeElement !== document.body) continue
      const part = document.getElementById(id)
      const again = part && [...part.querySelectorAll(old.tagName)].find((element) => same(element, old))
      // What had the focus is gone: back to the field whose answers these are.
      ;(again ?? document.querySelector(`[hx-target="#${id}"]`))?.focus()
    }
  }
  for (const name of ['htmx:beforeSwap', 'htmx:oobBeforeSwap']) document.addEventListener(name, before)
  for (const name of ['htmx:afterSwap', 'htmx:oobAfterSwap']) document.addEventListener(name, after)
}

// same tells whether two elements do the same.
function same (one, other) {
  return ['href', 'name', 'value', 'aria-label'].every((name) => one.getAttribute(name) === other.getAttribute(name)) &&
    (one.hasAttribute('href') || one.hasAttribute('value') || one.textContent === other.textContent)
}
