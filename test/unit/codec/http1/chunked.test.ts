import { test } from 'tap'
import { BodyReader } from '../../../../src/codec/http1/body.ts'
import { DEFAULT_CAPS } from '../../../../src/codec/http1/caps.ts'
import { ChunkedDecoder, chunkEnd, chunkHead } from '../../../../src/codec/http1/chunked.ts'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
} from '../../../../src/codec/http1/framing.ts'
import { cutsOf, latin1 } from '../../../support/http1/every-split.ts'

const table = new FieldTable([{ name: 'authorization', forward: false }], ['x-amt-'])

interface Seen {
  readonly data: string
  readonly used: number
  readonly done: boolean
  readonly error: string | undefined
  readonly trailers: string
}

/** Reads a body in pieces of these bytes, as sockets give them: one after the other, never twice. */
function readPieces(body: BodyReader, pieces: readonly Buffer[]): Seen {
  let data = ''
  let used = 0
  for (const piece of pieces) {
    const around = Buffer.concat([latin1('5\r\n'), piece, latin1('\r\n0\r\n\r\n')])
    const sink = {
      bodyData: (bytes: Buffer, start: number, end: number): void => {
        if (end <= start) throw new Error('an empty piece of data')
        if (start < 3 || end > 3 + piece.length) throw new Error('data from outside of the range')
        data += bytes.toString('latin1', start, end)
      },
    }
    const next = body.read(around, 3, 3 + piece.length, sink)
    if (next < 3 || next > 3 + piece.length) throw new Error(`position ${next}`)
    used += next - 3
    if (body.done || body.error !== undefined) break
    if (next !== 3 + piece.length) throw new Error('bytes left without need')
  }
  const { done, error, trailers } = body
  // Where a broken body was noticed is of no use to anybody.
  return {
    data,
    used: error === undefined ? used : -1,
    done,
    error,
    trailers: done ? trailers : '',
  }
}

/** Reads `text` whole, cut in two everywhere, and byte by byte; throws unless all agree. */
function readChunked(text: string): Seen {
  const bytes = latin1(text)
  const body = new BodyReader(table)
  const begin = (): BodyReader => {
    body.begin(BODY_CHUNKED, 0)
    return body
  }
  const whole = readPieces(begin(), [bytes])
  const single = Array.from(bytes, byte => Buffer.of(byte))
  const ways = cutsOf(bytes.length).map(cut => [bytes.subarray(0, cut), bytes.subarray(cut)])
  for (const way of [single, ...ways]) {
    const seen = readPieces(begin(), way)
    if (JSON.stringify(seen) !== JSON.stringify(whole))
      throw new Error(`${JSON.stringify(seen)} and ${JSON.stringify(whole)} at ${way[0]?.length}`)
  }
  return whole
}

await test('decodes chunks, wherever they are cut', async t => {
  const rows: readonly (readonly [name: string, text: string, data: string])[] = [
    ['none', '0\r\n\r\n', ''],
    ['one', '5\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['two', '1\r\na\r\n2\r\nbc\r\n0\r\n\r\n', 'abc'],
    [
      'sizes in both cases',
      'A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n',
      '01234567890123456789a',
    ],
    ['leading zeros', '000000000005\r\nhello\r\n000\r\n\r\n', 'hello'],
    ['data that looks like framing', '7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n', '0\r\n\r\n\r\n'],
    ['an extension', '1;a\r\nx\r\n0;b=c\r\n\r\n', 'x'],
    ['a quoted extension', '1;a="b;c\\"d"\r\nx\r\n0\r\n\r\n', 'x'],
    ['an empty extension', '1;\r\nx\r\n0;;\r\n\r\n', 'x'],
  ]
  for (const [name, text, data] of rows) {
    t.match(readChunked(text), { data, used: text.length, done: true, error: undefined }, name)
    t.match(
      readChunked(`${text}GET / HTTP/1.1\r\n`),
      { used: text.length, done: true },
      `${name}, and more`,
    )
  }
})

await test('refuses chunks that two parsers could read differently', async t => {
  const rows: readonly (readonly [name: string, text: string])[] = [
    ['no size', '\r\n'],
    ['no size before an extension', ';a\r\n'],
    ['a plus sign', '+5\r\nhello'],
    ['a minus sign', '-5\r\nhello'],
    ['0x', '0x5\r\nhello'],
    ['a blank before the size', ' 5\r\nhello'],
    ['a blank behind the size', '5 \r\nhello'],
    ['a tab behind the size', '5\t\r\nhello'],
    ['a blank before an extension', '5 ;a\r\nhello'],
    ['an underscore', '1_0\r\nhello'],
    ['a comma', '5,a\r\nhello'],
    ['another letter', '5g\r\nhello'],
    ['13 digits', '0000000000005\r\nhello'],
    ['an overflow of 32 bits and more', '10000000000000005\r\nhello'],
    ['NUL behind the size', '5\0\r\nhello'],
    ['a bare LF behind the size', '5\nhello'],
    ['a bare CR behind the size', '5\rhello'],
    ['two CR behind the size', '5\r\r\nhello'],
    ['a bare LF behind an extension', '5;a\nhello'],
    ['a bare CR in an extension', '5;a\rb\r\nhello'],
    ['NUL in an extension', '5;a\0\r\nhello'],
    ['a line in an extension', '5;a="\n"\r\nhello'],
    ['data that is too long', '5\r\nhello!\r\n0\r\n\r\n'],
    ['data that is too short', '5\r\nhell\r\n0\r\n\r\n'],
    ['no CRLF behind data', '5\r\nhello0\r\n\r\n'],
    ['a bare LF behind data', '5\r\nhello\n0\r\n\r\n'],
    ['a bare CR behind data', '5\r\nhello\r0\r\n\r\n'],
    ['a bare LF behind the last chunk', '0\n\r\n'],
    ['a bare LF at the end', '0\r\n\n'],
    ['CR and something at the end', '0\r\n\rX'],
    ['a trailer without colon', '0\r\nabc\r\n\r\n'],
    ['a folded trailer', '0\r\na: b\r\n c\r\n\r\n'],
    ['a trailer with a blank before the colon', '0\r\na : b\r\n\r\n'],
    ['a trailer with a bare LF', '0\r\na: b\nc: d\r\n\r\n'],
    ['NUL in a trailer', '0\r\na: b\0\r\n\r\n'],
  ]
  for (const [name, text] of rows)
    t.match(readChunked(text), { done: false, error: 'malformed_chunk' }, name)
})

await test('takes extensions up to their cap, and says so where they go beyond it', async t => {
  t.match(readChunked(`1;${'a'.repeat(4_096)}\r\nx\r\n0\r\n\r\n`), { data: 'x', done: true })
  t.match(readChunked(`${`1;${'a'.repeat(256)}\r\nx\r\n`.repeat(16)}0\r\n\r\n`), { done: true })
  const error = 'chunk_extensions_too_large'
  t.match(readChunked(`1;${'a'.repeat(4_097)}\r\nx\r\n0\r\n\r\n`), { done: false, error })
  const many = `1;${'a'.repeat(240)}\r\nx\r\n`.repeat(17)
  t.match(readChunked(`${many}1;${'a'.repeat(17)}\r\nx\r\n0\r\n\r\n`), { done: false, error })
})

await test('waits for the end of a body', async t => {
  const text = '5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n'
  for (let cut = 0; cut < text.length; cut++)
    t.match(readChunked(text.slice(0, cut)), { done: false, error: undefined })
})

await test('gives trailers on, but for those that a head may not have either', async t => {
  const trailers = (...lines: string[]): string =>
    readChunked(`1\r\nx\r\n0\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`).trailers
  t.equal(trailers('Expires: never', 'grpc-status: 0'), 'Expires: never\r\ngrpc-status: 0\r\n')
  t.equal(
    trailers(
      'a: 1',
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      'Host: b',
      'Authorization: c',
      'Connection: close',
      'X-Amt-Tenant: d',
      'x_amt_tenant: d',
      'Trailer: e',
      'b: 2',
    ),
    'a: 1\r\nb: 2\r\n',
  )
})

await test('holds trailers to their caps', async t => {
  const trailer = (bytes: number): string => `0\r\na: ${'b'.repeat(bytes - 7)}\r\n\r\n`
  t.match(readChunked(trailer(DEFAULT_CAPS.trailerBytes)), { done: true })
  t.match(readChunked(trailer(DEFAULT_CAPS.trailerBytes + 1)), { error: 'trailers_too_large' })
  t.match(readChunked(`${trailer(DEFAULT_CAPS.trailerBytes + 2).slice(0, -2)}\0`), {
    error: 'trailers_too_large',
  })
  const many = Array.from({ length: 101 }, (_, at) => `f${at}: v\r\n`).join('')
  t.match(readChunked(`0\r\n${many}\r\n`), { error: 'trailers_too_large' })
})

await test('begins each body anew, also behind a broken one', async t => {
  const body = new BodyReader(table)
  const read = (text: string): Seen => {
    body.begin(BODY_CHUNKED, 0)
    return readPieces(body, [latin1(text)])
  }
  t.match(read(`0\r\na: ${'b'.repeat(DEFAULT_CAPS.trailerBytes)}`), { error: 'trailers_too_large' })
  t.match(read('x'), { error: 'malformed_chunk' }, 'with its own error')
  t.match(read('3;aa'), { done: false, error: undefined })
  t.match(read('1\r\na\r\n0\r\nx: y\r\n\r\n'), { data: 'a', done: true, trailers: 'x: y\r\n' })
  t.match(read('0\r\n\r\n'), { done: true, trailers: '' })
  body.begin(BODY_NONE, 0)
  t.equal(body.trailers, '')
})

await test('reads nothing behind an error', async t => {
  const body = new BodyReader(table)
  body.begin(BODY_CHUNKED, 0)
  t.match(readPieces(body, [latin1('5\n')]), { error: 'malformed_chunk' })
  t.match(readPieces(body, [latin1('5\r\nhello\r\n0\r\n\r\n')]), {
    data: '',
    done: false,
    error: 'malformed_chunk',
  })
})

await test('reads a body of a length, and not more', async t => {
  const text = 'hello'
  for (let cut = 0; cut <= text.length; cut++) {
    const body = new BodyReader(table)
    body.begin(BODY_LENGTH, 5)
    t.equal(body.remaining, 5)
    const seen = readPieces(body, [latin1(text.slice(0, cut)), latin1(`${text.slice(cut)}GET /`)])
    t.match(seen, { data: text, used: 5, done: true, error: undefined })
    t.equal(body.remaining, 0)
    t.ok(body.mayClose)
  }
  const body = new BodyReader(table)
  body.begin(BODY_LENGTH, 5)
  readPieces(body, [latin1('he')])
  t.equal(body.remaining, 3)
  t.notOk(body.mayClose)
})

await test('reads until close', async t => {
  const body = new BodyReader(table)
  body.begin(BODY_UNTIL_CLOSE, 0)
  t.match(readPieces(body, [latin1('a'), latin1(''), latin1('0\r\n\r\n')]), {
    data: 'a0\r\n\r\n',
    done: false,
  })
  t.ok(body.mayClose)
  t.equal(body.remaining, -1)
})

await test('reads nothing where there is no body', async t => {
  const body = new BodyReader(table)
  t.ok(body.done)
  body.begin(BODY_NONE, 0)
  t.match(readPieces(body, [latin1('GET /')]), { data: '', used: 0, done: true })
  body.begin(BODY_CHUNKED, 0)
  t.equal(body.remaining, -1, 'nobody knows')
  t.notOk(body.mayClose)
})

await test('what is written in chunks is read as it was', async t => {
  const pieces = ['a', '\r\n', 'x'.repeat(300), '0\r\n\r\n']
  const text = `${pieces.map(piece => `${chunkHead(piece.length)}${piece}\r\n`).join('')}${chunkEnd('x: y\r\n')}`
  t.match(readChunked(text), { data: pieces.join(''), done: true, trailers: 'x: y\r\n' })
  t.equal(chunkHead(255), 'ff\r\n')
  t.equal(chunkEnd(''), '0\r\n\r\n')
})

await test('the decoder says where its data is', async t => {
  const decoder = new ChunkedDecoder(table)
  decoder.reset()
  const bytes = latin1('3\r\nabc\r\n')
  t.equal(decoder.next(bytes, 0, bytes.length), 1)
  t.equal(bytes.toString('latin1', decoder.dataStart, decoder.position), 'abc')
})
