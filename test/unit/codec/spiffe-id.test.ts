/** The syntax of SPIFFE ids (SPIFFE-ID, section 2). */
import fc from 'fast-check'
import { test } from 'tap'
import {
  claimedTrustDomain,
  claimsSpiffeId,
  isSpiffeId,
  patternDomainOf,
  trustDomainOf,
} from '../../../src/codec/spiffe-id.ts'

const DOMAIN_255 = 'd'.repeat(255)

await test('ids: scheme spiffe, a trust domain, a path that is not the root', async t => {
  for (const [id, domain] of [
    ['spiffe://example.org/tenant/acme', 'example.org'],
    ['spiffe://example.org/x', 'example.org'],
    ['spiffe://10.0.0.1/x', '10.0.0.1'],
    ['spiffe://a_b-c.d/A.B_C-9/...', 'a_b-c.d'],
    [`spiffe://${DOMAIN_255}/x`, DOMAIN_255],
    [`spiffe://e/${'x'.repeat(2_048 - 'spiffe://e/'.length)}`, 'e'],
  ] as const) {
    t.equal(trustDomainOf(id), domain, id.slice(0, 40))
    t.equal(isSpiffeId(id), true)
  }
})

const BAD: Readonly<Record<string, readonly string[]>> = {
  'another scheme': [
    'https://example.org/x',
    'spiffes://example.org/x',
    'urn:spiffe://example.org/x',
    ' spiffe://example.org/x',
  ],
  'capitals in scheme or trust domain': [
    'SPIFFE://example.org/x',
    'Spiffe://example.org/x',
    'spiffe://Example.org/x',
  ],
  'no trust domain': ['spiffe:///x', 'spiffe:/x', 'spiffe:x', 'spiffe://'],
  'a trust domain of more than 255 bytes': [`spiffe://${DOMAIN_255}d/x`],
  'an id of more than 2048 bytes': [`spiffe://e/${'x'.repeat(2_049 - 'spiffe://e/'.length)}`],
  'a port': ['spiffe://example.org:443/x', 'spiffe://example.org:/x'],
  'a user': [
    'spiffe://me@example.org/x',
    'spiffe://@example.org/x',
    'spiffe://me:pw@example.org/x',
  ],
  'an escape': [
    'spiffe://example%2eorg/x',
    'spiffe://example.org/%61',
    'spiffe://example.org/a%2fb',
  ],
  'a query': ['spiffe://example.org/x?y', 'spiffe://example.org/x?', 'spiffe://example.org?x'],
  'a fragment': ['spiffe://example.org/x#y', 'spiffe://example.org/x#', 'spiffe://example.org#x'],
  'an empty segment': ['spiffe://example.org//x', 'spiffe://example.org/x//y'],
  'a dot segment': [
    'spiffe://example.org/.',
    'spiffe://example.org/..',
    'spiffe://example.org/x/./y',
    'spiffe://example.org/x/../y',
    'spiffe://example.org/x/..',
  ],
  'a slash at the end': ['spiffe://example.org/x/', 'spiffe://example.org/'],
  'no path': ['spiffe://example.org'],
  'other characters': [
    'spiffe://example.org/x y',
    'spiffe://example.org/é',
    'spiffe://exämple.org/x',
    'spiffe://[::1]/x',
    'spiffe://example.org/x;y',
    'spiffe://example.org/*',
    'spiffe://example.org/x\\y',
    'spiffe://example.org/x\0',
    'spiffe://example.org/x\n',
    '\nspiffe://example.org/x',
  ],
  nothing: [''],
}

for (const [what, ids] of Object.entries(BAD)) {
  await test(`no id: ${what}`, async t => {
    for (const id of ids) {
      t.equal(trustDomainOf(id), undefined, JSON.stringify(id.slice(0, 60)))
      t.equal(isSpiffeId(id), false)
    }
  })
}

await test('what means to be an id is known whatever its spelling', async t => {
  for (const uri of ['spiffe://example.org/x', 'SPIFFE://x', 'sPiFfE:', 'spiffe:x'])
    t.equal(claimsSpiffeId(uri), true, uri)
  for (const uri of ['', 'spiffe', 'spiffes://x', ' spiffe://x', 'https://x/spiffe:'])
    t.equal(claimsSpiffeId(uri), false, uri)
})

await test('a prefix ends in /*, and may be the whole trust domain', async t => {
  t.equal(patternDomainOf('spiffe://example.org/ns/acme/*'), 'example.org')
  t.equal(patternDomainOf('spiffe://example.org/*'), 'example.org')
  t.equal(patternDomainOf('spiffe://example.org/x'), 'example.org')
  for (const bad of [
    'spiffe://example.org*',
    'spiffe://example.org/x*',
    'spiffe://example.org/*/x',
    'spiffe://example.org/*/*',
    'spiffe://example.org//*',
    'spiffe://example.org/../*',
    'spiffe:///*',
    '/*',
    '*',
  ])
    t.equal(patternDomainOf(bad), undefined, bad)
})

/** The same rules once more, step by step as the standard lists them. */
function isIdByTheBook(uri: string): boolean {
  if (Buffer.byteLength(uri) > 2_048 || !uri.startsWith('spiffe://')) return false
  const [domain = '', ...segments] = uri.slice('spiffe://'.length).split('/')
  if (domain === '' || domain.length > 255 || segments.length === 0) return false
  if (domain.split('').some(each => !'abcdefghijklmnopqrstuvwxyz0123456789.-_'.includes(each)))
    return false
  return segments.every(
    segment =>
      !['', '.', '..'].includes(segment) &&
      segment
        .split('')
        .every(
          each =>
            'abcdefghijklmnopqrstuvwxyz0123456789.-_'.includes(each.toLowerCase()) && each <= '~',
        ),
  )
}

await test('mutated ids: never throws, and takes what the standard takes', async t => {
  const pieces = [
    'spiffe',
    '://',
    ':',
    '/',
    '//',
    '.',
    '..',
    '%2e',
    '?',
    '#',
    '@',
    ':443',
    '*',
    'a.example',
    'A.example',
    'ns',
    'acme',
    '_-',
    '\0',
    '\n',
    ' ',
    'é',
    'K',
    '[::1]',
    'x'.repeat(250),
  ]
  const id = fc.oneof(
    fc
      .array(fc.constantFrom(...pieces), { maxLength: 12 })
      .map(parts => `spiffe://a.example/${parts.join('')}`),
    fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map(parts => parts.join('')),
    fc.tuple(fc.nat({ max: 40 }), fc.string({ maxLength: 2 })).map(([at, text]) => {
      const whole = 'spiffe://a.example/ns/acme/web/1'
      return whole.slice(0, at) + text + whole.slice(at + 1)
    }),
    fc.string(),
  )
  let good = 0
  fc.assert(
    fc.property(id, uri => {
      const domain = trustDomainOf(uri)
      if (domain !== undefined) good += 1
      if ((domain !== undefined) !== isIdByTheBook(uri)) throw new Error(JSON.stringify(uri))
      if (domain !== undefined && claimedTrustDomain(uri) !== domain)
        throw new Error(JSON.stringify(uri))
      patternDomainOf(uri)
    }),
    { numRuns: 10_000 },
  )
  t.ok(good > 500, `${good} of them are ids`)
})
