// Draws the PDF that the page around this frame hands over: each page as a picture, with its text
// above it, for screen readers and for copying. Scripts and links in the document do nothing.

const root = document.getElementById('pages')
const { core, worker, decoders, page: pageOf, unreadable, picture } = root.dataset

async function draw(content) {
  const pdf = await import(core)
  globalThis.pdfjsWorker = await import(worker) // within this frame: it may start no worker
  const file = await pdf.getDocument({ data: content, enableXfa: false, useWasm: false, wasmUrl: decoders, stopAtErrors: false }).promise
  const shown = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue
      shown.unobserve(target)
      drawPage(pdf, file, target).catch(() => { target.textContent = unreadable })
    }
  }, { rootMargin: '600px' })
  for (let number = 1; number <= file.numPages; number++) {
    const page = await file.getPage(number)
    const box = document.createElement('section')
    const { width, height } = page.getViewport({ scale: 1 })
    box.className = 'page'
    box.dataset.number = String(number)
    box.setAttribute('aria-label', pageOf.replace('{number}', number).replace('{total}', file.numPages))
    box.style.aspectRatio = `${width} / ${height}`
    root.append(box)
    if (number > 1) shown.observe(box)
    else {
      await drawPage(pdf, file, box)
      parent.postMessage(file.numPages, '*')
    }
  }
}

async function drawPage(pdf, file, box) {
  const page = await file.getPage(Number(box.dataset.number))
  const scale = box.clientWidth / page.getViewport({ scale: 1 }).width
  const viewport = page.getViewport({ scale })
  const sharp = Math.min(devicePixelRatio, 3)
  const canvas = document.createElement('canvas')
  canvas.width = Math.floor(viewport.width * sharp)
  canvas.height = Math.floor(viewport.height * sharp)
  canvas.setAttribute('aria-hidden', 'true') // its text follows
  const text = document.createElement('div')
  text.className = 'text'
  text.style.setProperty('--total-scale-factor', String(scale))
  box.append(canvas, text)
  await page.render({ canvas, viewport, transform: [sharp, 0, 0, sharp, 0, 0] }).promise
  const source = await page.getTextContent()
  if (source.items.length === 0) text.textContent = picture
  else await new pdf.TextLayer({ textContentSource: source, container: text, viewport }).render()
}

addEventListener('message', (event) => {
  if (event.source === parent) draw(event.data).catch(() => parent.postMessage('failed', '*'))
}, { once: true })
parent.postMessage('ready', '*')
