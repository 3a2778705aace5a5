// formOf returns the wording for a number: forms is JSON of the plural forms of the page's language,
// each with {n}.
export function formOf (forms, n) {
  const all = JSON.parse(forms)
  const { lang } = document.documentElement
  return (all[new Intl.PluralRules(lang).select(n)] ?? all.other).replace('{n}', new Intl.NumberFormat(lang, { numberingSystem: 'latn' }).format(n))
}
