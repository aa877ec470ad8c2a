import fc from 'fast-check'
import { test } from 'tap'
import { DEFAULT_CAPS } from '../../../../src/codec/http1/caps.ts'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { normalTarget, type PathRule } from '../../../../src/codec/http1/path.ts'
import { RequestHead } from '../../../../src/codec/http1/request-head.ts'
import { latin1, readAtEverySplit } from '../../../support/http1/every-split.ts'
import { requestReader, type SeenRequest } from '../../../support/http1/heads.ts'

await test('leaves alone what is in normal form, or has no path', async t => {
  for (const target of [
    '/',
    '/a/b.c/d~e-f_g/',
    '/a%20b/%C3%A9%25',
    '/.well-known/x',
    '/a..b/..c/d..',
    '/a;p=1/...;b',
    '/?a=/../%2f\\%zz//',
    '/a?/./',
    "/a!$&'()*+,;=:@",
    '*',
    'a:443',
    'http://a',
    'http://a?b=//',
    'http://a/b',
  ])
    t.equal(normalTarget(target), target, target)
})

await test('brings a path into normal form, and never the query', async t => {
  const rows: readonly (readonly [target: string, normal: string])[] = [
    ['/a/./b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a/b/..', '/a/'],
    ['/a/.', '/a/'],
    ['/..', '/'],
    ['/.', '/'],
    ['/../../a', '/a'],
    // RFC 3986 section 5.2.4.
    ['/a/b/c/./../../g', '/a/g'],
    ['//a', '/a'],
    ['/a///b//', '/a/b/'],
    ['/a//../b', '/b'],
    ['/%61%2D%7e', '/a-~'],
    ['/%2e%2E/a', '/a'],
    ['/a/%2e', '/a/'],
    ['/%c3%a9', '/%C3%A9'],
    ['/%252e%252e/a', '/%252e%252e/a'],
    ['/%25%32%65', '/%252e'],
    ['/a/../b?c=/../d//%2f', '/b?c=/../d//%2f'],
    ['http://a//b/../c?d//', 'http://a/c?d//'],
    ['http://a/..', 'http://a/'],
  ]
  for (const [target, normal] of rows) t.equal(normalTarget(target), normal, target)
})

await test('finds no normal form where readers differ on what a path says', async t => {
  for (const target of [
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a\\b',
    '/..\\a',
    '/a%00',
    '/%',
    '/a%2',
    '/a%zz',
    '/%%32e',
    '/a%u0041',
    '/..;a=b/c',
    '/a/.;/b',
    '/%2e%2e;/a',
    'http://a/b%2f',
  ])
    t.equal(normalTarget(target), undefined, target)
})

const PIECES = '/ // . .. %2e %2E %41 %2f %25 %e9 a ; ? % \\'.split(' ')

await test('what comes out is no longer, stays as it is, and leads nowhere up', async t => {
  const piece = fc.constantFrom(...PIECES)
  const target = fc.tuple(
    fc.constantFrom('/', 'http://a/', 'http://a', ''),
    fc.oneof(
      fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join('')),
      fc.string({ unit: 'grapheme-ascii', maxLength: 20 }),
    ),
  )
  fc.assert(
    fc.property(target, parts => {
      const text = parts.join('')
      const normal = normalTarget(text)
      if (normal === undefined) return
      const [path = '', ...query] = normal.split('?')
      const [, ...queryBefore] = text.split('?')
      if (normal.length > text.length) throw new Error(`longer: ${normal}`)
      if (normalTarget(normal) !== normal) throw new Error(`not idempotent: ${normal}`)
      if (query.join('?') !== queryBefore.join('?')) throw new Error(`another query: ${normal}`)
      if (!/^(\/|http:\/\/a\/)/.test(text)) return
      if (/\/\.{1,2}(\/|;|$)|[^:]\/\/|\\|%2e|%2f/i.test(path))
        throw new Error(`not normal: ${path}`)
      if (path.startsWith('//')) throw new Error(`not normal: ${path}`)
    }),
    { numRuns: 5_000, verbose: true },
  )
  t.pass()
})

/** The target that a head gives out, or its error, at every split. */
function targetOf(path: PathRule, target: string): string {
  const head = new RequestHead(new FieldTable([]), DEFAULT_CAPS, path)
  const text = latin1(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
  const { said } = readAtEverySplit(requestReader(head), text)
  return typeof said === 'string' ? said : (said as SeenRequest).target
}

await test('a head follows the rule for paths', async t => {
  const rows: readonly (readonly [target: string, normalize: string, reject: string])[] = [
    ['/a?/../', '/a?/../', '/a?/../'],
    ['/a/../b', '/b', 'unsafe_path'],
    ['//a', '/a', 'unsafe_path'],
    ['/%7E', '/~', 'unsafe_path'],
    ['/a%2fb', 'unsafe_path', 'unsafe_path'],
    ['http://a/b/../c', 'http://a/c', 'unsafe_path'],
  ]
  for (const [target, normalize, reject] of rows) {
    t.equal(targetOf('as-is', target), target, `${target} as it is`)
    t.equal(targetOf('normalize', target), normalize, `${target} normalized`)
    t.equal(targetOf('reject', target), reject, `${target} or refused`)
  }
})
