import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import { test } from 'tap'
import { API_KEY_RANDOM_BYTES, formatApiKey, parseApiKey } from '../../../src/core/api-key.ts'

const bytes = (fill: number): Uint8Array => new Uint8Array(API_KEY_RANDOM_BYTES).fill(fill)
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

await test('a key has a fixed form and names its tenant', async t => {
  for (const fill of [0, 1, 255]) {
    const key = formatApiKey('acme-eu-1', bytes(fill))
    t.match(key, /^amt_acme-eu-1_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/)
    t.same(parseApiKey(key), { tenant: 'acme-eu-1' })
  }
})

await test('different randomness gives different keys, the same gives the same', async t => {
  t.not(formatApiKey('acme', bytes(1)), formatApiKey('acme', bytes(2)))
  t.equal(formatApiKey('acme', bytes(1)), formatApiKey('acme', bytes(1)))
})

await test('the checksum is the CRC-32 of all that stands before it', async t => {
  const key = formatApiKey('acme', bytes(7))
  const [body = '', checksum = ''] = key.split(/_(?=[^_]*$)/)
  const number = Array.from(checksum).reduce((sum, char) => sum * 62 + ALPHABET.indexOf(char), 0)
  t.equal(number, crc32(body))
})

await test('one wrong character anywhere is found', async t => {
  const key = formatApiKey('acme', bytes(42))
  for (let i = 0; i < key.length; i += 1) {
    const wrong = key.slice(0, i) + (key[i] === 'x' ? 'y' : 'x') + key.slice(i + 1)
    t.equal(parseApiKey(wrong), undefined, wrong)
  }
})

await test('text that is no key is refused', async t => {
  const key = formatApiKey('acme', bytes(42))
  const texts = [
    '',
    'amt',
    'amt___',
    `${key} `,
    `${key}\n`,
    ` ${key}`,
    key.slice(1),
    key.slice(0, -1),
  ]
  for (const text of [...texts, key.toUpperCase(), key.replace('acme', 'a_me'), key.repeat(2)]) {
    t.equal(parseApiKey(text), undefined, JSON.stringify(text))
  }
})

await test('any tenant and any randomness come back; any other text is an answer, not an exception', async t => {
  const tenant = fc.stringMatching(/^[a-z0-9-]{1,63}$/)
  const random = fc.uint8Array({ minLength: API_KEY_RANDOM_BYTES, maxLength: API_KEY_RANDOM_BYTES })
  fc.assert(
    fc.property(tenant, random, (id, value) => parseApiKey(formatApiKey(id, value))?.tenant === id),
  )
  fc.assert(fc.property(fc.string(), text => parseApiKey(text) === undefined))
  t.pass('holds')
})

await test('a caller that passes too little randomness or no tenant id is stopped', async t => {
  t.throws(() => formatApiKey('acme', new Uint8Array(16)), RangeError)
  t.throws(() => formatApiKey('Acme', bytes(1)), RangeError)
  t.throws(() => formatApiKey('', bytes(1)), RangeError)
})
