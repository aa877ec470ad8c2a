import { test } from 'tap'
import { type Detection, detectProtocol } from '../../../src/codec/first-bytes.ts'

/** A ClientHello is recognised by these; what stands behind them does not matter. */
const CLIENT_HELLO = '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'

/** Protocol, how it begins, and after how many bytes it can be told. */
const ROWS: readonly (readonly [Detection, begin: string, decidedAt: number])[] = [
  ['http1', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 5],
  ['http1', 'GET /', 5],
  ['http1', 'OPTIONS * HTTP/1.1\r\n', 9],
  ['http1', 'GET http://a/ HTTP/1.1\r\n', 11],
  ['http1', 'GET HTTPS://a/ HTTP/1.1\r\n', 12],
  ['http1', 'UPDATEREDIRECTREF / HTTP/1.1', 19],
  ['http1', 'PRI / HTTP/1.1\r\n', 5],
  ['http1', 'PRI * HTTP/1.1\r\n', 12],
  ['http2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04', 24],
  ['http1', 'PRI * HTTP/2.0\r\n\r\nSN', 20],
  ['tls', CLIENT_HELLO, 2],
  ['tls', '\x16\x03', 2],
  ['other', '\x16\x02\x01', 2],
  ['other', '\x80\x2e\x01\x00\x02', 1],
  ['other', '\0', 1],
  ['other', '\xff\xfe', 1],
  ['other', '\r\nGET / HTTP/1.1', 1],
  ['other', ' GET / HTTP/1.1', 1],
  ['other', 'get / HTTP/1.1', 1],
  ['other', 'GET\t/', 4],
  ['other', 'GET  /', 5],
  ['other', 'GET a', 5],
  ['other', 'GET http:/x', 11],
  ['other', 'A'.repeat(33), 33],
  ['other', `${'A'.repeat(33)} / HTTP/1.1`, 33],
  // RESP, in arrays and inline.
  ['other', '*1\r\n$4\r\nPING\r\n', 1],
  ['other', 'PING\r\n', 5],
  ['other', 'SET a b\r\n', 5],
  ['other', 'KEYS *\r\n', 6],
  // NATS.
  ['other', 'CONNECT {"verbose":false}\r\n', 9],
  ['other', 'INFO {"server_id":"a"}\r\n', 6],
  ['http1', 'CONNECT a:443 HTTP/1.1\r\n', 9],
  ['http1', 'CONNECT [::1]:443 HTTP/1.1\r\n', 9],
  ['other', 'CONNECT\naccept-version:1.2\n\n\0', 8],
  ['other', 'SSH-2.0-OpenSSH_9.9\r\n', 5],
  ['other', 'EHLO mail.example\r\n', 6],
  ['other', 'HELO host.example\r\n', 7],
  ['other', 'QUIT\r\n', 5],
  // Memcached, and a start-up of PostgreSQL.
  ['other', 'stats\r\n', 1],
  ['other', '\0\0\0\x08\x04\xd2\x16\x2f', 1],
]

await test('tells protocols apart by their first bytes, as soon as they can be told', async t => {
  for (const [expected, begin, decidedAt] of ROWS) {
    const bytes = Buffer.from(begin, 'latin1')
    const name = JSON.stringify(begin.slice(0, 30))
    t.equal(detectProtocol(bytes), expected, name)
    for (let length = 0; length <= bytes.length; length++) {
      const found = detectProtocol(bytes.subarray(0, length))
      if (found !== (length < decidedAt ? 'more' : expected)) t.fail(`${name} ${length}: ${found}`)
    }
  }
})

await test('asks for more while a method, its target or the preface may still come', async t => {
  for (const begin of [
    '',
    'G',
    'GET',
    'GET ',
    'GET h',
    'GET https:/',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r',
    '\x16',
  ])
    t.equal(detectProtocol(Buffer.from(begin, 'latin1')), 'more', JSON.stringify(begin))
})

await test('never asks for more than 64 bytes', async t => {
  for (let first = 0; first < 256; first++) {
    for (const rest of ['A', ' ', '/', '\0', 'GET http']) {
      const bytes = Buffer.from(String.fromCharCode(first) + rest.repeat(64), 'latin1')
      if (detectProtocol(bytes.subarray(0, 64)) === 'more') t.fail(`${first} and ${rest}`)
    }
  }
})
