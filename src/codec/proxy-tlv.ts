/**
 * What the TLVs of a PROXY header of version 2 say, as far as somebody registered what they mean: HAProxy's
 * doc/proxy-protocol.txt §2.2, and the private-link ids of the three large clouds. Pure and strict: a known type whose value
 * has not its form, or that comes twice, says nothing that could be relied on.
 */

export interface ProxyTlv {
  readonly type: number
  /** A copy: it does not keep the parsed bytes alive. */
  readonly value: Buffer
}

/** TLVs in one header, padding too; senders use three or four. */
export const MAX_PROXY_TLVS: number = 64
/** Of a name: a DNS name has no more, and neither has a protocol (RFC 7301 §3.1). */
const MAX_NAME_BYTES = 255
/** §2.2.5. */
const MAX_UNIQUE_ID_BYTES = 128

export interface ProxySsl {
  /** Whether the client came over TLS. */
  readonly tls: boolean
  /** Whether the client showed a certificate, on this connection or in this session, that was verified. */
  readonly verified: boolean
  readonly version?: string
  readonly commonName?: string
  readonly cipher?: string
  readonly signatureAlgorithm?: string
  readonly keyAlgorithm?: string
}

export interface ProxyFacts {
  readonly alpn?: string
  /** The host name that the client passed, of TLS the one in its SNI. */
  readonly authority?: string
  readonly uniqueId?: Buffer
  readonly ssl?: ProxySsl
  readonly netns?: string
  /** `aws:VPC-ENDPOINT`, `azure:LINKID` or `gcp:CONNECTION`, as `privateLinkKey` writes it. */
  readonly privateLink?: string
}

type Cloud = 'aws' | 'azure' | 'gcp'

/** The one text of a private-link id, for comparing. `id` in decimal where the cloud has numbers. */
export function privateLinkKey(cloud: Cloud, id: string): string {
  return `${cloud}:${id}`
}

type Facts = { -readonly [key in keyof ProxyFacts]: ProxyFacts[key] }
/** Puts what `value` says into `facts`; returns what is wrong with it. */
type Reader = (value: Buffer, facts: Facts) => string | undefined

const SUBTYPE_LINK = 0x01

/** By type. CRC32C and NOOP are the business of whoever reads the header. */
const READERS: ReadonlyMap<number, Reader> = new Map<number, Reader>([
  [0x01, (value, facts) => readText(value, 'alpn', facts)],
  [0x02, (value, facts) => readText(value, 'authority', facts)],
  [0x05, readUniqueId],
  [0x20, readSsl],
  [0x30, (value, facts) => readText(value, 'netns', facts)],
  [0xe0, readGcp],
  [0xea, readAws],
  [0xee, readAzure],
])

/** What the TLVs say, or what is wrong with one of them. Types that nobody registered are passed over. */
export function readProxyFacts(
  tlvs: readonly ProxyTlv[],
): { readonly facts: ProxyFacts } | { readonly fault: string } {
  const facts: Facts = {}
  for (const { type, value } of tlvs) {
    const fault = READERS.get(type)?.(value, facts)
    if (fault !== undefined) return { fault }
  }
  return { facts }
}

function readText(
  value: Buffer,
  what: 'alpn' | 'authority' | 'netns',
  facts: Facts,
): string | undefined {
  if (facts[what] !== undefined) return `${what} comes twice`
  const text = textOf(value)
  if (text === undefined) return `${what} is not valid`
  facts[what] = text
  return undefined
}

/** UTF-8 without control characters, which would end a line in a log or a header. */
function textOf(value: Buffer): string | undefined {
  if (value.length > MAX_NAME_BYTES) return undefined
  const text = value.toString('utf8')
  // oxlint-disable-next-line no-control-regex -- those are what is looked for
  return Buffer.from(text).equals(value) && !/[\0-\x1f\x7f]/.test(text) ? text : undefined
}

function readUniqueId(value: Buffer, facts: Facts): string | undefined {
  if (facts.uniqueId !== undefined) return 'unique id comes twice'
  if (value.length > MAX_UNIQUE_ID_BYTES) return 'unique id is too long'
  facts.uniqueId = value
  return undefined
}

const SSL_FIXED_BYTES = 5
const CLIENT_SSL = 0x01
const CLIENT_CERTIFICATE = 0x02 | 0x04
const SSL_TEXTS: ReadonlyMap<number, Exclude<keyof ProxySsl, 'tls' | 'verified'>> = new Map([
  [0x21, 'version'],
  [0x22, 'commonName'],
  [0x23, 'cipher'],
  [0x24, 'signatureAlgorithm'],
  [0x25, 'keyAlgorithm'],
])

function readSsl(value: Buffer, facts: Facts): string | undefined {
  if (facts.ssl !== undefined) return 'ssl comes twice'
  if (value.length < SSL_FIXED_BYTES) return 'ssl is cut off'
  const client = value.readUInt8(0)
  const ssl: { -readonly [key in keyof ProxySsl]: ProxySsl[key] } = {
    tls: (client & CLIENT_SSL) !== 0,
    verified: (client & CLIENT_CERTIFICATE) !== 0 && value.readUInt32BE(1) === 0,
  }
  for (let at = SSL_FIXED_BYTES; at < value.length; ) {
    if (value.length - at < 3) return 'ssl is cut off'
    const end = at + 3 + value.readUInt16BE(at + 1)
    if (end > value.length) return 'ssl is cut off'
    const key = SSL_TEXTS.get(value.readUInt8(at))
    if (key !== undefined) {
      const text = textOf(value.subarray(at + 3, end))
      if (text === undefined || ssl[key] !== undefined) return `${key} in ssl is not valid`
      ssl[key] = text
    }
    at = end
  }
  facts.ssl = ssl
  return undefined
}

/**
 * AWS Network Load Balancer (load-balancer-target-groups.html#proxy-protocol): subtype 1, then the id of the VPC endpoint
 * in ASCII. Other subtypes are not about the endpoint.
 */
function readAws(value: Buffer, facts: Facts): string | undefined {
  if (value.length === 0) return 'AWS value is cut off'
  if (value[0] !== SUBTYPE_LINK) return undefined
  const id = value.toString('latin1', 1)
  if (!/^[A-Za-z0-9-]{1,254}$/.test(id)) return 'VPC endpoint id is not valid'
  return setLink(facts, 'aws', id)
}

/** Azure Private Link (private-link-service-overview, "TCP Proxy v2"): subtype 1, then the LINKID, 32 bits, little endian. */
function readAzure(value: Buffer, facts: Facts): string | undefined {
  if (value.length === 0) return 'Azure value is cut off'
  if (value[0] !== SUBTYPE_LINK) return undefined
  if (value.length !== 5) return 'LINKID is not valid'
  return setLink(facts, 'azure', String(value.readUInt32LE(1)))
}

/** Google Private Service Connect (configure-private-service-connect-producer): the pscConnectionId, 64 bits, big endian. */
function readGcp(value: Buffer, facts: Facts): string | undefined {
  if (value.length !== 8) return 'PSC connection id is not valid'
  return setLink(facts, 'gcp', String(value.readBigUInt64BE(0)))
}

/** A connection came through one private link, or it cannot be told through which. */
function setLink(facts: Facts, cloud: Cloud, id: string): string | undefined {
  if (facts.privateLink !== undefined) return 'private link comes twice'
  facts.privateLink = privateLinkKey(cloud, id)
  return undefined
}
