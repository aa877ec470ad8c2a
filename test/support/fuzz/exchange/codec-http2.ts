/** Exchanges with a session of the codec at either end. */
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { ClientSession } from '../../../../src/codec/http2/client-session.ts'
import { HeaderField, INDEXED } from '../../../../src/codec/http2/header-field.ts'
import { ServerSession } from '../../../../src/codec/http2/server-session.ts'
import type { SessionEvents } from '../../../../src/codec/http2/session-options.ts'
import type { Http2Stream } from '../../../../src/codec/http2/stream.ts'
import { INTERNAL_ERROR } from '../../http2/codes.ts'
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
  pieceOf,
  requestLines,
  type SeenAnswer,
  type SeenRequest,
} from '../http2-exchanges.ts'
import { Board, type ExchangeClient, type ExchangeServer, inTime, type Lookup } from './peers.ts'

/** One end of a stream: what it has heard, and what it still has to say. */
class Side {
  readonly notes = new Notes()
  lines: Lines = []
  interim: string[][] = []
  status = 0
  ended = false
  code = -1
  exchange: Exchange
  readonly outgoing: Buffer[] = []
  trailers: Lines = []
  /** What is done once all of `outgoing` was taken; nothing where more is to come. */
  finally: 'end' | 'reset' | 'nothing' = 'nothing'
  over: () => void = () => {}

  constructor(exchange: Exchange) {
    this.exchange = exchange
  }
}

type Stream = Http2Stream<Side>
type Session = ServerSession<Side> | ClientSession<Side>

function toFields(lines: Lines): HeaderField[] {
  return lines.map(([name, value]) => new HeaderField(name, value, INDEXED))
}

function toLines(fields: readonly HeaderField[]): Lines {
  return fields.map(({ name, value }) => [name, value])
}

function pump(session: Session, stream: Stream): void {
  const side = stream.owner as Side
  for (let first = side.outgoing[0]; first !== undefined; first = side.outgoing[0]) {
    const taken = session.send(stream, first, { start: 0, end: first.length })
    if (taken < first.length) {
      side.outgoing[0] = first.subarray(taken)
      return
    }
    side.outgoing.shift()
  }
  if (side.finally === 'reset') {
    session.reset(stream, INTERNAL_ERROR)
    side.over()
  } else if (side.finally === 'end' && side.trailers.length > 0)
    session.sendTrailers(stream, toFields(side.trailers))
  else if (side.finally === 'end') session.end(stream)
  side.finally = 'nothing'
}

/** What both ends do the same. `onEnd` is asked once the other end has said all. */
function eventsOf(session: () => Session, onEnd: (stream: Stream) => void): SessionEvents<Side> {
  return {
    data: (stream, bytes, start, end) => {
      stream.owner?.notes.data(bytes.subarray(start, end))
      session().consumed(stream, end - start)
    },
    trailers: (stream, fields) => {
      if (stream.owner !== undefined) stream.owner.notes.trailers = inOrder(toLines(fields))
    },
    ended: stream => {
      if (stream.owner === undefined) return
      stream.owner.ended = true
      onEnd(stream)
      if (!stream.localOpen) stream.owner.over()
    },
    reset: (stream, code) => {
      if (stream.owner === undefined) return
      stream.owner.code = code
      stream.owner.over()
    },
    writable: stream => {
      pump(session(), stream)
      if (!stream.localOpen && stream.owner?.ended === true) stream.owner.over()
    },
    goingAway: () => {},
    pong: () => {},
    failed: (code, why) => {
      throw new Error(`the session failed with ${code}: ${why}`)
    },
  }
}

function wire(socket: Socket, session: Session): () => void {
  const flush = (): void => {
    for (const piece of session.take()) socket.write(piece)
    if (session.over) socket.end()
  }
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    session.receive(chunk, performance.now())
    flush()
  })
  flush()
  return flush
}

export async function codecServer(lookup: Lookup): Promise<ExchangeServer> {
  const board = new Board<SeenRequest>()
  const sockets = new Set<Socket>()
  const server = net.createServer({ noDelay: true }, socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    const session: ServerSession<Side> = new ServerSession<Side>(
      {
        ...eventsOf(
          () => session,
          stream => {
            const { exchange } = stream.owner as Side
            if (!exchange.answer.early) begin(session, stream)
            finish(session, stream)
          },
        ),
        request: (stream, request) => {
          if (request === undefined) throw new Error('a request was too large')
          const { method, path, authority, cookie, fields } = request
          const lines: Lines = cookie === '' ? [] : [['cookie', cookie]]
          const all = request.takesTrailers ? [...lines, ['te', 'trailers'] as const] : lines
          const number = Number(fields.find(({ name }) => name === NUMBER)?.value)
          const side = new Side(lookup(number))
          side.lines = [...all, ...toLines(fields)]
          stream.owner = side
          side.over = () => {
            const { exchange, ended, code, notes } = side
            const whole =
              ended && code < 0 && !exchange.abandoned && exchange.answer.reset === 'none'
            const end = whole ? 'whole' : 'cut'
            board.say(number, { ...notes.message(side.lines), method, path, authority, end })
          }
          if (side.exchange.answer.early) begin(session, stream)
        },
        malformed: ({ error }) => {
          throw new Error(`a request is malformed: ${error}`)
        },
      },
      performance.now(),
    )
    wire(socket, session)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    seen: number => board.ask(number, 'the request'),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** All of the answer but its end. */
function begin(session: ServerSession<Side>, stream: Stream): void {
  const side = stream.owner as Side
  const { exchange } = side
  const { answer } = exchange
  const interim = toFields([[':status', '103'], ...INTERIM])
  for (let index = 0; index < answer.interim; index++)
    session.respond(stream, interim, { interim: true, endStream: false })
  if (answer.reset === 'before') {
    session.reset(stream, INTERNAL_ERROR)
    side.over()
    return
  }
  const head = toFields([[':status', `${answer.status}`], ...answerLines(exchange)])
  session.respond(stream, head, { endStream: false })
  for (const index of answer.body.keys()) side.outgoing.push(pieceOf(exchange, 'deployment', index))
  if (answer.reset !== 'none') side.finally = 'reset'
  pump(session, stream)
}

function finish(session: ServerSession<Side>, stream: Stream): void {
  const side = stream.owner as Side
  const { answer, abandoned } = side.exchange
  if (abandoned || answer.reset !== 'none') return
  side.trailers = answer.trailers
  side.finally = 'end'
  pump(session, stream)
}

export async function codecClient(port: number): Promise<ExchangeClient> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const session: ClientSession<Side> = new ClientSession<Side>(
    {
      ...eventsOf(
        () => session,
        () => {},
      ),
      response: (stream, { status, fields }) => {
        const side = stream.owner as Side
        if (status < 200) {
          side.interim.push(inOrder(toLines(fields)))
          return
        }
        side.status = status
        side.lines = toLines(fields)
        if (!side.exchange.abandoned) return
        session.reset(stream, CANCEL)
        side.over()
      },
    },
    performance.now(),
  )
  const flush = wire(socket, session)
  const call = async (exchange: Exchange): Promise<SeenAnswer> => {
    const { method, path, body, trailers, abandoned } = exchange
    const side = new Side(exchange)
    const over = new Promise<void>(resolve => {
      side.over = resolve
    })
    const pseudo: Lines = [
      [':method', method],
      [':scheme', 'http'],
      [':authority', AUTHORITY],
      [':path', path],
    ]
    const fields = toFields([...pseudo, ...requestLines(exchange)])
    const stream = session.request(side, fields, body.length === 0)
    if (method === 'HEAD') session.expectNoBody(stream)
    for (const index of body.keys()) side.outgoing.push(pieceOf(exchange, 'client', index))
    side.trailers = trailers
    side.finally = 'end'
    pump(session, stream)
    flush()
    await over
    const end = abandoned ? 'given up' : side.code < 0 ? 'whole' : 'cut'
    const { interim, status, lines, notes, code } = side
    return { ...notes.message(lines), interim, status, end, code: abandoned ? -1 : code }
  }
  return {
    call: exchange => inTime(`answer of exchange ${exchange.id}`, call(exchange)),
    close: async () => {
      const closed = socket.closed ? undefined : once(socket, 'close')
      socket.destroy()
      await closed
    },
  }
}
