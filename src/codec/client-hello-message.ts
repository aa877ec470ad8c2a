/**
 * What stands in a ClientHello (RFC 8446 §4.1.2), as far as it says whom the client asks for. Where the rules leave a
 * choice it is as strict as OpenSSL: what a deployment could read in another way is refused.
 */

/** Extensions that are read. */
const SERVER_NAME = 0
const PROTOCOLS = 16
const SUPPORTED_VERSIONS = 43
const ENCRYPTED_CLIENT_HELLO = 0xfe0d

const HOST_NAME = 0
/** RFC 6066 §3 sets none; OpenSSL takes no more. */
const MAX_SERVER_NAME = 255
const MAX_SESSION_ID = 32
const RANDOM_BYTES = 32
const TLS_MAJOR = 3

/** Where a vector stands in the message. */
interface Range {
  readonly start: number
  readonly end: number
}

export class ClientHello {
  /** The name that the client asks for, as it was sent; with an Encrypted ClientHello the outer one. `''`: none. */
  readonly serverName: string
  /** Whether the name that is really meant is encrypted (ECH), for the deployment alone. */
  readonly encrypted: boolean
  readonly #message: Buffer
  readonly #legacyVersion: number
  readonly #protocols: Range | undefined
  readonly #versions: Range | undefined

  constructor(message: Buffer, legacyVersion: number, found: FoundExtensions) {
    this.#message = message
    this.#legacyVersion = legacyVersion
    this.serverName = found.serverName
    this.encrypted = found.encrypted
    this.#protocols = found.protocols
    this.#versions = found.versions
  }

  /** Protocols that are offered inside (ALPN, RFC 7301), the preferred one first, without those that GREASE makes up. */
  get protocols(): string[] {
    const names: string[] = []
    const { start, end } = this.#protocols ?? NOWHERE
    for (let at = start; at < end; ) {
      const next = at + 1 + (this.#message[at] as number)
      const isGrease = next === at + 3 && isGreaseValue(this.#message.readUInt16BE(at + 1))
      if (!isGrease) names.push(this.#message.toString('latin1', at + 1, next))
      at = next
    }
    return names
  }

  /** Versions of TLS that are offered, such as 0x0304 for 1.3, without those that GREASE makes up (RFC 8701). */
  get versions(): number[] {
    if (this.#versions === undefined) return [this.#legacyVersion]
    const versions: number[] = []
    for (let at = this.#versions.start; at < this.#versions.end; at += 2) {
      const version = this.#message.readUInt16BE(at)
      if (!isGreaseValue(version)) versions.push(version)
    }
    return versions
  }
}

const NOWHERE: Range = { start: 0, end: 0 }

interface FoundExtensions {
  serverName: string
  encrypted: boolean
  protocols: Range | undefined
  versions: Range | undefined
}

/** 0x0a0a, 0x1a1a, … 0xfafa. */
function isGreaseValue(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff)
}

/** Reads numbers and vectors in their order. What goes beyond the end fails it for good, and reads as 0. */
class Cursor {
  readonly #bytes: Buffer
  at: number
  readonly end: number
  failed = false

  constructor(bytes: Buffer, { start, end }: Range) {
    this.#bytes = bytes
    this.at = start
    this.end = end
  }

  /** Whether all has been read, and nothing went wrong. */
  get complete(): boolean {
    return !this.failed && this.at === this.end
  }

  get more(): boolean {
    return !this.failed && this.at < this.end
  }

  /** Big-endian. */
  number(size: 1 | 2): number {
    const start = this.skip(size)
    return this.failed ? 0 : this.#bytes.readUIntBE(start, size)
  }

  /** Returns where the skipped bytes begin. */
  skip(length: number): number {
    const start = this.at
    if (length > this.end - start) this.failed = true
    else this.at += length
    return start
  }

  /** A vector behind its length, of `size` bytes. */
  vector(size: 1 | 2): Range {
    const length = this.number(size)
    const start = this.skip(length)
    return this.failed ? NOWHERE : { start, end: start + length }
  }

  fail(): void {
    this.failed = true
  }
}

/** `message` is the body, without type and length, and nothing behind it. Undefined where it breaks a rule. */
export function parseClientHello(message: Buffer): ClientHello | undefined {
  const cursor = new Cursor(message, { start: 0, end: message.length })
  const legacyVersion = cursor.number(2)
  cursor.skip(RANDOM_BYTES)
  const sessionId = lengthOf(cursor.vector(1))
  const suites = lengthOf(cursor.vector(2))
  const compressions = lengthOf(cursor.vector(1))
  if (cursor.failed || legacyVersion >> 8 !== TLS_MAJOR || sessionId > MAX_SESSION_ID)
    return undefined
  if (suites === 0 || suites % 2 !== 0 || compressions === 0) return undefined
  const found = readExtensions(message, cursor)
  return found === undefined ? undefined : new ClientHello(message, legacyVersion, found)
}

function lengthOf({ start, end }: Range): number {
  return end - start
}

/** Before TLS 1.3 there may be none at all. */
function readExtensions(message: Buffer, cursor: Cursor): FoundExtensions | undefined {
  const found: FoundExtensions = {
    serverName: '',
    encrypted: false,
    protocols: undefined,
    versions: undefined,
  }
  if (cursor.complete) return found
  const all = new Cursor(message, cursor.vector(2))
  if (!cursor.complete) return undefined
  while (all.more) {
    const type = all.number(2)
    const range = all.vector(2)
    if (all.failed || !readExtension(message, found, type, range)) return undefined
  }
  return all.failed ? undefined : found
}

/** False where it is malformed, or comes twice: who reads the first one and who reads the last one would differ. */
function readExtension(
  message: Buffer,
  found: FoundExtensions,
  type: number,
  range: Range,
): boolean {
  switch (type) {
    case SERVER_NAME: {
      const name = readServerName(message, range)
      if (name === undefined || found.serverName !== '') return false
      found.serverName = name
      return true
    }
    case PROTOCOLS: {
      const again = found.protocols !== undefined
      found.protocols = readProtocols(message, range)
      return !again && found.protocols !== undefined
    }
    case SUPPORTED_VERSIONS: {
      const again = found.versions !== undefined
      found.versions = readVersions(message, range)
      return !again && found.versions !== undefined
    }
    case ENCRYPTED_CLIENT_HELLO: {
      const again = found.encrypted
      found.encrypted = true
      return !again
    }
    default:
      return true
  }
}

/** A list (RFC 6066 §3), in which nobody has ever sent anything but one host name: OpenSSL takes nothing else either. */
function readServerName(message: Buffer, range: Range): string | undefined {
  const cursor = new Cursor(message, range)
  const list = cursor.vector(2)
  if (!cursor.complete) return undefined
  const entry = new Cursor(message, list)
  const type = entry.number(1)
  const { start, end } = entry.vector(2)
  if (!entry.complete || type !== HOST_NAME || end === start || end - start > MAX_SERVER_NAME)
    return undefined
  const name = message.toString('latin1', start, end)
  return name.includes('\0') ? undefined : name
}

function readProtocols(message: Buffer, range: Range): Range | undefined {
  const cursor = new Cursor(message, range)
  const list = cursor.vector(2)
  if (!cursor.complete || lengthOf(list) === 0) return undefined
  const names = new Cursor(message, list)
  while (names.more) if (lengthOf(names.vector(1)) === 0) names.fail()
  return names.failed ? undefined : list
}

function readVersions(message: Buffer, range: Range): Range | undefined {
  const cursor = new Cursor(message, range)
  const list = cursor.vector(1)
  const valid = cursor.complete && lengthOf(list) > 0 && lengthOf(list) % 2 === 0
  return valid ? list : undefined
}
