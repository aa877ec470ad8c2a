/** Trust domains in the configuration, and the ids in tenants' credentials: each rule with what its breach prints. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { formatProblem, loadConfig } from '../../../src/config/load.ts'
import { createAuthority, issueTenantCertificate } from '../../../src/runtime/certificates/issue.ts'
import { authority } from '../../support/custom-certificate.ts'

const NOW = Date.now()
const one = await createAuthority('one', NOW)
const two = await createAuthority('two', NOW)
const leaf = await issueTenantCertificate(
  one,
  { tenant: 'acme', spiffeId: 'spiffe://example.org/acme' },
  NOW,
)
/** Nobody should issue such a one; it must not stop the check. */
const nameless = await authority('', { subject: [] })
const FILES = {
  'nameless.crt': nameless.cert,
  'one.crt': one.cert,
  'two.crt': two.cert,
  'both.crt': `# first\n${one.cert}# second\n${two.cert}`,
  'leaf.crt': leaf.cert,
  'empty.crt': '',
  'broken.crt': one.cert.replace('\nMII', '\n!!!'),
  'garbled.crt': one.cert.replace('\nMII', '\nAII'),
  'server.crt': '',
  'server.key': '',
  'jwks.json': '{"keys":[]}',
}
const DEPLOYMENT = 'deployment: { endpoints: [http://127.0.0.1:9101] }'

interface Parts {
  readonly spiffe?: string
  readonly tls?: string
  readonly tenants?: readonly string[]
}

interface Loaded {
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** What is printed about a configuration with this in it. */
function load(t: Test, { spiffe, tls, tenants = [] }: Parts): Loaded {
  const folder = t.testdir(FILES)
  const file = join(folder, 'amt.yaml')
  const listener = `name: a, mode: shared, address: 127.0.0.1:8443${tls === undefined ? '' : `, tls: { certificates: [{ cert: server.crt, key: server.key }], ${tls} }`}`
  const text = `mixer: { url: https://mixer.example, token: 0123456789abcdef-token }
listeners: [{ ${listener} }]
${spiffe === undefined ? '' : `authentication: { spiffe: ${spiffe} }\n`}tenants:
${tenants.map(each => `  - { ${each}, ${DEPLOYMENT} }\n`).join('')}`
  writeFileSync(file, tenants.length === 0 ? text.replace(/tenants:\n$/, '') : text)
  const result = loadConfig(file, { env: {} })
  const clean = (line: string): string =>
    line
      .replaceAll(file, 'FILE')
      .replaceAll(folder, 'DIR')
      .replace(/^FILE:\d+:\d+: /, '')
  if ('config' in result) return { problems: [], warnings: result.warnings.map(clean) }
  return { problems: result.problems.map(formatProblem).map(clean), warnings: [] }
}

const domains = (...each: string[]): string =>
  `{ trustDomains: [${each.map(x => `{ ${x} }`).join(', ')}] }`

await test('the short form: one trust domain, whose authorities are those of the listener', async t => {
  const parts = {
    spiffe: '{ trustDomain: example.org }',
    tls: 'clientCertificate: required, clientCa: one.crt',
  }
  t.same(load(t, parts), { problems: [], warnings: [] })
})

await test('several trust domains, each with its own authorities and keys', async t => {
  const spiffe = domains(
    'name: a.example, ca: one.crt, jwks: jwks.json, audiences: [orders]',
    'name: b.example, ca: two.crt',
    'name: c.example, jwks: https://c.example/bundle, audiences: [orders], clockSkew: 5s',
  )
  const tls = 'clientCertificate: required'
  t.same(load(t, { spiffe, tls }), { problems: [], warnings: [] }, 'clientCa is not needed')
  const folder = t.testdirName
  const loaded = loadConfig(join(folder, 'amt.yaml'), { env: {} })
  t.match(loaded, {
    config: {
      authentication: {
        spiffe: {
          trustDomains: [
            {
              name: 'a.example',
              ca: join(folder, 'one.crt'),
              jwks: join(folder, 'jwks.json'),
              clockSkew: 60_000,
            },
            { name: 'b.example', ca: join(folder, 'two.crt') },
            { jwks: 'https://c.example/bundle', clockSkew: 5_000 },
          ],
        },
      },
    },
  })
})

await test('what is said of trust domains is complete', async t => {
  const cases: readonly (readonly [string, string])[] = [
    ['{}', 'authentication.spiffe: needs trustDomain, trustDomains or both'],
    [domains(), 'authentication.spiffe: needs trustDomain, trustDomains or both'],
    [
      domains('name: a.example'),
      'authentication.spiffe.trustDomains[0]: nothing proves ids of a.example; needed: ca for certificates, jwks for tokens, or both',
    ],
    [
      domains('name: a.example, jwks: jwks.json'),
      'authentication.spiffe.trustDomains[0].jwks: jwks needs audiences, one of which tokens must be for',
    ],
    [
      domains('name: a.example, ca: one.crt, audiences: [x]'),
      'authentication.spiffe.trustDomains[0].audiences: audiences are of tokens, so they need jwks',
    ],
    [
      domains('name: a.example, ca: none.crt'),
      'authentication.spiffe.trustDomains[0].ca: the file DIR/none.crt does not exist',
    ],
    [
      domains('name: a.example, jwks: none.json, audiences: [x]'),
      'authentication.spiffe.trustDomains[0].jwks: the file DIR/none.json does not exist',
    ],
    [
      domains('name: a.example, ca: empty.crt'),
      'authentication.spiffe.trustDomains[0].ca: the file DIR/empty.crt holds no certificate',
    ],
    [
      domains('name: a.example, ca: broken.crt'),
      'authentication.spiffe.trustDomains[0].ca: the file DIR/broken.crt holds a certificate that cannot be read',
    ],
    [
      domains('name: a.example, ca: garbled.crt'),
      'authentication.spiffe.trustDomains[0].ca: the file DIR/garbled.crt holds a certificate that cannot be read',
    ],
    [
      domains('name: a.example, ca: leaf.crt'),
      'authentication.spiffe.trustDomains[0].ca: the certificate "CN=acme" in DIR/leaf.crt is no authority',
    ],
    [
      domains('name: a.example, ca: one.crt', 'name: a.example, ca: two.crt'),
      'authentication.spiffe.trustDomains[1].name: the trust domain a.example is also at authentication.spiffe.trustDomains[0].name (FILE:3)',
    ],
    [
      '{ trustDomain: a.example, trustDomains: [{ name: a.example, ca: two.crt }] }',
      'authentication.spiffe.trustDomains[0].name: the trust domain a.example is also at authentication.spiffe.trustDomain (FILE:3)',
    ],
  ]
  for (const [spiffe, problem] of cases) t.same(load(t, { spiffe }).problems, [problem])
  for (const name of [
    'Example.org',
    'example.org:443',
    'a@b',
    'a%20b',
    'x'.repeat(256),
    'a/b',
    'é',
  ])
    t.match(load(t, { spiffe: domains(`name: "${name}", ca: one.crt`) }).problems, [
      /must be a trust domain/,
    ])
  t.match(
    load(t, { spiffe: domains('name: a.example, jwks: http://a.example/b, audiences: [x]') })
      .warnings,
    [/use https/],
  )
})

await test('authorities that no listener uses are warned of', async t => {
  const spiffe = domains('name: a.example, ca: one.crt')
  t.same(load(t, { spiffe }).warnings, [
    'authentication.spiffe.trustDomains: no listener asks for client certificates, so no authority of them is used',
  ])
  t.same(load(t, { spiffe, tls: 'clientCertificate: optional' }).warnings, [])
})

await test('an authority that would speak for two trust domains is refused, naming both', async t => {
  const twice = load(t, {
    spiffe: domains('name: a.example, ca: one.crt', 'name: b.example, ca: both.crt'),
  })
  t.same(twice.problems, [
    'authentication.spiffe.trustDomains[1].ca: the authority "CN=one" would speak for the trust domains a.example and b.example; it stands also at authentication.spiffe.trustDomains[0].ca (FILE:3)',
  ])
  const withClientCa = load(t, {
    spiffe: '{ trustDomain: a.example, trustDomains: [{ name: b.example, ca: one.crt }] }',
    tls: 'clientCertificate: required, clientCa: one.crt',
  })
  t.match(withClientCa.problems, [/would speak for the trust domains a\.example and b\.example/])
  const twiceNameless = load(t, {
    spiffe: domains('name: a.example, ca: nameless.crt', 'name: b.example, ca: nameless.crt'),
  })
  t.match(twiceNameless.problems, [/the authority "" would speak for/])
  const several = load(t, { spiffe: domains('name: a.example, ca: both.crt') })
  t.same(several.problems, [], 'one trust domain may have several authorities')
})

await test('ids of unknown trust domains are refused, and say which are known', async t => {
  const tenants = ['id: a, credentials: [{ spiffe: spiffe://c.example/x }]']
  const spiffe = domains('name: a.example, ca: one.crt', 'name: b.example, ca: two.crt')
  t.same(load(t, { spiffe, tenants }).problems, [
    'tenants[0].credentials[0].spiffe: spiffe://c.example/x is in the trust domain c.example; allowed: a.example, b.example, as authentication.spiffe says',
  ])
  t.match(load(t, { tenants }).problems, [/a spiffe credential needs authentication\.spiffe$/])
})

await test('an id or a prefix that two tenants claim is refused, naming both', async t => {
  const spiffe = '{ trustDomain: a.example }'
  for (const id of [
    'spiffe://a.example/ns/acme/*',
    'spiffe://a.example/ns/acme',
    'spiffe://a.example/*',
  ]) {
    const tenants = [
      `id: acme, credentials: [{ spiffe: ${id} }]`,
      `id: globex, credentials: [{ spiffe: ${id} }]`,
    ]
    t.match(load(t, { spiffe, tenants }).problems, [
      `tenants[1].credentials[0]: the SPIFFE id ${id} is claimed by the tenants acme and globex`,
    ])
  }
  // Neither of these is ambiguous: the exact id wins, then the longest prefix.
  const nested = ['/*', '/ns/*', '/ns/acme', '/ns/acme/*', '/ns/acme/web', '/ns/acme2/*'].map(
    (path, i) => `id: t${i}, credentials: [{ spiffe: spiffe://a.example${path} }]`,
  )
  t.same(load(t, { spiffe, tenants: nested }), { problems: [], warnings: [] })
})

await test('ids in credentials have the syntax of SPIFFE ids', async t => {
  const spiffe = '{ trustDomain: a.example }'
  const bad = [
    '/x//y',
    '/x/',
    '/x/../y',
    '/./x',
    '/x?y',
    '/x#y',
    '/%61',
    '/x/*/y',
    '/x*',
    '/*/*',
    `/${'x'.repeat(2_048)}`,
    '//*',
  ]
  for (const path of bad) {
    const tenants = [`id: a, credentials: [{ spiffe: "spiffe://a.example${path}" }]`]
    t.equal(load(t, { spiffe, tenants }).problems.length, 1, path.slice(0, 20))
  }
  for (const id of [
    'spiffe://A.example/x',
    'SPIFFE://a.example/x',
    'spiffe://a.example',
    'spiffe://a.example:1/x',
    'spiffe://u@a.example/x',
    `spiffe://${'a'.repeat(256)}/x`,
  ]) {
    const tenants = [`id: a, credentials: [{ spiffe: "${id}" }]`]
    t.equal(load(t, { spiffe, tenants }).problems.length, 1, id.slice(0, 30))
  }
})
