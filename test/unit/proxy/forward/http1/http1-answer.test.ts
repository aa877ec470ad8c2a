import { test } from 'tap'
import { ResponseHead } from '../../../../../src/codec/http1/response-head.ts'
import { CallAnswer } from '../../../../../src/proxy/forward/call-answer.ts'
import type { CallRequest } from '../../../../../src/proxy/forward/call-request.ts'
import { ForwardedFields } from '../../../../../src/proxy/forward/fields.ts'
import {
  downstreamFraming,
  Http1AnswerWriter,
} from '../../../../../src/proxy/forward/http1/http1-answer.ts'
import type { Outbox } from '../../../../../src/proxy/wire/outbox.ts'

const { response } = new ForwardedFields('x-api-key')

interface Asked {
  readonly head?: boolean
  readonly minor?: number
  readonly keepAlive?: boolean
}

/** What a client gets of a head with these lines. */
function answer(
  { head: bodiless = false, minor = 1, keepAlive = true }: Asked,
  ...lines: string[]
) {
  const head = new ResponseHead(response)
  const text = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  if (head.read(text, 0, text.length, bodiless) !== text.length) throw new Error('not valid')
  const taken = new CallAnswer()
  taken.takeHead(head)
  let written = ''
  const outbox = { text: (more: string) => (written += more) } as unknown as Outbox
  const request = { version: minor, requestId: 'id' } as CallRequest
  new Http1AnswerWriter(outbox).begin(taken, request, keepAlive)
  const { chunked, untilClose } = downstreamFraming(taken, minor)
  return { text: written, chunked, untilClose }
}
const ID = 'x-request-id: id\r\n\r\n'

await test('writes the head of an answer with framing of its own', async t => {
  const rows: readonly (readonly [
    name: string,
    asked: Asked,
    lines: string[],
    text: string,
    ends: string,
  ])[] = [
    [
      'a length',
      {},
      ['HTTP/1.1 200 OK', 'Content-Length: 05'],
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n',
      '',
    ],
    [
      'no length at all',
      {},
      ['HTTP/1.1 200 OK'],
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n',
      'chunked',
    ],
    [
      'chunks with trailers',
      {},
      ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', 'Trailer: a'],
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: a\r\n',
      'chunked',
    ],
    [
      'an empty body',
      {},
      ['HTTP/1.1 200 OK', 'Content-Length: 0'],
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n',
      '',
    ],
    [
      '204',
      {},
      ['HTTP/1.1 204 No Content', 'Content-Length: 0'],
      'HTTP/1.1 204 No Content\r\n',
      '',
    ],
    [
      '304 with a length',
      {},
      ['HTTP/1.1 304 N', 'Content-Length: 9'],
      'HTTP/1.1 304 N\r\ncontent-length: 9\r\n',
      '',
    ],
    ['304 without', {}, ['HTTP/1.1 304 N'], 'HTTP/1.1 304 N\r\n', ''],
    [
      'HEAD',
      { head: true },
      ['HTTP/1.1 200 OK', 'Content-Length: 9'],
      'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n',
      '',
    ],
    [
      'HEAD of nothing',
      { head: true },
      ['HTTP/1.1 200 OK', 'Content-Length: 0'],
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n',
      '',
    ],
    [
      'HEAD of chunks',
      { head: true },
      ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'],
      'HTTP/1.1 200 OK\r\n',
      '',
    ],
    [
      'other fields',
      {},
      ['HTTP/1.0 404 N F', 'A:b', 'Content-Length: 1', 'Keep-Alive: a'],
      'HTTP/1.1 404 N F\r\nA:b\r\ncontent-length: 1\r\n',
      '',
    ],
    [
      'no reason',
      {},
      ['HTTP/1.1 200', 'Content-Length: 1'],
      'HTTP/1.1 200 \r\ncontent-length: 1\r\n',
      '',
    ],
    [
      'no reuse',
      { keepAlive: false },
      ['HTTP/1.1 200 OK', 'Content-Length: 1'],
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n',
      '',
    ],
    [
      'reuse by HTTP/1.0',
      { minor: 0 },
      ['HTTP/1.1 200 OK', 'Content-Length: 1'],
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n',
      '',
    ],
    [
      'HTTP/1.0, chunks',
      { minor: 0, keepAlive: false },
      ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'],
      'HTTP/1.1 200 OK\r\nconnection: close\r\n',
      'close',
    ],
    [
      'HTTP/1.0, no length',
      { minor: 0, keepAlive: false },
      ['HTTP/1.1 200 OK'],
      'HTTP/1.1 200 OK\r\nconnection: close\r\n',
      'close',
    ],
    [
      'HTTP/1.0, HEAD',
      { minor: 0, head: true },
      ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'],
      'HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n',
      '',
    ],
  ]
  for (const [name, asked, lines, text, ends] of rows) {
    t.same(
      answer(asked, ...lines),
      { text: `${text}${ID}`, chunked: ends === 'chunked', untilClose: ends === 'close' },
      name,
    )
  }
})

await test('a deployment cannot speak for the proxy', async t => {
  const { text } = answer(
    {},
    'HTTP/1.1 200 OK',
    'X-Request-Id: other',
    'x_request_id: other',
    'X-Amt-Tenant: other',
    'Connection: close, x-b',
    'X-B: 1',
    'Upgrade: a',
    'Content_Length: 9',
    'Content-Length: 1',
  )
  t.equal(text, `HTTP/1.1 200 OK\r\ncontent-length: 1\r\n${ID}`)
})

await test('what it remembers of an answer is never another one', async t => {
  const long = 'x'.repeat(1_000)
  for (const reason of ['OK', 'Fine', 'OK', '', long, '\u00e9', 'OK'])
    t.equal(
      answer({}, `HTTP/1.1 200 ${reason}`, 'Content-Length: 1').text,
      `HTTP/1.1 200 ${reason}\r\ncontent-length: 1\r\n${ID}`,
    )
  for (const length of ['0', '1', '00', '4095', '4096', '4095', '999999999999999'])
    t.equal(
      answer({}, 'HTTP/1.1 200 OK', `Content-Length: ${length}`).text,
      `HTTP/1.1 200 OK\r\ncontent-length: ${Number(length)}\r\n${ID}`,
    )
})
