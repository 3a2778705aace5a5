const { lang } = document.documentElement

// texts are the texts of the page for its script: see templates/scripts.html of package page.
export const texts = document.getElementById('texts')?.dataset

// fill puts values in place of the placeholders of a text.
export function fill (text, values) {
  return text.replace(/\{(\w+)\}/g, (placeholder, name) => values[name] ?? placeholder)
}

// around returns the words before, within and after the placeholder that stands around words.
export function around (text, name) {
  return text.split(new RegExp(`\\{/?${name}\\}`))
}

// formOf returns the wording for a number: forms is JSON of the plural forms of the page's language,
// each with {n}. There can be more values.
export function formOf (forms, n, values = {}) {
  const all = JSON.parse(forms)
  return fill(all[new Intl.PluralRules(lang).select(n)] ?? all.other, { n: number(n), ...values })
}

// number writes a number in the page's language.
export function number (n) {
  return new Intl.NumberFormat(lang, { numberingSystem: 'latn' }).format(n)
}
