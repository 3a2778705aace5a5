// Passkeys: asks the browser to create or to get one, and sends its answer with the form. The
// options and the answer are JSON, with bytes in base64url, as WebAuthn writes them.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))

const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (b) => String.fromCharCode(b)).join(''))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

const withIDs = (list) => list?.map((one) => ({ ...one, id: bytes(one.id) }))

function optionsOf (json) {
  const options = JSON.parse(json)
  options.challenge = bytes(options.challenge)
  if (options.user) options.user.id = bytes(options.user.id)
  if (options.excludeCredentials) options.excludeCredentials = withIDs(options.excludeCredentials)
  if (options.allowCredentials) options.allowCredentials = withIDs(options.allowCredentials)
  return options
}

function answerOf (credential) {
  const parts = ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle']
  const response = Object.fromEntries(parts.filter((name) => credential.response[name]).map((name) => [name, text(credential.response[name])]))
  if (credential.response.getTransports) response.transports = credential.response.getTransports()
  return JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response
  })
}

// The attributes with what the reader is told if the browser has made or found none.
const reasons = { InvalidStateError: 'invalidStateError', NotAllowedError: 'notAllowedError' }

function watch (form) {
  const { passkey, passkeyOptions } = form.dataset
  const button = form.querySelector('button')
  const status = form.querySelector('[data-passkey-status]')
  const answer = form.elements.namedItem('credential')
  const ask = async () => {
    button.disabled = true
    status.textContent = status.dataset.follow
    try {
      answer.value = answerOf(await navigator.credentials[passkey]({ publicKey: optionsOf(passkeyOptions) }))
      form.submit()
    } catch (error) {
      status.textContent = status.dataset[reasons[error.name] ?? 'other']
      button.disabled = false
    }
  }
  form.querySelector('[data-passkey-without]')?.remove()
  button.hidden = false
  form.addEventListener('submit', (event) => { event.preventDefault(); ask() })
  if ('passkeyStart' in form.dataset) ask()
}

if (window.PublicKeyCredential) document.querySelectorAll('form[data-passkey]').forEach(watch)
