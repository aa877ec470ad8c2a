/** Calls over HTTP/1.1, for deployments that speak HTTP/2: what is billed is the message as it was on the downstream side. */
import { chunked } from '../cross-tenant/body-decoder.ts'
import { readStrictAnswer } from '../strict-http1.ts'
import type { Fields } from './frame-stream.ts'
import type { Story } from './usage-lab.ts'

interface Exchange {
  readonly name: string
  readonly method?: string
  /** Whole lines. */
  readonly lines?: string
  readonly body?: Buffer
  /** Octets of it that are data. */
  readonly size?: number
  readonly answer?: number
  readonly answerLength?: boolean
  readonly answerTrailers?: Fields
}

const LARGE = Buffer.alloc(200_001, 'q')

const EXCHANGES: readonly Exchange[] = [
  { name: 'HTTP/1.1: no body, an answer with a length', answer: 5 },
  {
    name: 'HTTP/1.1: bodies with a length that are larger than any window',
    method: 'POST',
    lines: `content-length: ${LARGE.length}\r\n`,
    body: LARGE,
    size: LARGE.length,
    answer: 300_003,
  },
  {
    name: 'HTTP/1.1: chunks both ways',
    method: 'POST',
    lines: 'transfer-encoding: chunked\r\n',
    body: chunked(LARGE, 3_333),
    size: LARGE.length,
    answer: 70_000,
    answerLength: false,
  },
  {
    name: 'HTTP/1.1: chunks with extensions and trailers both ways',
    method: 'POST',
    lines: 'te: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\n',
    body: Buffer.from('3;a=b\r\nabc\r\n0;c\r\nx-sum: 1\r\n\r\n'),
    size: 3,
    answer: 10,
    answerLength: false,
    answerTrailers: [['x-sum', '2']],
  },
  { name: 'HTTP/1.1: HEAD', method: 'HEAD', answer: 0 },
]

export const HTTP1: readonly Story[] = EXCHANGES.map(exchange => ({
  name: exchange.name,
  play: async (t, { socket: open, tenant, deployment }) => {
    const { method = 'GET', lines = '', body = Buffer.alloc(0), size = 0, answer = 0 } = exchange
    const socket = await open()
    let got: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk])
    })
    const request = Buffer.concat([
      Buffer.from(
        `${method} /x HTTP/1.1\r\nhost: example.com\r\nx-api-key: ${tenant.apiKey}\r\n${lines}\r\n`,
      ),
      body,
    ])
    socket.write(request)
    const call = await deployment.next()
    await call.until(() => call.ended)
    t.equal(call.received, size, 'the deployment gets the body')
    call.answer(exchange.answerLength === false ? [] : [['content-length', `${answer}`]])
    if (answer > 0) call.data(Buffer.alloc(answer, 'a'))
    call.end(exchange.answerTrailers)
    const whole = (): boolean => readStrictAnswer(got, { method, closed: false }).kind === 'message'
    while (!whole()) await new Promise(resolve => socket.once('data', resolve))
    return { calls: 1, ingress: request.length, egress: got.length }
  },
}))
