/** The header fields that the proxy itself looks at, strips and sets, and the lines that it writes. */
import { type FieldRule, FieldTable } from '../../codec/http1/field-table.ts'
import { holdsCredential } from './credential-text.ts'

const OWN_FIELDS = [
  'authorization',
  'x-request-id',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'forwarded',
  'x-forwarded-client-cert',
] as const

/** Read, and forwarded as they came; of `via`, ours is a line behind it. */
const READ_FIELDS: readonly FieldRule[] = [
  { name: 'via', forward: true },
  { name: 'content-type', forward: true },
  { name: 'grpc-timeout', forward: true },
  { name: 'traceparent', forward: true },
]

const drop = (name: string): FieldRule => ({ name, forward: false })

export interface FieldSlots {
  readonly authorization: number
  readonly apiKey: number
  readonly requestId: number
  readonly forwardedFor: number
  readonly forwardedProto: number
  readonly forwardedHost: number
  readonly forwarded: number
  readonly via: number
  readonly contentType: number
  readonly grpcTimeout: number
  readonly traceparent: number
}

/** Names and slots for one configuration; `apiKeyHeader` in lower case. */
export class ForwardedFields {
  readonly request: FieldTable
  /** Of peers that may say who they forward for: other `x-forwarded-…` lines stay. */
  readonly trustedRequest: FieldTable
  readonly response: FieldTable
  readonly slots: FieldSlots
  readonly apiKeyHeader: string

  constructor(apiKeyHeader: string) {
    const names = new Set<string>([...OWN_FIELDS, apiKeyHeader])
    const rules = [...[...names].map(drop), ...READ_FIELDS.filter(({ name }) => !names.has(name))]
    // Nothing that a client says about identity or origin reaches a deployment (invariant 8).
    this.request = new FieldTable(rules, ['x-amt-', 'x-forwarded-'])
    this.trustedRequest = new FieldTable(rules, ['x-amt-'])
    this.response = new FieldTable([drop('x-request-id')], ['x-amt-'])
    this.apiKeyHeader = apiKeyHeader
    const slot = (name: string): number => this.request.slotOf(name)
    this.slots = {
      authorization: slot('authorization'),
      apiKey: slot(apiKeyHeader),
      requestId: slot('x-request-id'),
      forwardedFor: slot('x-forwarded-for'),
      forwardedProto: slot('x-forwarded-proto'),
      forwardedHost: slot('x-forwarded-host'),
      forwarded: slot('forwarded'),
      via: slot('via'),
      contentType: slot('content-type'),
      grpcTimeout: slot('grpc-timeout'),
      traceparent: slot('traceparent'),
    }
  }
}

/** A client's request id is kept where it can do no harm in a log or a header, and is none of its secrets. */
const SANE_REQUEST_ID = /^[A-Za-z0-9._:+=@/-]{1,128}$/

export function isSaneRequestId(id: string): boolean {
  return SANE_REQUEST_ID.test(id) && !holdsCredential(id)
}

/** Where the calls of a connection come from, as their deployments are told. */
export interface Origin {
  readonly peerAddress: string
  readonly secure: boolean
  /** `x-forwarded-client-cert`, or ''. */
  readonly clientCertificate: string
}

/** How this hop is named in `via` (RFC 9110 §7.6.3). */
export interface Hop {
  /** Version of HTTP that the client speaks. */
  readonly received: '1.1' | '2'
  readonly pseudonym: string
}

/** What a trusted peer says it forwards for; empty strings where it says nothing, and for all others. */
export interface FormerHops {
  readonly forwardedFor: string
  readonly proto: string
  readonly host: string
  readonly forwarded: string
}

export const NO_HOPS: FormerHops = { forwardedFor: '', proto: '', host: '', forwarded: '' }

export interface OriginField {
  readonly name: string
  readonly value: string
}

/** What stands before our own value, where a trusted peer has said something. */
function behind(former: string): string {
  return former === '' ? '' : `${former}, `
}

/** The fields about identity and origin (RFC 7239, RFC 9110 §7.6.3). `host` is the host that was asked for. */
export function originFields(
  { peerAddress, secure, clientCertificate }: Origin,
  { received, pseudonym }: Hop,
  host: string,
  hops: FormerHops,
): OriginField[] {
  const proto = hops.proto === '' ? (secure ? 'https' : 'http') : hops.proto
  const forwardedHost = hops.host === '' ? host : hops.host
  // RFC 7239 §6.3. A peer that is gone has no address any more; an empty one would be no valid element.
  const peer = peerAddress === '' ? 'unknown' : peerAddress
  const node = peer.includes(':') ? `"[${peer}]"` : peer
  const hostPart = host === '' ? '' : `;host="${host}"`
  return [
    { name: 'x-forwarded-for', value: behind(hops.forwardedFor) + peer },
    { name: 'x-forwarded-proto', value: proto },
    { name: 'x-forwarded-host', value: forwardedHost },
    {
      name: 'forwarded',
      value: `${behind(hops.forwarded)}for=${node}${hostPart};proto=${secure ? 'https' : 'http'}`,
    },
    { name: 'x-forwarded-client-cert', value: clientCertificate },
    { name: 'via', value: `${received} ${pseudonym}` },
  ].filter(({ value }) => value !== '')
}
