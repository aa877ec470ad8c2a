/** Percent-encoding (RFC 3986 §2.1). */

const NO_ESCAPE = /%(?![0-9A-Fa-f]{2})/
const ESCAPE = /%([0-9A-Fa-f]{2})/g

/**
 * The bytes that `text` stands for, one character each, as heads are decoded; `+` is itself. Undefined where a `%` is
 * followed by anything but two hexadecimal digits.
 */
export function percentDecode(text: string): string | undefined {
  if (!text.includes('%')) return text
  if (NO_ESCAPE.test(text)) return undefined
  return text.replaceAll(ESCAPE, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
