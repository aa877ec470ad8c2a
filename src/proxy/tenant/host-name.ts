/**
 * The form in which host names are compared: lower case, without port and without the dot of the root.
 * `fieldValue` is `Host` or `:authority`. A value that no tenant can own (not ASCII, too long) gives `''`;
 * what else is odd about it is left as it is, and so equals no configured name.
 */
export function normalizeHost(fieldValue: string): string {
  let end = fieldValue.length
  if (end === 0 || end > MAX_FIELD_CHARS) return ''
  let digits = end
  while (digits > 0 && isDigit(fieldValue.charCodeAt(digits - 1))) digits -= 1
  // RFC 9110 section 4.2.3: an empty port is the default port.
  if (digits > 0 && fieldValue.charCodeAt(digits - 1) === COLON) end = digits - 1
  if (end > 0 && fieldValue.charCodeAt(end - 1) === DOT) end -= 1
  let upper = false
  for (let i = 0; i < end; i += 1) {
    const code = fieldValue.charCodeAt(i)
    // Lower-casing would turn some letters outside ASCII into letters inside it: U+212A becomes "k".
    if (code > 0x7e) return ''
    if (code >= 0x41 && code <= 0x5a) upper = true
  }
  const name = end === fieldValue.length ? fieldValue : fieldValue.slice(0, end)
  return upper ? name.toLowerCase() : name
}

/** The same of an SNI name, which has no port (RFC 6066 section 3): one that has is nobody's. */
export function normalizeServerName(name: string): string {
  return name.includes(':') ? '' : normalizeHost(name)
}

/** A name has at most 253 characters (RFC 1035), then come a dot, a colon and five digits. */
const MAX_FIELD_CHARS = 260
const COLON = 0x3a
const DOT = 0x2e

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}
