import { test } from 'tap'
import { BodyReader } from '../../../../src/codec/http1/body.ts'
import type { Http1Caps } from '../../../../src/codec/http1/caps.ts'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { BODY_CHUNKED } from '../../../../src/codec/http1/framing.ts'
import { RequestHead } from '../../../../src/codec/http1/request-head.ts'
import { ResponseHead } from '../../../../src/codec/http1/response-head.ts'
import { cutsOf, latin1, readAtEverySplit } from '../../../support/http1/every-split.ts'
import { lines, requestReader } from '../../../support/http1/heads.ts'

const table = new FieldTable([])
const CAPS: Http1Caps = {
  targetBytes: 20,
  headBytes: 100,
  fields: 3,
  trailerBytes: 30,
  chunkExtensionBytes: 10,
}

/** The error of a request under the caps above, at every split; '' where it is taken. */
function errorOf(...head: string[]): string {
  const { said } = readAtEverySplit(
    requestReader(new RequestHead(table, CAPS)),
    latin1(lines(...head)),
  )
  return typeof said === 'string' ? said : ''
}

await test('the head of a request is held to the caps that it is given', async t => {
  const get = (target: string): string => `GET ${target} HTTP/1.1`
  t.equal(errorOf(get(`/${'a'.repeat(19)}`), 'Host: a'), '')
  t.equal(errorOf(get(`/${'a'.repeat(20)}`), 'Host: a'), 'target_too_long')
  t.equal(errorOf(get('/'), 'Host: a', 'b: c', 'd: e'), '')
  t.equal(errorOf(get('/'), 'Host: a', 'b: c', 'd: e', 'f: g'), 'too_many_fields')
  const room = CAPS.headBytes - lines(get('/'), 'Host: a', 'b: ').length
  t.equal(errorOf(get('/'), 'Host: a', `b: ${'c'.repeat(room)}`), '')
  t.equal(errorOf(get('/'), 'Host: a', `b: ${'c'.repeat(room + 1)}`), 'head_too_large')
})

await test('more fields than by default are taken where they are allowed', async t => {
  const head = new RequestHead(table, { ...CAPS, fields: 300, headBytes: 8_192 })
  const many = Array.from({ length: 299 }, (_, at) => `f${at}: v`)
  const { said } = readAtEverySplit(
    requestReader(head),
    latin1(lines('GET / HTTP/1.1', 'Host: a', ...many)),
  )
  t.match(said, { lines: /f298: v\r\n$/ })
})

await test('the head of a response is held to them as well', async t => {
  const read = (...head: string[]): number => {
    const text = latin1(lines('HTTP/1.1 200 OK', ...head))
    return new ResponseHead(table, CAPS).read(text, 0, text.length, false)
  }
  t.ok(read('a: b', 'c: d', 'e: f') > 0)
  t.equal(read('a: b', 'c: d', 'e: f', 'g: h'), -1)
  t.equal(read(`a: ${'b'.repeat(100)}`), -1)
})

/** The error of a chunked body under the caps above wherever it is cut in two; '' where it is taken. */
function bodyErrorOf(text: string): string {
  const bytes = latin1(text)
  const errors = cutsOf(bytes.length).map(cut => {
    const body = new BodyReader(table, CAPS)
    body.begin(BODY_CHUNKED, 0)
    for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)])
      body.read(piece, 0, piece.length, { bodyData: () => {} })
    return body.error ?? (body.done ? '' : 'incomplete')
  })
  return [...new Set(errors)].join()
}

await test('a chunked body is held to them, with an error for each', async t => {
  t.equal(bodyErrorOf('1;aaaaa\r\nx\r\n0;bbbbb\r\n\r\n'), '')
  t.equal(bodyErrorOf('1;aaaaa\r\nx\r\n0;bbbbbb\r\n\r\n'), 'chunk_extensions_too_large')
  t.equal(bodyErrorOf(`0\r\na: ${'b'.repeat(23)}\r\n\r\n`), '')
  t.equal(bodyErrorOf(`0\r\na: ${'b'.repeat(24)}\r\n\r\n`), 'trailers_too_large')
  t.equal(bodyErrorOf('0\r\na: b\r\nc: d\r\ne: f\r\n\r\n'), '')
  t.equal(bodyErrorOf('0\r\na:\r\nc:\r\ne:\r\ng:\r\n\r\n'), 'trailers_too_large')
})
