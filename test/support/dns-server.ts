/** A DNS server on UDP whose every answer the test decides (RFC 1035; one question a message, no compression asked for). */
import dgram from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import type { Test } from 'tap'

const TYPE_A = 1
const TYPE_AAAA = 28
const NXDOMAIN = 3
const SERVFAIL = 2

/** Of one name: its addresses of both families, or what is wrong. */
export type Zone = Record<string, readonly string[] | 'unknown' | 'broken' | 'silent'>

export interface DnsServer {
  /** For `setServers`. */
  readonly address: string
  /** What it answers; may be changed at any time. A name that is not in it is unknown. */
  readonly zone: Zone
  /** Seconds, in every answer. */
  ttl: number
  /** Questions so far, such as `A web.test`. */
  readonly questions: readonly string[]
}

export async function dnsServer(t: Test, zone: Zone): Promise<DnsServer> {
  const socket = dgram.createSocket('udp4')
  const questions: string[] = []
  socket.on('message', (message, peer) => {
    const { name, type, end } = readQuestion(message)
    questions.push(`${type === TYPE_AAAA ? 'AAAA' : type === TYPE_A ? 'A' : type} ${name}`)
    const known = server.zone[name] ?? 'unknown'
    if (known === 'silent') return
    const question = message.subarray(12, end)
    const id = message.readUInt16BE(0)
    socket.send(writeAnswer({ id, question, type, ttl: server.ttl }, known), peer.port)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  const server: DnsServer = {
    address: `127.0.0.1:${socket.address().port}`,
    zone,
    ttl: 60,
    questions,
  }
  return server
}

function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 }
}

interface Asked {
  readonly id: number
  readonly question: Buffer
  readonly type: number
  readonly ttl: number
}

function writeAnswer(asked: Asked, known: readonly string[] | 'unknown' | 'broken'): Buffer {
  const fitting =
    typeof known === 'string'
      ? []
      : known.filter(address => isIPv6(address) === (asked.type === TYPE_AAAA))
  const code = known === 'unknown' ? NXDOMAIN : known === 'broken' ? SERVFAIL : 0
  const head = Buffer.alloc(12)
  head.writeUInt16BE(asked.id, 0)
  // A response, recursion desired and available.
  head.writeUInt16BE(0x8180 | code, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(fitting.length, 6)
  return Buffer.concat([head, asked.question, ...fitting.map(address => record(asked, address))])
}

function record({ type, ttl }: Asked, address: string): Buffer {
  const data =
    type === TYPE_A
      ? Buffer.from(address.split('.').map(Number))
      : Buffer.from(hexOf(address), 'hex')
  const head = Buffer.alloc(12)
  // The name of the question.
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function hexOf(address: string): string {
  const [left = '', right = ''] = address.split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const missing = 8 - groups(left).length - groups(right).length
  const all = [...groups(left), ...Array.from({ length: missing }, () => '0'), ...groups(right)]
  return all.map(group => group.padStart(4, '0')).join('')
}
