/** Calls over HTTP/2 that end as they should, with every kind of frame that can belong to a stream. */
import { PRIORITY } from '../../../src/codec/http2/frame.ts'
import type { FramePeerOptions } from './frame-peer.ts'
import type { DataShape, Fields, SectionShape } from './frame-stream.ts'
import { frame, uint32 } from './frames.ts'
import { costOf, type Story } from './usage-lab.ts'

interface Exchange {
  readonly name: string
  readonly connection?: FramePeerOptions
  readonly method?: string
  readonly head?: Fields
  readonly headShape?: SectionShape
  readonly body?: number
  readonly bodyShape?: DataShape
  /** Frames with the body: `raw` ones behind its head. */
  readonly raw?: (streamId: number) => Buffer
  readonly bodyEnd?: 'flag' | 'frame' | Fields
  readonly status?: number
  readonly answer?: number
  /** Without, nothing says how long it will be. */
  readonly answerLength?: boolean
  readonly answerTrailers?: Fields
}

const EXCHANGES: readonly Exchange[] = [
  { name: 'no body, an answer with a length', answer: 5 },
  { name: 'no body, an empty answer', answer: 0 },
  {
    name: 'bodies larger than any window',
    method: 'POST',
    body: 200_001,
    answer: 300_003,
  },
  {
    name: 'an answer through windows of a thousand octets',
    connection: { window: 1_000, granting: 'needed' },
    answer: 20_001,
  },
  {
    name: 'a body with a length, in frames of odd sizes',
    method: 'PUT',
    head: [['content-length', '9999']],
    body: 9_999,
    bodyShape: { frame: 777 },
    answer: 1,
  },
  {
    name: 'padding in every frame, a head in CONTINUATION, and the priority of old',
    method: 'POST',
    head: [['x-long', 'y'.repeat(5_000)]],
    headShape: { fragment: 700, padding: 200, priority: true },
    body: 40_000,
    bodyShape: { frame: 1_000, padding: 255 },
    answer: 10,
  },
  {
    name: 'PRIORITY on an open stream, and data of nothing',
    method: 'POST',
    raw: id =>
      Buffer.concat([
        frame(PRIORITY, id, Buffer.concat([uint32(0), Buffer.of(15)])),
        frame(0, id),
        frame(0, id, Buffer.of(3, 0, 0, 0), 8),
        frame(PRIORITY, id, Buffer.concat([uint32(0), Buffer.of(15)])),
      ]),
    body: 10,
    bodyEnd: 'frame',
    answer: 10,
  },
  {
    name: 'trailers both ways',
    method: 'POST',
    head: [['te', 'trailers']],
    body: 1_000,
    bodyEnd: [['x-sum', '1']],
    answer: 2_000,
    answerLength: false,
    answerTrailers: [['x-sum', '2']],
  },
  { name: 'HEAD', method: 'HEAD', answer: 0 },
  { name: '204', status: 204, answer: 0, answerLength: false },
  { name: 'an error of the deployment', status: 500, answer: 100 },
]

export const CONSERVATION: readonly Story[] = EXCHANGES.map(exchange => ({
  name: exchange.name,
  play: async (t, { connect, head, deployment }) => {
    const { method = 'GET', status = 200, answer = 0, body, bodyShape = {} } = exchange
    const client = await connect({ granting: 'needed', ...exchange.connection })
    const stream = client.request(head(method, exchange.head), {
      ...exchange.headShape,
      end: body === undefined,
    })
    if (body !== undefined) {
      if (exchange.raw !== undefined) stream.raw(exchange.raw(stream.id))
      stream.write(Buffer.alloc(body, 'q'), bodyShape)
      stream.end(exchange.bodyEnd)
    }
    const call = await deployment.next()
    await call.until(() => call.ended)
    t.equal(call.received, body ?? 0, 'the deployment gets the body')
    if (Array.isArray(exchange.bodyEnd))
      t.same(call.trailers, exchange.bodyEnd, 'the deployment gets the trailers')
    call.answer(exchange.answerLength === false ? [] : [['content-length', `${answer}`]], status)
    if (answer > 0) call.data(Buffer.alloc(answer, 'a'))
    call.end(exchange.answerTrailers)
    await stream.until(() => stream.over)
    t.equal(stream.status, status)
    t.equal(stream.dataReceived, answer)
    if (exchange.answerTrailers !== undefined) t.same(stream.trailers, exchange.answerTrailers)
    await client.barrier()
    return costOf(t, stream)
  },
}))
