/**
 * PROXY headers, whole and damaged: our reader and another one that shares nothing with it read the same, wherever the
 * bytes are cut; what we write, both read back.
 */
import { t as root, test } from 'tap'
import { writeProxyHeader } from '../../src/codec/proxy-header-writer.ts'
import { type ProxyHeaderResult, parseProxyHeader } from '../../src/codec/proxy-protocol.ts'
import { readProxyFacts } from '../../src/codec/proxy-tlv.ts'
import { budgetMs, SEED, Search, timeoutMs } from '../support/fuzz/budget.ts'
import { readPlainHeader } from '../support/plain-proxy-header.ts'
import { tlv } from '../support/proxy-header.ts'
import { SeededRandom } from '../support/seeded-random.ts'

root.setTimeout(timeoutMs('proxy-headers'))

const MAX_FINDINGS = 5
const ADDRESSES = ['10.1.2.3', '0.0.0.0', '255.255.255.255', '::1', '2001:db8::7', '::ffff:1.2.3.4']
const WORDS = [
  'TCP4',
  'TCP6',
  'UNKNOWN',
  '01',
  '65535',
  '65536',
  '',
  '::',
  '1.2.3',
  '\r',
  '\n',
  'x',
]
const TYPES = [1, 2, 3, 4, 5, 0x20, 0x30, 0xe0, 0xea, 0xee, 0xf7]

class Headers {
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
  }

  next(): Buffer {
    const whole = this.#random.below(3) === 0 ? this.#line() : this.#binary()
    const rest = Buffer.from('GET / HTTP/1.1\r\n'.slice(0, this.#random.below(17)))
    const bytes = Buffer.concat([this.#random.below(2) === 0 ? whole : this.#damaged(whole), rest])
    return this.#random.below(4) === 0 ? bytes.subarray(0, this.#random.below(bytes.length)) : bytes
  }

  #line(): Buffer {
    if (this.#random.below(2) === 0) return this.#written(1)
    const words = ['PROXY', this.#pick(WORDS.slice(0, 3))]
    for (let count = this.#random.below(6); count > 0; count--)
      words.push(this.#pick([...ADDRESSES, ...WORDS]))
    // Around the 107 bytes that a line may have.
    if (this.#random.below(4) === 0) words.push('y'.repeat(85 + this.#random.below(20)))
    return Buffer.from(`${words.join(' ')}\r\n`, 'latin1')
  }

  #written(version: 1 | 2): Buffer {
    const end = (): { address: string; port: number } => ({
      address: this.#pick(ADDRESSES),
      port: this.#random.below(65_536),
    })
    return writeProxyHeader(version, { source: end(), destination: end() })
  }

  #binary(): Buffer {
    const head = this.#written(2)
    const tlvs = Array.from({ length: this.#random.below(5) }, () => this.#tlv())
    const block = Buffer.concat([head.subarray(16), ...tlvs])
    const length = Buffer.alloc(2)
    length.writeUInt16BE(block.length)
    const bytes = Buffer.concat([head.subarray(0, 14), length, block])
    return this.#random.below(3) === 0 ? withChecksum(bytes) : bytes
  }

  #tlv(): Buffer {
    const type = this.#pick(TYPES)
    if (type === 3) return tlv(3, Buffer.alloc(this.#random.between(3, 4), this.#random.below(256)))
    const value = Buffer.from(
      Array.from({ length: this.#random.below(12) }, () => this.#random.below(256)),
    )
    // What is private about a value is not what the two readers are compared in.
    return tlv(type, this.#random.below(2) === 0 ? value : '\x01vpce-1')
  }

  #damaged(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes)
    for (let count = 1 + this.#random.below(3); count > 0; count--) {
      const at = this.#random.below(copy.length)
      copy.writeUInt8(copy.readUInt8(at) ^ (1 << this.#random.below(8)), at)
    }
    return copy
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)] as T
  }
}

/** With a CRC32C behind everything else, as the other reader computes it. */
function withChecksum(bytes: Buffer): Buffer {
  const whole = Buffer.concat([bytes, tlv(3, Buffer.alloc(4))])
  whole.writeUInt16BE(whole.length - 16, 14)
  let crc = 0xffffffff
  for (const byte of whole) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  whole.writeUInt32BE((crc ^ 0xffffffff) >>> 0, whole.length - 4)
  return whole
}

/** In the words of the other reader. */
function saidBy(result: ProxyHeaderResult): string | undefined {
  if (result.kind !== 'header') return undefined
  const { version, local, source, destination, tlvs } = result.header
  const words: (string | number)[] = [version]
  if (local) words.push('local')
  if (source && destination)
    words.push(source.address, source.port, destination.address, destination.port)
  return `${words.join(' ')} ${tlvs.map(({ type }) => type).join(' ')}`.trim()
}

/** What is wrong between the two readings, if anything. */
function faultOf(bytes: Buffer): string | undefined {
  const ours = parseProxyHeader(bytes)
  const other = readPlainHeader(bytes)
  for (let cut = 0; cut < bytes.length; cut++) {
    const early = parseProxyHeader(bytes.subarray(0, cut))
    if (early.kind === 'header' && (ours.kind !== 'header' || ours.length > cut))
      return `a header at ${cut} and not at the end`
    if (early.kind === 'invalid' && ours.kind !== 'invalid') return `invalid at ${cut} alone`
  }
  if (ours.kind === 'header') {
    if (other.kind !== 'header') return `${other.kind} for the other`
    if (ours.length !== other.length) return `${ours.length} and ${other.length} bytes`
    const said = other.says.replace(/ ?TLV/, '').replaceAll(/ +/g, ' ').trim()
    return saidBy(ours) === said ? undefined : `${saidBy(ours)} and ${said}`
  }
  // We know what the TLVs mean, and refuse those whose meaning is broken; and see earlier that nothing helps.
  if (other.kind === 'header') return refusesMeaning(bytes) ? undefined : 'a header for the other'
  return ours.kind === 'incomplete' && other.kind === 'invalid'
    ? 'invalid for the other'
    : undefined
}

function refusesMeaning(bytes: Buffer): boolean {
  const result = parseProxyHeader(bytes)
  if (result.kind !== 'invalid') return false
  const found: { type: number; value: Buffer }[] = []
  const size = (bytes[13] ?? 0) < 0x20 ? 12 : (bytes[13] ?? 0) < 0x30 ? 36 : 216
  const length = 16 + bytes.readUInt16BE(14)
  for (let at = 16 + size; at < length; ) {
    const end = at + 3 + bytes.readUInt16BE(at + 1)
    found.push({ type: bytes.readUInt8(at), value: bytes.subarray(at + 3, end) })
    at = end
  }
  return 'fault' in readProxyFacts(found)
}

await test('two readers of PROXY headers agree', t => {
  const headers = new Headers(new SeededRandom(SEED))
  const search = new Search('proxy-headers', budgetMs('proxy-headers'), line => t.comment(line))
  t.comment(`FUZZ_SEED=${SEED}`)
  const kinds: Record<string, number> = { header: 0, incomplete: 0, invalid: 0 }
  const findings: string[] = []
  while (findings.length < MAX_FINDINGS && search.next(() => JSON.stringify(kinds))) {
    const bytes = headers.next()
    const { kind } = parseProxyHeader(bytes)
    kinds[kind] = (kinds[kind] ?? 0) + 1
    const fault = faultOf(bytes)
    if (fault !== undefined) findings.push(`${fault}: ${bytes.toString('hex')}`)
  }
  t.same(findings, [])
  for (const [kind, count] of Object.entries(kinds)) t.ok(count > 100, `${count} ${kind}`)
  t.end()
})
