/**
 * Credentials in places where nobody looks for them, such as a path: a key in a log is as good as given away. What is
 * only alike goes too; `/g` and what may follow are such that the time grows with the length of the text alone.
 */
import { percentDecode } from '../../codec/percent.ts'

/** An API key in our format, whole or mistyped, up to the end of its segment. */
const KEY = /amt_[a-z0-9-]{1,63}_[^/]{16,}/g
/** A JSON Web Token begins with `{"` in base64url. */
const TOKEN = /eyJ[A-Za-z0-9_-]{8}[^/]*/g
const REDACTED = '[redacted]'

/** Whether an API key or a token stands in `text`, percent-encoded or plain. */
export function holdsCredential(text: string): boolean {
  return withoutCredentials(text) !== text
}

/** `path` with API keys and tokens blotted out; percent-decoded where they were in it, else as it came. */
export function withoutCredentials(path: string): string {
  const plain = percentDecode(path) ?? path
  if (!plain.includes('amt_') && !plain.includes('eyJ')) return path
  const redacted = plain.replaceAll(KEY, REDACTED).replaceAll(TOKEN, REDACTED)
  return redacted === plain ? path : redacted
}
