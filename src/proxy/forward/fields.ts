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

/** Read, and forwarded as it came: ours is a line behind it. */
const VIA: FieldRule = { name: 'via', forward: true }

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
    const rules = [...[...names].map(drop), VIA]
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
    }
  }
}

/** A client's request id is kept where it can do no harm in a log or a header, and is none of its secrets. */
const SANE_REQUEST_ID = /^[A-Za-z0-9._:+=@/-]{1,128}$/

export function isSaneRequestId(id: string): boolean {
  return SANE_REQUEST_ID.test(id) && !holdsCredential(id)
}

/** Where a call came from, as its deployment is told. */
export interface Origin {
  readonly peerAddress: string
  readonly secure: boolean
  /** `x-forwarded-client-cert`, or ''. */
  readonly clientCertificate: string
  /** Of this proxy, in `via`. */
  readonly pseudonym: string
}

/** What a trusted peer says it forwards for; empty strings where it says nothing, and for all others. */
export interface FormerHops {
  readonly forwardedFor: string
  readonly proto: string
  readonly host: string
  readonly forwarded: string
}

/** The lines about identity and origin (RFC 7239, RFC 9110 §7.6.3). `host` is the host that was asked for. */
export function originLines(origin: Origin, host: string, hops: FormerHops): string {
  const proto = hops.proto === '' ? (origin.secure ? 'https' : 'http') : hops.proto
  const forwardedHost = hops.host === '' ? host : hops.host
  // RFC 7239 §6.3. A peer that is gone has no address any more; an empty one would be no valid element.
  const peer = origin.peerAddress === '' ? 'unknown' : origin.peerAddress
  const node = peer.includes(':') ? `"[${peer}]"` : peer
  const hostPart = host === '' ? '' : `;host="${host}"`
  return (
    `x-forwarded-for: ${hops.forwardedFor === '' ? '' : `${hops.forwardedFor}, `}${peer}\r\n` +
    `x-forwarded-proto: ${proto}\r\n` +
    (forwardedHost === '' ? '' : `x-forwarded-host: ${forwardedHost}\r\n`) +
    `forwarded: ${hops.forwarded === '' ? '' : `${hops.forwarded}, `}for=${node}${hostPart};proto=${origin.secure ? 'https' : 'http'}\r\n` +
    (origin.clientCertificate === ''
      ? ''
      : `x-forwarded-client-cert: ${origin.clientCertificate}\r\n`) +
    `via: 1.1 ${origin.pseudonym}\r\n`
  )
}
