import { number } from './words.js'

// sizeText returns a size in bytes as text, like package size on the server: "812 bytes",
// "34 kB", "1.2 MB", "70 GB", with the decimal point of the page's language.
export function sizeText (bytes) {
  if (bytes === 1) return '1 byte'
  if (bytes < 1000) return `${bytes} bytes`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = bytes / 1024
  while (value >= 999.5 && units.length > 1) {
    value /= 1024
    units.shift()
  }
  const digits = units[0] === 'kB' || value >= 99.95 ? 0 : 1
  return `${number(Number(Math.max(value, 1).toFixed(digits)))} ${units[0]}`
}
