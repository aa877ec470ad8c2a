import { test } from 'tap'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { lines, readRequest, readResponse } from '../../../support/http1/heads.ts'

const table = new FieldTable([])

/** How the body is framed, or the error. */
function framing(version: string, ...fields: string[]): string {
  const seen = readRequest(table, lines(`POST / HTTP/${version}`, 'Host: a', ...fields))
  return typeof seen === 'string' ? seen : seen.framing
}

const ROWS: readonly (readonly [expected: string, name: string, ...fields: string[]])[] = [
  ['none', 'no field'],
  ['none', 'length 0', 'Content-Length: 0'],
  ['length 5', 'a length', 'Content-Length: 5'],
  ['length 5', 'a length with blanks around', 'content-length: \t5 \t'],
  ['length 5', 'a length with leading zeros', 'Content-Length: 005'],
  ['length 999999999999999', 'the largest length', 'Content-Length: 999999999999999'],
  ['ambiguous_framing', 'a length of 16 digits', 'Content-Length: 1000000000000000'],
  ['ambiguous_framing', 'a length beyond 2^64', 'Content-Length: 18446744073709551621'],
  ['ambiguous_framing', 'an empty length', 'Content-Length:'],
  ['ambiguous_framing', 'a plus sign', 'Content-Length: +5'],
  ['ambiguous_framing', 'a minus sign', 'Content-Length: -5'],
  ['ambiguous_framing', 'hexadecimal', 'Content-Length: 0x5'],
  ['ambiguous_framing', 'a fraction', 'Content-Length: 5.0'],
  ['ambiguous_framing', 'an exponent', 'Content-Length: 5e0'],
  ['ambiguous_framing', 'a grouped number', 'Content-Length: 1_0'],
  ['ambiguous_framing', 'blanks in it', 'Content-Length: 5 5'],
  ['ambiguous_framing', 'a quoted one', 'Content-Length: "5"'],
  ['ambiguous_framing', 'a superscript', 'Content-Length: \xb2'],
  ['ambiguous_framing', 'a hard blank', 'Content-Length: \xa05'],
  ['ambiguous_framing', 'a list of the same', 'Content-Length: 5, 5'],
  ['ambiguous_framing', 'a list without a blank', 'Content-Length: 5,5'],
  ['ambiguous_framing', 'a list with nothing', 'Content-Length: 5,'],
  ['ambiguous_framing', 'twice the same', 'Content-Length: 5', 'Content-Length: 5'],
  ['ambiguous_framing', 'two lengths', 'Content-Length: 5', 'content-length: 6'],
  ['ambiguous_framing', 'a second empty one', 'Content-Length: 5', 'Content-Length:'],
  ['chunked', 'chunked', 'Transfer-Encoding: chunked'],
  ['chunked', 'chunked in capitals', 'TRANSFER-ENCODING: CHUNKED'],
  ['chunked', 'chunked with blanks around', 'Transfer-Encoding:\t chunked \t'],
  ['ambiguous_framing', 'chunked twice in a list', 'Transfer-Encoding: chunked, chunked'],
  ['ambiguous_framing', 'two fields', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  [
    'ambiguous_framing',
    'two fields, one empty',
    'Transfer-Encoding:',
    'Transfer-Encoding: chunked',
  ],
  [
    'ambiguous_framing',
    'identity and chunked',
    'Transfer-Encoding: identity',
    'transfer-encoding: chunked',
  ],
  ['ambiguous_framing', 'chunked not last', 'Transfer-Encoding: chunked, gzip'],
  ['ambiguous_framing', 'an empty coding', 'Transfer-Encoding:'],
  ['ambiguous_framing', 'identity', 'Transfer-Encoding: identity'],
  ['ambiguous_framing', 'gzip alone', 'Transfer-Encoding: gzip'],
  ['ambiguous_framing', 'a parameter', 'Transfer-Encoding: chunked;a=b'],
  ['ambiguous_framing', 'a quoted coding', 'Transfer-Encoding: "chunked"'],
  ['ambiguous_framing', 'a comma before it', 'Transfer-Encoding: ,chunked'],
  ['ambiguous_framing', 'a comma behind it', 'Transfer-Encoding: chunked,'],
  ['ambiguous_framing', 'a weight', 'Transfer-Encoding: chunked;q=1'],
  ['malformed_field', 'a vertical tab before it', 'Transfer-Encoding: \x0bchunked'],
  ['malformed_field', 'a vertical tab behind it', 'Transfer-Encoding: chunked\x0b'],
  ['ambiguous_framing', 'a prefix', 'Transfer-Encoding: xchunked'],
  ['ambiguous_framing', 'a suffix', 'Transfer-Encoding: chunkedx'],
  ['ambiguous_framing', 'a hard blank before it', 'Transfer-Encoding: \xa0chunked'],
  ['unsupported_coding', 'gzip, then chunked', 'Transfer-Encoding: gzip, chunked'],
  ['unsupported_coding', 'without a blank', 'Transfer-Encoding: gzip,chunked'],
  ['ambiguous_framing', 'both', 'Content-Length: 5', 'Transfer-Encoding: chunked'],
  [
    'ambiguous_framing',
    'both, the other way round',
    'Transfer-Encoding: chunked',
    'Content-Length: 5',
  ],
  ['ambiguous_framing', 'both, a length of 0', 'Content-Length: 0', 'Transfer-Encoding: chunked'],
  ['ambiguous_framing', 'both, an empty length', 'Content-Length:', 'Transfer-Encoding: chunked'],
  ['ambiguous_framing', 'both, an empty coding', 'Content-Length: 5', 'Transfer-Encoding:'],
  [
    'none',
    'names with underscores frame nothing',
    'content_length: 5',
    'transfer_encoding: chunked',
  ],
  ['length 5', 'nor do they contradict', 'content_length: 6', 'Content-Length: 5'],
  ['none', 'named by Connection only', 'Connection: content-length'],
  [
    'length 5',
    'Connection takes no framing away',
    'Connection: content-length',
    'Content-Length: 5',
  ],
]

await test('reads the length of a body in one way or refuses the request', async t => {
  for (const [expected, name, ...fields] of ROWS) t.equal(framing('1.1', ...fields), expected, name)
})

await test('knows no transfer coding in HTTP/1.0', async t => {
  t.equal(framing('1.0', 'Content-Length: 5'), 'length 5')
  t.equal(framing('1.0'), 'none')
  t.equal(framing('1.0', 'Transfer-Encoding: chunked'), 'ambiguous_framing')
  t.equal(framing('1.0', 'Transfer-Encoding: gzip, chunked'), 'ambiguous_framing')
  t.equal(framing('1.0', 'Transfer-Encoding: identity'), 'ambiguous_framing')
})

await test('reads the length of a response with the same rules', async t => {
  for (const [expected, name, ...fields] of ROWS) {
    const seen = readResponse(table, lines('HTTP/1.1 200 OK', ...fields))
    const found = typeof seen === 'string' ? seen : seen.framing
    const wanted = /^(length|chunked)/.test(expected)
      ? expected
      : expected !== 'none'
        ? 'invalid'
        : name === 'length 0'
          ? 'none'
          : 'until-close'
    t.equal(found, wanted, name)
  }
})

await test('takes one expectation', async t => {
  t.equal(framing('1.1', 'Expect: 100-continue', 'Content-Length: 5'), 'length 5')
  t.equal(framing('1.1', 'Expect: 100-Continue', 'Content-Length: 5'), 'length 5')
  t.equal(framing('1.1', 'Expect: 200-ok'), 'unsupported_expectation')
  t.equal(framing('1.1', 'Expect: 100-continue;a=b'), 'unsupported_expectation')
  t.equal(framing('1.1', 'Expect: 100-continue', 'Expect: other'), 'unsupported_expectation')
  t.equal(framing('1.0', 'Expect: other'), 'none', 'HTTP/1.0 has none')
})
