// Makes a style sheet work in both directions of writing: what lies left in it lies at the start of a
// line. govuk-frontend has only left and right. Reads the sheet from stdin.
import { readFileSync } from 'node:fs'

const properties = {
  left: 'inset-inline-start', right: 'inset-inline-end',
  'margin-left': 'margin-inline-start', 'margin-right': 'margin-inline-end',
  'padding-left': 'padding-inline-start', 'padding-right': 'padding-inline-end'
}
for (const part of ['', '-width', '-color', '-style']) {
  properties['border-left' + part] = 'border-inline-start' + part
  properties['border-right' + part] = 'border-inline-end' + part
}
const values = { 'text-align': ['start', 'end'], float: ['inline-start', 'inline-end'], clear: ['inline-start', 'inline-end'] }

const sheet = readFileSync(0, 'utf8').replace(/([{;])([a-z-]+):([^;{}]*)(?=[;}])/g, (all, before, name, value) => {
  if (values[name]) value = value.replace(/^left$/, values[name][0]).replace(/^right$/, values[name][1])
  const sides = /^(margin|padding)$/.test(name) ? value.split(/ (?![^(]*\))/) : []
  if (sides.length === 4 && sides[1] !== sides[3] && !value.includes('!')) {
    return `${before}${name}-block:${sides[0]} ${sides[2]};${name}-inline:${sides[3]} ${sides[1]}`
  }
  return `${before}${properties[name] ?? name}:${value}`
})
process.stdout.write(sheet)
