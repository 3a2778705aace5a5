// The queries that a Browser runs in a page. The script is evaluated in the page for each
// query, and leaves nothing there.

const words = (text) => (text ?? '').replace(/\s+/g, ' ').trim()
const top = () => [...document.querySelectorAll('dialog[open]')].filter((d) => d.matches(':modal')).pop() ?? document
const isSelector = (what) => /^[#.[]/.test(what)
const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0

const names = (e) => [e.getAttribute('aria-label'), e.innerText, e.type === 'submit' ? e.value : '',
  ...(e.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.innerText)].map(words)

function among (candidates, what) {
  const seen = candidates.filter(shown)
  return seen.find((e) => names(e).includes(what)) ?? seen.find((e) => names(e).some((n) => n.startsWith(what))) ??
    seen.find((e) => names(e).some((n) => n.includes(what)))
}

// pressable finds an element that can be clicked.
function pressable (what) {
  if (isSelector(what)) return [...top().querySelectorAll(what)].find(shown)
  return among([...top().querySelectorAll('a[href], button, summary, input[type=submit], [role=button], [role=option], [role=tab], [role=menuitem], label')], what)
}

// field finds a form field.
function field (what) {
  if (isSelector(what)) return top().querySelector(what)
  const label = among([...top().querySelectorAll('label')].filter((l) => l.control), what)
  if (label) return label.control
  return document.getElementById(what) ??
    [...top().querySelectorAll('input, textarea, select, [contenteditable]')].find((e) => names(e)[0] === what)
}

// spot is the point at which to click an element. covered names an element that lies above it.
function spot (what) {
  const e = pressable(what)
  if (!e) return null
  e.scrollIntoView({ block: 'center', behavior: 'instant' })
  const box = [...e.getClientRects()].find((r) => r.width > 0 && r.height > 0)
  if (!box) return null
  const x = box.x + box.width / 2
  const y = box.y + box.height / 2
  const hit = document.elementFromPoint(x, y)
  const own = hit && (e.contains(hit) || hit.contains(e) || (e.tagName === 'LABEL' && e.control === hit))
  return { x, y, covered: own ? '' : (hit?.outerHTML ?? 'the edge of the window').slice(0, 200) }
}

// focus focuses a field and selects its text, so that typing replaces it.
function focus (what) {
  const e = field(what)
  if (!e) return ''
  e.scrollIntoView({ block: 'center', behavior: 'instant' })
  e.focus()
  if (e.select && !['date', 'time', 'datetime-local', 'file'].includes(e.type)) e.select()
  return document.activeElement === e ? e.type || e.tagName.toLowerCase() : ''
}

// set sets the value of a field that can't be typed the same way in every locale.
function set (what, value) {
  const e = field(what)
  if (!e) return false
  if (e.tagName === 'SELECT') {
    const option = [...e.options].find((o) => words(o.text) === value || o.value === value)
    if (!option) return false
    value = option.value
  }
  e.value = value
  e.dispatchEvent(new Event('input', { bubbles: true }))
  e.dispatchEvent(new Event('change', { bubbles: true }))
  return true
}

const value = (what) => { const e = field(what); return e ? (['checkbox', 'radio'].includes(e.type) ? String(e.checked) : e.value) : null }

// text is the text of the page, including text that only screen readers read.
const text = () => words(top() === document ? document.body.innerText : top().innerText)
const sees = (what) => text().toLowerCase().includes(words(what).toLowerCase())
const count = (selector) => [...document.querySelectorAll(selector)].filter(shown).length
const at = () => location.pathname + location.search
const html = () => document.documentElement.outerHTML
const turn = () => new Promise((resolve) => setTimeout(() => resolve(true), 10))

// focused is the name of the focused element.
function focused () {
  const e = document.activeElement
  if (!e || e === document.body) return ''
  return (e.labels?.[0] && words(e.labels[0].innerText)) || names(e).find((n) => n) || e.id || e.tagName.toLowerCase()
}
const isFocused = (what) => { const e = document.activeElement; return Boolean(e) && (isSelector(what) ? e.matches(what) : e === field(what) || e === pressable(what)) }

// sideways names an element that is wider than the window and makes the page scroll sideways.
function sideways () {
  const root = document.documentElement
  if (root.scrollWidth <= root.clientWidth) return ''
  const wide = [...document.body.querySelectorAll('*')].filter((e) => shown(e) && e.getBoundingClientRect().right > root.clientWidth + 1).pop()
  return `${root.scrollWidth} of ${root.clientWidth} px: ${(wide?.outerHTML ?? '').slice(0, 200)}`
}

// axeFinds returns the violations that axe-core finds, one line each. part is "colours",
// "all but colours", or anything else for all rules.
async function axeFinds (part) {
  const found = await window.axe.run(document, {
    runOnly: part === 'colours'
      ? { type: 'rule', values: ['color-contrast'] }
      : ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    rules: part === 'all but colours' ? { 'color-contrast': { enabled: false } } : {},
    resultTypes: ['violations']
  })
  return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${v.help}: ${n.html.slice(0, 300)} — ${words(n.failureSummary)}`))
}
