import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import { test } from 'tap'
import { API_KEY_RANDOM_BYTES, formatApiKey, tenantOfApiKey } from '../../../src/core/api-key.ts'

const bytes = (fill: number): Uint8Array => new Uint8Array(API_KEY_RANDOM_BYTES).fill(fill)
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

await test('a key has a fixed form and names its tenant', async t => {
  for (const fill of [0, 1, 255]) {
    const key = formatApiKey('acme-eu-1', bytes(fill))
    t.match(key, /^amt_acme-eu-1_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/)
    t.equal(tenantOfApiKey(key), 'acme-eu-1')
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
    t.equal(tenantOfApiKey(wrong), undefined, wrong)
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
    t.equal(tenantOfApiKey(text), undefined, JSON.stringify(text))
  }
})

await test('text with a right checksum is still no key where its form is another', async t => {
  const base62 = (number: number): string => {
    let text = ''
    for (let rest = number; text.length < 6; rest = Math.floor(rest / 62))
      text = (ALPHABET[rest % 62] ?? '') + text
    return text
  }
  const withChecksum = (body: string): string =>
    `${body}_${base62(crc32(Buffer.from(body, 'latin1')))}`
  const random = 'r'.repeat(43)
  t.equal(
    tenantOfApiKey(withChecksum(`amt_acme_${random}`)),
    'acme',
    'the checksum is that of keys',
  )
  for (const body of [
    `amt_Acme_${random}`,
    `amt_ac.me_${random}`,
    `amt__${random}`,
    `amt_a_me_${random}`,
    `amt_${'a'.repeat(64)}_${random}`,
    `amt_acme_${random.slice(1)}`,
    `amt_acme_${random}r`,
    `amt_acme_${random.slice(1)}-`,
    `amt_acme_${random.slice(1)}\u00e9`,
    `amt_acm\u00e9_${random}`,
    `bmt_acme_${random}`,
  ]) {
    t.equal(tenantOfApiKey(withChecksum(body)), undefined, body)
  }
})

await test('characters beyond Latin-1 are not folded into those of a key', async t => {
  const key = formatApiKey('acme', bytes(42))
  for (let at = 0; at < key.length; at += 1) {
    const folded = String.fromCharCode(key.charCodeAt(at) + 0x100)
    t.equal(tenantOfApiKey(key.slice(0, at) + folded + key.slice(at + 1)), undefined)
  }
})

await test('any tenant and any randomness come back; any other text is an answer, not an exception', async t => {
  const tenant = fc.stringMatching(/^[a-z0-9-]{1,63}$/)
  const random = fc.uint8Array({ minLength: API_KEY_RANDOM_BYTES, maxLength: API_KEY_RANDOM_BYTES })
  fc.assert(
    fc.property(tenant, random, (id, value) => tenantOfApiKey(formatApiKey(id, value)) === id),
  )
  fc.assert(fc.property(fc.string(), text => tenantOfApiKey(text) === undefined))
  t.pass('holds')
})

await test('a caller that passes too little randomness or no tenant id is stopped', async t => {
  t.throws(() => formatApiKey('acme', new Uint8Array(16)), RangeError)
  t.throws(() => formatApiKey('Acme', bytes(1)), RangeError)
  t.throws(() => formatApiKey('', bytes(1)), RangeError)
})
