// Extras that no page needs: a Print button, a Show button for passwords, a Copy button, and a
// link from an e-mail that opens without a click.

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false
  button.addEventListener('click', () => window.print())
}

for (const button of document.querySelectorAll('[data-copy]')) {
  if (!navigator.clipboard) break // the page is neither https nor of this machine: the text can be selected
  const text = document.getElementById(button.getAttribute('aria-controls')).textContent
  const status = button.parentElement.querySelector('[role=status]')
  button.hidden = false
  button.addEventListener('click', async () => {
    status.textContent = await navigator.clipboard.writeText(text).then(() => button.dataset.copied, () => button.dataset.notCopied)
  })
}

for (const button of document.querySelectorAll('[data-show-password]')) {
  const field = document.getElementById(button.getAttribute('aria-controls'))
  const show = (shown) => {
    field.type = shown ? 'text' : 'password'
    button.textContent = shown ? button.dataset.hide : button.dataset.show
    button.setAttribute('aria-label', shown ? button.dataset.hideLabel : button.dataset.showLabel)
  }
  show(false)
  button.hidden = false
  button.addEventListener('click', () => show(field.type === 'password'))
  // Password managers recognise a password by its type.
  field.form.addEventListener('submit', () => show(false))
}

// The token of a link is in the fragment, which browsers never send. It is moved into the
// form and removed from the address, and so from the browser's history.
const form = document.querySelector('form[data-link-in-fragment]')
if (form && location.hash.length > 1) {
  form.elements.namedItem('link').value = location.hash.slice(1)
  history.replaceState(null, '', location.pathname)
  form.requestSubmit()
}
