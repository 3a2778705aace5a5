// What is pleasant on the pages of a reader, and no page needs: printing by a button,
// a password that can be looked at, and a link from an e-mail that opens by itself.

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false
  button.addEventListener('click', () => window.print())
}

for (const button of document.querySelectorAll('[data-show-password]')) {
  const field = document.getElementById(button.getAttribute('aria-controls'))
  const show = (shown) => {
    field.type = shown ? 'text' : 'password'
    button.textContent = shown ? 'Hide' : 'Show'
    button.setAttribute('aria-label', shown ? 'Hide password' : 'Show password')
  }
  show(false)
  button.hidden = false
  button.addEventListener('click', () => show(field.type === 'password'))
  // Password managers know a password by its type.
  field.form.addEventListener('submit', () => show(false))
}

// The token of a link stands in its fragment, which no browser sends: it is taken out
// of the address, and so out of the history, before it goes into the form.
const form = document.querySelector('form[data-link-in-fragment]')
if (form && location.hash.length > 1) {
  form.elements.namedItem('link').value = location.hash.slice(1)
  history.replaceState(null, '', location.pathname)
  form.requestSubmit()
}
