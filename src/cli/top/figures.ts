/** Numbers in as few characters as a column has, five at most. */

const THOUSANDS = ['', 'k', 'M', 'G', 'T', 'P'] as const
const KIBIS = ['', 'K', 'M', 'G', 'T', 'P'] as const

/** `0`, `0.04`, `3.2`, `4211`, `12.3k`, `4.20M` */
export function shortCount(value: number): string {
  if (value < 9_999.5) return plain(value)
  return scaled(value, 1_000, THOUSANDS)
}

/** `0`, `512`, `1.5K`, `12.3M`; of 1024. */
export function shortBytes(value: number): string {
  if (value < 1_023.5) return String(Math.round(value))
  return scaled(value, 1_024, KIBIS)
}

/** `0%` to `999%`, and `>9x` for ten times as much as there is and more. */
export function shortPart(part: number): string {
  return part < 9.995 ? `${Math.round(part * 100)}%` : '>9x'
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let unit = 0
  let rest = value
  // What would be rounded to a thousand is one of the next unit.
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= base
    unit += 1
  }
  return `${significant(rest)}${units[unit]}`
}

function plain(value: number): string {
  if (value === 0) return '0'
  if (value < 0.01) return '<0.01'
  return value < 9.995
    ? trimmed(value.toFixed(2))
    : value < 99.95
      ? trimmed(value.toFixed(1))
      : value.toFixed(0)
}

/** Three digits. */
function significant(value: number): string {
  if (value < 9.995) return value.toFixed(2)
  return value < 99.95 ? value.toFixed(1) : value.toFixed(0)
}

function trimmed(text: string): string {
  return text.replace(/\.?0+$/, '')
}
