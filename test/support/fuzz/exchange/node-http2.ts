/** Exchanges with `node:http2` at either end. */
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import {
  AUTHORITY,
  answerLines,
  CANCEL,
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

export async function nodeHttp2Server(lookup: Lookup): Promise<ExchangeServer> {
  const board = new Board<SeenRequest>()
  const sessions = new Set<ServerHttp2Session>()
  // Clients here give up far more often than others.
  const server = createServer({ streamResetBurst: 1_000_000, streamResetRate: 1_000_000 })
  server.on('session', session => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
    session.on('error', () => {})
  })
  server.on('stream', (stream: ServerHttp2Stream, _headers, ...[, raw]) => {
    const number = Number(valueOf(pairs(raw), NUMBER))
    void serve(stream, pairs(raw), lookup(number)).then(seen => board.say(number, seen))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    seen: number => board.ask(number, 'the request'),
    close: async () => {
      for (const session of sessions) session.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function serve(
  stream: ServerHttp2Stream,
  lines: Lines,
  exchange: Exchange,
): Promise<SeenRequest> {
  const notes = new Notes()
  let whole = false
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => notes.data(chunk))
  stream.on('trailers', (_headers: unknown, _flags: number, raw: string[] = []) => {
    notes.trailers = inOrder(pairs(raw))
  })
  const ended = new Promise<void>(resolve => {
    stream.on('end', () => {
      whole = true
      resolve()
    })
    stream.on('close', () => resolve())
  })
  const closed = new Promise<void>(resolve => {
    stream.on('close', () => resolve())
  })
  const { answer } = exchange
  if (!answer.early) await ended
  answerWith(stream, exchange, ended)
  await closed
  const cut = exchange.abandoned || answer.reset !== 'none' || !whole || stream.rstCode !== 0
  return {
    ...notes.message(lines),
    method: valueOf(lines, ':method'),
    path: valueOf(lines, ':path'),
    authority: valueOf(lines, ':authority') || valueOf(lines, 'host'),
    end: cut ? 'cut' : 'whole',
  }
}

function answerWith(stream: ServerHttp2Stream, exchange: Exchange, ended: Promise<void>): void {
  const { answer, abandoned } = exchange
  if (stream.destroyed) return
  for (let index = 0; index < answer.interim; index++)
    stream.additionalHeaders({ ':status': 103, ...Object.fromEntries(INTERIM) })
  // Another code than INTERNAL_ERROR would come behind a clean end of the stream.
  const reset = (): void => void stream.destroy(new Error('as planned'))
  if (answer.reset === 'before') {
    reset()
    return
  }
  const bodiless = answer.body.length === 0 && answer.reset === 'none' && !abandoned
  const head = [':status', `${answer.status}`, ...answerLines(exchange).flat()]
  stream.respond(head, {
    endStream: bodiless && !answer.early,
    waitForTrailers: answer.trailers.length > 0 && !abandoned,
  })
  stream.on('wantTrailers', () => stream.sendTrailers(Object.fromEntries(answer.trailers)))
  for (const index of answer.body.keys()) stream.write(pieceOf(exchange, 'deployment', index))
  if (answer.reset === 'behind head') stream.write('', reset)
  else if (!abandoned) void ended.then(() => stream.end())
}

export async function nodeHttp2Client(port: number): Promise<ExchangeClient> {
  const session = connect(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  await once(session, 'connect')
  return {
    call: exchange => inTime(`answer of exchange ${exchange.id}`, call(session, exchange)),
    close: async () => {
      const closed = session.closed || session.destroyed ? undefined : once(session, 'close')
      session.destroy()
      await closed
    },
  }
}

async function call(session: ClientHttp2Session, exchange: Exchange): Promise<SeenAnswer> {
  const { method, path, body, trailers, abandoned } = exchange
  const pseudo = [':method', method, ':scheme', 'http', ':authority', AUTHORITY, ':path', path]
  const stream = session.request([...pseudo, ...requestLines(exchange).flat()], {
    endStream: body.length === 0,
    waitForTrailers: trailers.length > 0,
  })
  const notes = new Notes()
  const interim: string[][] = []
  let [status, lines, whole] = [0, [] as Lines, false]
  stream.on('headers', (_headers: IncomingHttpHeaders, _flags: number, raw: string[] = []) =>
    interim.push(inOrder(pairs(raw))),
  )
  stream.on('response', (headers, _flags, raw: string[] = []) => {
    status = Number(headers[':status'])
    lines = pairs(raw)
    if (abandoned) stream.close(CANCEL)
  })
  stream.on('trailers', (_headers: unknown, _flags: number, raw: string[] = []) => {
    notes.trailers = inOrder(pairs(raw))
  })
  stream.on('data', (chunk: Buffer) => notes.data(chunk))
  stream.on('end', () => {
    whole = true
  })
  stream.on('error', () => {})
  sendBody(stream, exchange)
  await new Promise(resolve => {
    stream.on('close', resolve)
  })
  // What a reset cuts off ends as well.
  whole &&= stream.rstCode === 0
  return {
    ...notes.message(lines),
    interim,
    status,
    end: abandoned ? 'given up' : whole ? 'whole' : 'cut',
    code: abandoned || whole ? NO_CODE : (stream.rstCode ?? NO_CODE),
  }
}

function sendBody(stream: ClientHttp2Stream, exchange: Exchange): void {
  const { body, trailers } = exchange
  if (body.length === 0) return
  stream.on('wantTrailers', () => stream.sendTrailers(Object.fromEntries(trailers)))
  for (const index of body.keys()) stream.write(pieceOf(exchange, 'client', index))
  stream.end()
}

function valueOf(lines: Lines, name: string): string {
  return lines.find(([each]) => each === name)?.[1] ?? ''
}
