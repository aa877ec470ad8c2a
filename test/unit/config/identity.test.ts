/** What a deployment is known by at the mixer, and the mixer's TLS, in the configuration. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { formatProblem, type LoadResult, loadConfig } from '../../../src/config/load.ts'

const MIXER = 'url: https://mixer.example, token: 0123456789abcdef-token'

function load(t: Test, identities: readonly string[], mixer = MIXER): LoadResult {
  const file = join(t.testdir({}), 'amt.yaml')
  const tenants = identities.map(
    (identity, index) =>
      `  - { id: t${index}, deployment: { endpoints: [http://127.0.0.1:9101], identity: ${identity} } }\n`,
  )
  writeFileSync(
    file,
    `listeners: [{ name: a, mode: shared, address: 127.0.0.1:8080 }]
mixer: { ${mixer} }
${tenants.length > 0 ? 'tenants:\n' : ''}${tenants.join('')}`,
  )
  return loadConfig(file, { env: {} })
}

function problems(result: LoadResult): string[] {
  return 'problems' in result ? result.problems.map(formatProblem) : []
}

await test('identities that belong to one deployment each are taken', async t => {
  const result = load(t, [
    '{ spiffe: spiffe://example.org/ns/a/sa/b, address: [10.0.0.0/24, 10.0.0.7, "2001:db8::/64"] }',
    '{ spiffe: spiffe://other.org/ns/a/sa/b, address: [10.0.1.0/24, "2001:db8:0:1::1"] }',
    '{ }',
  ])
  t.same(problems(result), [])
  if ('problems' in result) return
  t.same(result.config.tenants[2]?.deployment.identity, { address: [] })
})

for (const [name, identities, message] of [
  [
    'a workload of two',
    ['{ spiffe: spiffe://a.org/x }', '{ spiffe: spiffe://a.org/x }'],
    /the workload spiffe:\/\/a\.org\/x is claimed by the tenants t0 and t1; it stands also at/,
  ],
  ['a prefix', ['{ spiffe: spiffe://a.org/x/* }'], /is no SPIFFE id of one workload/],
  ['an id with a dot segment', ['{ spiffe: spiffe://a.org/x/../y }'], /is no SPIFFE id/],
  [
    'the same address of two, in two spellings',
    ['{ address: ["::ffff:10.0.0.1"] }', '{ address: [10.0.0.1] }'],
    /is claimed by the tenants t[01] and t[01]/,
  ],
  [
    'a block in a block of another',
    ['{ address: [10.0.0.0/8] }', '{ address: [10.250.0.0/16] }'],
    /10\.250\.0\.0\/16, or a part of it, is claimed by the tenants t0 and t1/,
  ],
  [
    'a block around that of another',
    ['{ address: [10.250.0.7] }', '{ address: [11.0.0.0/8, 10.0.0.0/8] }'],
    /10\.0\.0\.0\/8, or a part of it, is claimed by the tenants t0 and t1/,
  ],
  ['a loopback address', ['{ address: [127.0.0.1] }'], /loopback and link-local addresses tell no/],
  ['a link-local block', ['{ address: ["fe80::/64"] }'], /loopback and link-local addresses/],
  ['everything', ['{ address: [0.0.0.0/0] }'], /0\.0\.0\.0\/0 holds every address/],
  ['a name', ['{ address: [acme.example.com] }'], /must be an IP address or a CIDR block/],
] as const) {
  await test(`refused: ${name}`, async t => {
    const found = problems(load(t, identities))
    t.equal(found.length, 1, found.join('\n'))
    t.match(found[0], message)
  })
}

await test('blocks of one tenant may lie in each other', async t => {
  t.same(problems(load(t, ['{ address: [10.0.0.0/8, 10.1.0.0/16, 10.1.0.1] }'])), [])
})

await test('TLS at the mixer needs its files', async t => {
  const wrong = problems(
    load(t, [], 'token: 0123456789abcdef-token, ca: no.crt, tls: { cert: no.crt, key: no.key }'),
  )
  for (const message of [
    /mixer\.ca: the file .*no\.crt/,
    /mixer\.tls\.cert: the file .*no\.crt/,
    /mixer\.tls\.key: the file .*no\.key/,
  ])
    t.ok(
      wrong.some(problem => message.test(problem)),
      `${message.source} in ${wrong.join('\n')}`,
    )
})

await test('TLS at the mixer with a plain url is warned of', async t => {
  const folder = t.testdir({ 'a.crt': '', 'a.key': '', 'amt.yaml': '' })
  const file = join(folder, 'amt.yaml')
  writeFileSync(
    file,
    `listeners: [{ name: a, mode: shared, address: 127.0.0.1:8080 }]
mixer: { token: 0123456789abcdef-token, ca: a.crt, tls: { cert: a.crt, key: a.key, clientCa: a.crt } }
`,
  )
  const result = loadConfig(file, { env: {} })
  t.match(result, {
    warnings: [/mixer\.url: should be https/],
    config: {
      mixer: {
        ca: `${folder}/a.crt`,
        tls: { cert: `${folder}/a.crt`, key: `${folder}/a.key`, clientCa: `${folder}/a.crt` },
      },
    },
  })
})
