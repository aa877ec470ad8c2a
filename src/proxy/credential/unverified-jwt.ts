/**
 * Reads a token before its signature is checked, only to learn whose keys to check it with. Bounded, and never throws.
 */
import type { Claims } from '../tenant/jwt-bindings.ts'

/** Heads are 8 KiB as a rule; nobody's token needs more than this. */
const MAX_TOKEN_CHARS = 16 * 1024
const MAX_DEPTH = 32
/** Three base64url parts. The last may be empty (`alg: none`), so that such a token is refused as invalid by name. */
const JWT_PATTERN = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*$/

export interface UnverifiedJwt {
  readonly issuer: string
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Claims
  /** Whether a name occurs twice in header or payload: two parsers could read two different tokens. */
  readonly ambiguous: boolean
}

/** `undefined` where `token` is no JWT with an issuer. */
export function readUnverified(token: string): UnverifiedJwt | undefined {
  if (token.length > MAX_TOKEN_CHARS) return undefined
  const match = JWT_PATTERN.exec(token)
  if (match === null) return undefined
  const header = readObject(match[1] ?? '')
  const payload = readObject(match[2] ?? '')
  const issuer = payload?.members['iss']
  if (header === undefined || payload === undefined || typeof issuer !== 'string') return undefined
  const ambiguous = header.ambiguous || payload.ambiguous
  return { issuer, header: header.members, claims: payload.members, ambiguous }
}

interface ReadObject {
  readonly members: Record<string, unknown>
  readonly ambiguous: boolean
}

function readObject(base64url: string): ReadObject | undefined {
  const text = Buffer.from(base64url, 'base64url').toString('utf8')
  if (depthOf(text) > MAX_DEPTH) return undefined
  try {
    const members: unknown = JSON.parse(text)
    if (typeof members !== 'object' || members === null || Array.isArray(members)) return undefined
    const ambiguous = countTopNames(text) !== Object.keys(members).length
    return { members: members as Record<string, unknown>, ambiguous }
  } catch {
    return undefined
  }
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  scan(text, code => {
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth += 1
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth -= 1
    if (depth > deepest) deepest = depth
  })
  return deepest
}

/** How many names the outer object of valid JSON has, repeated ones counted each time: each has one colon. */
function countTopNames(text: string): number {
  let depth = 0
  let names = 0
  scan(text, code => {
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth += 1
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth -= 1
    else if (code === COLON && depth === 1) names += 1
  })
  return names
}

const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COLON = 0x3a
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Calls `visit` with each character that stands outside of strings. */
function scan(text: string, visit: (code: number) => void): void {
  let quoted = false
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (quoted && code === BACKSLASH) i += 1
    else if (code === QUOTE) quoted = !quoted
    else if (!quoted) visit(code)
  }
}
