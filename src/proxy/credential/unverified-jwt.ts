/**
 * Reads a token before its signature is checked, to learn whose keys to check it with, and whether it can be read in one
 * way only. Bounded, and never throws.
 */
import { isUtf8 } from 'node:buffer'
import type { Claims } from '../tenant/jwt-bindings.ts'

/** Heads are 8 KiB as a rule; nobody's token needs more than this. */
const MAX_TOKEN_CHARS = 16 * 1024
const MAX_DEPTH = 32
/** Three base64url parts. The last may be empty (`alg: none`), so that such a token is refused as invalid by name. */
const JWT_PATTERN = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)$/

export interface UnverifiedJwt {
  /** `iss`, where it is text. */
  readonly issuer: string | undefined
  /** `sub`, where it is text. */
  readonly subject: string | undefined
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Claims
  /**
   * Whether two parsers could read two different tokens: a name that occurs twice in an object, bytes that are no UTF-8,
   * or base64url with bits behind its end. Such a token is never good, whoever signed it.
   */
  readonly ambiguous: boolean
}

/** `undefined` where `token` is no JWT that says who it is from or about. */
export function readUnverified(token: string): UnverifiedJwt | undefined {
  if (token.length > MAX_TOKEN_CHARS) return undefined
  const match = JWT_PATTERN.exec(token)
  if (match === null) return undefined
  const [, head = '', body = '', signature = ''] = match
  const header = readObject(head)
  const payload = readObject(body)
  if (header === undefined || payload === undefined) return undefined
  const issuer = textMember(payload.members, 'iss')
  const subject = textMember(payload.members, 'sub')
  if (issuer === undefined && subject === undefined) return undefined
  const signed = Buffer.from(signature, 'base64url')
  const ambiguous = header.ambiguous || payload.ambiguous || !isCanonical(signature, signed)
  return { issuer, subject, header: header.members, claims: payload.members, ambiguous }
}

interface ReadObject {
  readonly members: Record<string, unknown>
  readonly ambiguous: boolean
}

function readObject(base64url: string): ReadObject | undefined {
  const bytes = Buffer.from(base64url, 'base64url')
  const text = bytes.toString('utf8')
  const { depth, names } = outlineOf(text)
  if (depth > MAX_DEPTH) return undefined
  try {
    const members: unknown = JSON.parse(text)
    if (typeof members !== 'object' || members === null || Array.isArray(members)) return undefined
    const ambiguous =
      !isCanonical(base64url, bytes) ||
      // What is no UTF-8 was replaced, and other readers replace it otherwise.
      !isUtf8(bytes) ||
      names !== countMembers(members)
    return { members: members as Record<string, unknown>, ambiguous }
  } catch {
    return undefined
  }
}

function textMember(members: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = Object.hasOwn(members, name) ? members[name] : undefined
  return typeof value === 'string' ? value : undefined
}

/** RFC 4648 section 3.5: the last character may have bits that say nothing; only zeros are what an encoder writes. */
function isCanonical(base64url: string, bytes: Buffer): boolean {
  return bytes.toString('base64url') === base64url
}

/** How many names are left once the JSON is read. At most `MAX_DEPTH` deep. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const members: readonly unknown[] = Object.values(value)
  let count = Array.isArray(value) ? 0 : members.length
  for (const member of members) count += countMembers(member)
  return count
}

const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COLON = 0x3a
const QUOTE = 0x22
const BACKSLASH = 0x5c

interface Outline {
  /** Of objects and arrays in each other. */
  readonly depth: number
  /** How many names the objects have, repeated ones counted each time: each has one colon. */
  readonly names: number
}

/** Of JSON, without reading it. Says nothing of text that is none. */
function outlineOf(text: string): Outline {
  let quoted = false
  let level = 0
  let depth = 0
  let names = 0
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) quoted = !quoted
    else if (quoted) i += code === BACKSLASH ? 1 : 0
    else if (code === COLON) names += 1
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      level += 1
      if (level > depth) depth = level
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) level -= 1
  }
  return { depth, names }
}
