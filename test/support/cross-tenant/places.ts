/** Ways to reach the proxy, and what says on each of them whose a call is. */
import type { ErrorCode } from '../../../src/core/errors.ts'
import type { Fields } from '../http2/frame-stream.ts'
import type { SeededRandom } from '../seeded-random.ts'
import type { Place } from './client-connection.ts'
import type { TenantFixture } from './tenants.ts'

/** `tenant` where the connection itself is one tenant's, by its address or certificate. */
export interface Way {
  readonly listener: string
  readonly place: Place
  readonly tenant: TenantFixture | undefined
}

/** Fields that prove something, or pretend to. */
export interface Proof {
  readonly host: string
  /** Whole lines. */
  readonly credentials: string
}

/** What a client claims about itself must neither be believed nor forwarded. */
const LIES =
  'x-amt-tenant: spoofed\r\nX-AMT-Tenant: spoofed\r\nx-forwarded-client-cert: By=spoofed\r\nx-forwarded-for: spoofed\r\n'

/** A valid proof that a call on this way is `tenant`'s, of any kind. */
export function proofOf(random: SeededRandom, way: Way, tenant: TenantFixture): Proof {
  const byConnection = way.tenant === undefined ? 0 : 40
  const kind = random.weighted({ key: 35, scheme: 10, token: 25, host: 15, none: byConnection })
  const lies = random.chance(0.1) ? LIES : ''
  const host = kind === 'host' || random.chance(0.2) ? tenant.host : 'shared.example.com'
  return { host, credentials: credentialLine(random, kind, tenant) + lies }
}

function credentialLine(random: SeededRandom, kind: string, tenant: TenantFixture): string {
  if (kind === 'key') return `x-api-key: ${tenant.apiKey}\r\n`
  if (kind === 'scheme') return `authorization: ApiKey ${tenant.apiKey}\r\n`
  return kind === 'token' ? `authorization: Bearer ${random.pick(tenant.tokens)}\r\n` : ''
}

export interface Refusal extends Proof {
  readonly code: ErrorCode
}

/** A proof that must be refused: `own` is the tenant that the connection may already be of, `other` another one. */
export function refusalOf(
  random: SeededRandom,
  way: Way,
  { own, other }: { own: TenantFixture; other: TenantFixture },
): Refusal {
  const host = 'shared.example.com'
  const key = `x-api-key: ${own.apiKey}\r\n`
  const [head, payload, signature = ''] = random.pick(own.tokens).split('.')
  const forged = `${head}.${payload}.${signature.slice(0, 20)}${signature[20] === 'A' ? 'B' : 'A'}${signature.slice(21)}`
  const refusals: Refusal[] = [
    {
      code: 'credential_invalid',
      host,
      credentials: `x-api-key: amt_${own.id}_${random.text(20)}\r\n`,
    },
    { code: 'credential_invalid', host, credentials: `authorization: Bearer ${forged}\r\n` },
    {
      code: 'credential_expired',
      host,
      credentials: `authorization: Bearer ${own.expiredToken}\r\n`,
    },
    { code: 'credential_ambiguous', host, credentials: key + key },
    {
      code: 'tenant_mismatch',
      host,
      credentials: `${key}authorization: Bearer ${random.pick(other.tokens)}\r\n`,
    },
    { code: 'tenant_mismatch', host: other.host, credentials: key },
  ]
  if (way.tenant === undefined) {
    refusals.push(
      { code: 'unroutable', host, credentials: '' },
      {
        code: 'credential_invalid',
        host,
        credentials: `authorization: Bearer ${random.text(30)}\r\n`,
      },
    )
  } else {
    refusals.push(
      { code: 'tenant_mismatch', host, credentials: `x-api-key: ${other.apiKey}\r\n` },
      {
        code: 'tenant_mismatch',
        host,
        credentials: `authorization: Bearer ${random.pick(other.tokens)}\r\n`,
      },
      { code: 'tenant_mismatch', host: other.host, credentials: '' },
    )
  }
  return random.pick(refusals)
}

/** What ends a connection as 400 and the like; each behind whole calls. */
export const GARBAGE: readonly { readonly code: ErrorCode; readonly bytes: string }[] = [
  { code: 'malformed_request', bytes: '\0\x01\x02\r\n\r\n' },
  { code: 'malformed_request', bytes: ' GET / HTTP/1.1\r\nhost: a\r\n\r\n' },
  { code: 'invalid_host', bytes: 'GET / HTTP/1.1\r\n\r\n' },
  { code: 'invalid_host', bytes: 'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n' },
  { code: 'unsupported_version', bytes: 'GET / HTTP/2.0\r\nhost: a\r\n\r\n' },
  { code: 'malformed_field', bytes: 'GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n' },
  {
    code: 'ambiguous_framing',
    bytes: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n',
  },
  {
    code: 'ambiguous_framing',
    bytes: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n',
  },
]

/** Fields that make the request on a stream none: the stream is reset, and its connection goes on. */
export const MALFORMED_STREAMS: readonly {
  readonly code: ErrorCode
  readonly change: (fields: Fields) => Fields
}[] = [
  { code: 'malformed_field', change: fields => [...fields, ['X-Upper', 'a']] },
  { code: 'malformed_field', change: fields => [...fields, ['connection', 'close']] },
  { code: 'malformed_field', change: fields => [...fields, ['transfer-encoding', 'chunked']] },
  { code: 'malformed_field', change: fields => [...fields, ['te', 'gzip']] },
  { code: 'malformed_field', change: fields => [...fields, ['x-line', 'a\r\nx-amt-tenant: b']] },
  { code: 'malformed_request', change: fields => [...fields, [':path', '/']] },
  { code: 'malformed_request', change: without(':path') },
  { code: 'malformed_request', change: without(':method') },
  { code: 'malformed_target', change: replaced(':path', '/a b HTTP/1.1') },
  { code: 'malformed_target', change: replaced(':scheme', 'ftp') },
  { code: 'invalid_host', change: fields => [...fields, ['host', 'other.example.com']] },
  { code: 'invalid_host', change: replaced(':authority', 'a@b') },
  {
    code: 'ambiguous_framing',
    change: fields => [...fields, ['content-length', '5'], ['content-length', '5']],
  },
]

function without(name: string): (fields: Fields) => Fields {
  return fields => fields.filter(field => field[0] !== name)
}

function replaced(name: string, value: string): (fields: Fields) => Fields {
  return fields => fields.map(field => (field[0] === name ? [name, value] : field))
}
