/** Exchanges with `node:http` at either end. There is no stream to reset: connections are cut. */
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  AUTHORITY,
  answerLines,
  type Exchange,
  INTERIM,
  inOrder,
  type Lines,
  Notes,
  NUMBER,
  pairs,
  pieceOf,
  requestLines,
  type SeenAnswer,
  type SeenRequest,
} from '../http2-exchanges.ts'
import { Board, type ExchangeClient, type ExchangeServer, inTime, type Lookup } from './peers.ts'

const NO_CODE = -1

export async function nodeHttp1Server(lookup: Lookup): Promise<ExchangeServer> {
  const board = new Board<SeenRequest>()
  const server = createServer({ keepAliveTimeout: 0 }, (message, response) => {
    const number = Number(message.headers[NUMBER])
    void serve(message, response, lookup(number)).then(seen => board.say(number, seen))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    seen: number => board.ask(number, 'the request'),
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function serve(
  message: IncomingMessage,
  response: ServerResponse,
  exchange: Exchange,
): Promise<SeenRequest> {
  const notes = new Notes()
  message.on('error', () => {})
  response.on('error', () => {})
  message.on('data', (chunk: Buffer) => notes.data(chunk))
  const ended = new Promise<void>(resolve => {
    message.on('end', () => {
      notes.trailers = inOrder(pairs(message.rawTrailers))
      resolve()
    })
    message.on('close', () => resolve())
  })
  const closed = new Promise<void>(resolve => {
    response.on('close', () => resolve())
  })
  const { answer, abandoned } = exchange
  if (!answer.early) await ended
  answerWith(response, exchange, ended)
  await Promise.all([ended, closed])
  const lines = pairs(message.rawHeaders)
  const cut = abandoned || answer.reset !== 'none' || !message.complete
  return {
    ...notes.message(lines),
    method: message.method ?? '',
    path: message.url ?? '',
    authority: message.headers.host ?? '',
    end: cut ? 'cut' : 'whole',
  }
}

function answerWith(response: ServerResponse, exchange: Exchange, ended: Promise<void>): void {
  const { answer, abandoned } = exchange
  if (response.destroyed) return
  for (let index = 0; index < answer.interim; index++)
    response.writeEarlyHints(Object.fromEntries(INTERIM))
  if (answer.reset === 'before') {
    response.destroy()
    return
  }
  response.writeHead(answer.status, answerLines(exchange).flat())
  for (const index of answer.body.keys()) response.write(pieceOf(exchange, 'deployment', index))
  if (answer.early) response.flushHeaders()
  if (answer.reset === 'behind head') {
    response.flushHeaders()
    response.write(' ', () => response.destroy())
  } else if (abandoned) response.flushHeaders()
  else
    void ended.then(() => {
      response.addTrailers(Object.fromEntries(answer.trailers))
      response.end()
    })
}

export function nodeHttp1Client(port: number): Promise<ExchangeClient> {
  const agent = new Agent({ keepAlive: true })
  return Promise.resolve({
    call: exchange => inTime(`answer of exchange ${exchange.id}`, call(port, agent, exchange)),
    close: async () => agent.destroy(),
  })
}

async function call(port: number, agent: Agent, exchange: Exchange): Promise<SeenAnswer> {
  const { method, path, body, sized, trailers, abandoned } = exchange
  const framing: Lines = body.length > 0 && !sized ? [['transfer-encoding', 'chunked']] : []
  const hop: Lines = exchange.fields.some(([name]) => name === 'te') ? [['connection', 'te']] : []
  const headers = [['host', AUTHORITY], ...requestLines(exchange), ...framing, ...hop].flat()
  const outgoing = request({ host: '127.0.0.1', port, agent, method, path, headers })
  const notes = new Notes()
  const interim: string[][] = []
  outgoing.on('information', ({ rawHeaders }) => interim.push(inOrder(pairs(rawHeaders))))
  const answered = new Promise<IncomingMessage | undefined>(resolve => {
    outgoing.on('response', resolve)
    outgoing.on('error', () => resolve(undefined))
    outgoing.on('close', () => resolve(undefined))
  })
  for (const index of body.keys()) outgoing.write(pieceOf(exchange, 'client', index))
  if (body.length > 0) outgoing.addTrailers(Object.fromEntries(trailers))
  outgoing.end()
  const message = await answered
  if (message === undefined)
    return { ...notes.message([]), interim, status: 0, end: 'cut', code: NO_CODE }
  message.on('data', (chunk: Buffer) => notes.data(chunk))
  message.on('error', () => {})
  // A client that only ends its side may still want the answer.
  if (abandoned) message.socket.resetAndDestroy()
  await new Promise<void>(resolve => {
    if (message.closed) resolve()
    else message.on('close', () => resolve())
  })
  notes.trailers = inOrder(pairs(message.rawTrailers))
  const end = abandoned ? 'given up' : message.complete ? 'whole' : 'cut'
  const status = message.statusCode ?? 0
  return { ...notes.message(pairs(message.rawHeaders)), interim, status, end, code: NO_CODE }
}
