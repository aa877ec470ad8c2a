/**
 * Another reading of the rules for tokens, to compare ours with: straight down the specifications, over `node:crypto`, with
 * other parsers than ours, and without a thought for speed. It shares no code with the proxy.
 */
import { createPublicKey, verify } from 'node:crypto'
import type { JWK } from 'jose'
import { parseDocument } from 'yaml'

export interface SecondRules {
  readonly issuer: string
  readonly audience: string
  readonly keys: readonly JWK[]
  readonly nowSeconds: number
  readonly skewSeconds: number
}

type Members = ReadonlyMap<string, unknown>

/** Whether `token` is good, and its `tenant` if that is text. */
export function secondOpinion(token: string, rules: SecondRules): string | undefined {
  const parts = token.split('.')
  if (parts.length !== 3) return undefined
  const [head = '', body = '', signature = ''] = parts
  if (!parts.every(isCanonical)) return undefined
  const header = objectOf(head)
  const claims = objectOf(body)
  if (header === undefined || claims === undefined) return undefined
  if (!headerHolds(header) || !claimsHold(claims, rules)) return undefined
  // Without a kid, any key may be the one.
  const keys = rules.keys.filter(
    ({ kid, alg }) =>
      alg === header.get('alg') && (!header.has('kid') || kid === header.get('kid')),
  )
  const bytes = Buffer.from(signature, 'base64url')
  if (!keys.some(key => signatureHolds(key, Buffer.from(`${head}.${body}`), bytes)))
    return undefined
  const tenant = claims.get('tenant')
  return typeof tenant === 'string' ? tenant : ''
}

function headerHolds(header: Members): boolean {
  const typ = header.get('typ')
  const types = ['jwt', 'application/jwt', 'at+jwt', 'application/at+jwt']
  if (header.has('crit')) return false
  if (header.has('b64') && header.get('b64') !== true) return false
  return !header.has('typ') || (typeof typ === 'string' && types.includes(typ.toLowerCase()))
}

function claimsHold(claims: Members, rules: SecondRules): boolean {
  const { nowSeconds: now, skewSeconds: skew } = rules
  const aud = claims.get('aud')
  const audiences = Array.isArray(aud) ? aud : [aud]
  if (claims.get('iss') !== rules.issuer) return false
  if (!audiences.every(each => typeof each === 'string')) return false
  if (!audiences.includes(rules.audience)) return false
  const exp = claims.get('exp')
  if (typeof exp !== 'number' || !Number.isFinite(exp) || exp + skew <= now) return false
  for (const name of ['nbf', 'iat']) {
    if (!claims.has(name)) continue
    const time = claims.get(name)
    if (typeof time !== 'number' || !Number.isFinite(time) || time - skew > now) return false
  }
  return true
}

function signatureHolds(jwk: JWK, input: Buffer, bytes: Buffer): boolean {
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  if (jwk.alg === 'EdDSA') return bytes.length === 64 && verify(null, input, key, bytes)
  if (jwk.alg === 'RS256') return verify('sha256', input, key, bytes)
  if (bytes.length !== 64) return false
  return verify('sha256', input, { key, dsaEncoding: 'ieee-p1363' }, bytes)
}

function isCanonical(part: string): boolean {
  if (!/^[A-Za-z0-9_-]*$/.test(part)) return false
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(part.at(-1) ?? 'A')
  const rest = part.length % 4
  return rest !== 1 && (rest !== 2 || last % 16 === 0) && (rest !== 3 || last % 4 === 0)
}

/** JSON is YAML, and a YAML document knows of names that stand twice. */
function objectOf(part: string): Members | undefined {
  try {
    const bytes = Buffer.from(part, 'base64url')
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    JSON.parse(text)
    const document = parseDocument(text, { uniqueKeys: true, schema: 'json' })
    if (document.errors.length > 0) return undefined
    const value: unknown = document.toJS({ mapAsMap: true })
    if (!(value instanceof Map)) return undefined
    return value as Members
  } catch {
    return undefined
  }
}
