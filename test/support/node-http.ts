/**
 * Node's own HTTP/1.1 parser (llhttp) as a second opinion, through `node:http`: what it reads in bytes that have gone
 * through the proxy, in both directions. It gets them over a pair of streams, without a socket.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  request as startRequest,
} from 'node:http'
import { duplexPair } from 'node:stream'
import type { Fields } from './strict-http1.ts'

export interface NodeRequest {
  readonly method: string
  readonly target: string
  readonly minor: number
  /** Name as it came, value without surrounding whitespace. */
  readonly fields: Fields
  /** One character a byte. */
  readonly body: string
}

export interface NodeAnswer {
  readonly status: number
  readonly minor: number
  readonly fields: Fields
  readonly body: string
  /** Interim answers before it. */
  readonly interim: readonly number[]
}

/** What Node read, and the code of its error where it read no more. */
export interface NodeReading<Message> {
  readonly messages: readonly Message[]
  readonly refusal: string
}

/** Reads requests, as many connections as are given to it. */
export class NodeRequestReader {
  readonly #server: Server
  readonly #read = new WeakMap<object, NodeRequest[]>()
  readonly #refusals = new WeakMap<object, string>()

  constructor() {
    this.#server = createServer({ insecureHTTPParser: false, maxHeaderSize: 64 * 1024 })
    const take = (request: IncomingMessage, response: ServerResponse): void => {
      gather(request, body => {
        const { method = '', url = '', httpVersionMinor: minor } = request
        const fields = fieldsOf(request)
        this.#read.get(request.socket)?.push({ method, target: url, minor, fields, body })
        response.end()
      })
    }
    this.#server.on('request', take)
    // Its parser takes any expectation; only its server refuses some.
    this.#server.on('checkExpectation', take)
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refusals.set(socket, error.code ?? error.message)
      socket.destroy()
    })
  }

  /** All requests that Node reads on one connection with these bytes. */
  async read(bytes: Buffer): Promise<NodeReading<NodeRequest>> {
    const [client, connection] = duplexPair()
    const messages: NodeRequest[] = []
    this.#read.set(connection, messages)
    const closed = new Promise(resolve => connection.once('close', resolve))
    this.#server.emit('connection', connection)
    client.resume()
    client.on('error', () => {})
    client.end(bytes)
    await closed
    client.destroy()
    return { messages, refusal: this.#refusals.get(connection) ?? '' }
  }

  close(): void {
    this.#server.close()
  }
}

/** What Node reads in `bytes` as the answer to a request with `method`, on a connection that ends behind them. */
export async function nodeReadsAnswer(
  bytes: Buffer,
  method: string,
): Promise<NodeReading<NodeAnswer>> {
  const [client, connection] = duplexPair()
  const request = startRequest({
    method,
    path: '/',
    headers: { host: 'a' },
    maxHeaderSize: 64 * 1024,
    createConnection: () => client,
  })
  const interim: number[] = []
  request.on('information', ({ statusCode }) => interim.push(statusCode))
  const done = new Promise<NodeReading<NodeAnswer>>(resolve => {
    request.on('error', (error: NodeJS.ErrnoException) =>
      resolve({ messages: [], refusal: error.code ?? error.message }),
    )
    const take = (answer: IncomingMessage): void => {
      const { statusCode: status = 0, httpVersionMinor: minor } = answer
      const finish = (body: string): void => {
        const message = { status, minor, fields: fieldsOf(answer), body, interim }
        resolve({ messages: [message], refusal: '' })
      }
      if (status === 101) finish('')
      else gather(answer, finish)
      answer.on('error', (error: NodeJS.ErrnoException) =>
        resolve({ messages: [], refusal: error.code ?? error.message }),
      )
    }
    request.on('response', take)
    request.on('upgrade', take)
  })
  request.end()
  connection.on('error', () => {})
  connection.resume()
  connection.end(bytes)
  const reading = await done
  request.destroy()
  connection.destroy()
  return reading
}

/** Calls `done` with the body once it is complete, and not at all where it never is. */
function gather(message: IncomingMessage, done: (body: string) => void): void {
  const chunks: Buffer[] = []
  message.on('data', (chunk: Buffer) => chunks.push(chunk))
  message.on('end', () => {
    if (message.complete) done(Buffer.concat(chunks).toString('latin1'))
  })
}

function fieldsOf({ rawHeaders }: IncomingMessage): Fields {
  const fields: [string, string][] = []
  for (let at = 0; at < rawHeaders.length; at += 2)
    fields.push([
      rawHeaders[at] as string,
      (rawHeaders[at + 1] as string).replace(/^[ \t]+|[ \t]+$/g, ''),
    ])
  return fields
}
