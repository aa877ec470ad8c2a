/**
 * A second opinion: whatever the codec accepts, Node's own parser reads as the same request with the same body and the
 * same end, or refuses for a reason that is of no concern. Node gets the bytes over a pair of streams, with another request behind them.
 */

import {
  createServer,
  type IncomingMessage,
  METHODS,
  type Server,
  type ServerResponse,
} from 'node:http'
import { duplexPair } from 'node:stream'
import fc from 'fast-check'
import { t as root, test } from 'tap'
import { BodyReader } from '../../src/codec/http1/body.ts'
import { FieldTable } from '../../src/codec/http1/field-table.ts'
import { BODY_CHUNKED } from '../../src/codec/http1/framing.ts'
import { RequestHead } from '../../src/codec/http1/request-head.ts'
import { latin1 } from '../unit/codec/http1/every-split.ts'
import { BUDGET_MS, mutants, parameters, SEED } from './http1-messages.ts'

const NEXT = 'GET /next-one HTTP/1.1\r\nHost: next\r\n\r\n'
root.setTimeout(BUDGET_MS * 2 + 60_000)

interface Read {
  readonly method: string
  readonly target: string
  readonly minor: number
  readonly body: string
  /** Lines that nobody looks at, as `name: value`. */
  readonly others: readonly string[]
  /** Of the fields that somebody looks at. */
  readonly looked: readonly string[]
}

const table = new FieldTable([])
const names = table.rules.map(rule => rule.name)

/** What the codec reads; `used` is where the request ends. Undefined where it refuses or waits. */
function ours(head: RequestHead, bytes: Buffer): { read: Read; used: number } | undefined {
  const end = head.read(bytes, 0, bytes.length)
  if (end <= 0) return undefined
  let body = ''
  const reader = new BodyReader(table)
  reader.begin(head.kind, head.length)
  const used = reader.read(bytes, end, bytes.length, {
    bodyData: (from, start, stop) => {
      body += from.toString('latin1', start, stop)
    },
  })
  if (!reader.done) return undefined
  const { method, target, minor } = head
  const others = head.fields.lines.split('\r\n').slice(0, -1).map(normal)
  return { read: { method, target, minor, body, others, looked: [...head.fields.values] }, used }
}

function normal(line: string): string {
  const colon = line.indexOf(':')
  return `${line.slice(0, colon)}: ${line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')}`
}

function theirs(request: IncomingMessage, body: string): Read {
  const { method = '', url = '', httpVersionMinor: minor, rawHeaders } = request
  const others: string[] = []
  const looked = new Map<string, string[]>(names.map(name => [name, []]))
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    const value = rawHeaders[at + 1] as string
    const list = looked.get(name.toLowerCase())
    if (list) list.push(value)
    // Names that only underscores tell from those are dropped by the codec.
    else if (!looked.has(name.toLowerCase().replaceAll('_', '-')))
      others.push(normal(`${name}: ${value}`))
  }
  return {
    method,
    target: url,
    minor,
    body,
    others,
    looked: [...looked.values()].map(all => all.join(', ')),
  }
}

/** All requests that Node reads on one connection with these bytes, and why it read no more. */
async function nodeReads(
  server: Server,
  bytes: Buffer,
): Promise<{ reads: Read[]; refusal: string }> {
  const [client, connection] = duplexPair()
  const reads: Read[] = []
  readers.set(connection, reads)
  const closed = new Promise(resolve => connection.once('close', resolve))
  server.emit('connection', connection)
  client.resume()
  client.on('error', () => {})
  client.end(bytes)
  await closed
  client.destroy()
  return { reads, refusal: refusals.get(connection) ?? '' }
}
const readers = new WeakMap<object, Read[]>()
/** Why Node refused something on a connection. */
const refusals = new WeakMap<object, string>()

function nodeServer(): Server {
  const server = createServer({ insecureHTTPParser: false, maxHeaderSize: 64 * 1024 })
  const read = (request: IncomingMessage, response: ServerResponse): void => {
    let body = ''
    request.setEncoding('latin1')
    request.on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      readers.get(request.socket)?.push(theirs(request, body))
      response.end()
    })
  }
  server.on('request', read)
  // Its parser takes any expectation; only its server refuses some.
  server.on('checkExpectation', read)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    refusals.set(socket, error.code ?? '')
    socket.destroy()
  })
  return server
}

await test('Node reads what the codec accepts in the same way', async t => {
  t.comment(`seed ${SEED}`)
  const server = nodeServer()
  const head = new RequestHead(table)
  let same = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(mutants, async text => {
      const given = latin1(text)
      const found = ours(head, given)
      if (found === undefined) return
      const { read, used } = found
      const { close, keepAlive, upgrade } = head.connection
      // Behind a request for an upgrade Node reads no more; we pass on none that has a body.
      const persists = !upgrade && (read.minor === 1 ? !close : keepAlive)
      const chunked = head.kind === BODY_CHUNKED
      const behind = persists ? NEXT : ''
      const sent = Buffer.concat([given.subarray(0, used), latin1(behind)])
      const { reads, refusal } = await nodeReads(server, sent)
      const [first, second] = reads
      if (first === undefined) {
        // It serves only some methods, and looks closer at extensions and trailers, of which we write our own or none.
        if (METHODS.includes(read.method) && !chunked) throw new Error(`Node: ${refusal}`)
        refused++
        return
      }
      if (JSON.stringify(first) !== JSON.stringify(read))
        throw new Error(`Node: ${JSON.stringify(first)}, we: ${JSON.stringify(read)}`)
      if (persists && second?.target !== '/next-one') throw new Error('Node sees another end')
      same++
    }),
    parameters(1),
  )
  t.comment(`${same} read the same, ${refused} refused by Node`)
  t.ok(same > 10 && same > refused)
  server.close()
})
