// Shows a PDF within the page. The frame draws it: it is a sandbox without an origin, which can read
// neither this page nor anything of this site. This page loads the document and hands it over.

import { formOf } from './words.js'

const frame = document.querySelector('iframe[data-pdf]')
const state = document.querySelector('[data-pdf-state]')
const fail = () => {
  frame.hidden = true
  state.textContent = state.dataset.failed
}

addEventListener('message', async (event) => {
  if (event.source !== frame.contentWindow) return
  if (event.data === 'ready') {
    const answer = await fetch(frame.dataset.pdf).catch(() => null)
    if (!answer?.ok) return fail()
    const content = await answer.arrayBuffer()
    frame.contentWindow.postMessage(content, '*', [content]) // the frame has no origin to name
  } else if (event.data === 'failed') {
    fail()
  } else if (Number.isInteger(event.data)) {
    state.textContent = formOf(state.dataset.pages, event.data)
  }
})

state.textContent = state.dataset.loading
frame.hidden = false
frame.src = frame.dataset.src
