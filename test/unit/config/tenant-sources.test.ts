import { test } from 'tap'
import { formatProblem, loadConfig } from '../../../src/config/load.ts'

const MAIN = `listeners: [{ name: a, mode: shared, address: 127.0.0.1:8080 }]
mixer: { token: 0123456789abcdef-token }
`
const DEPLOYMENT = { endpoints: ['http://127.0.0.1:9101'] }
const yaml = (id: string): string =>
  `id: ${id}\ndeployment: { endpoints: [http://127.0.0.1:9101] }\n`
const line = (tenant: object): string => JSON.stringify({ deployment: DEPLOYMENT, ...tenant })

function load(directory: string, env: Record<string, string> = {}): string[] {
  const result = loadConfig(`${directory}/amt.yaml`, { env })
  if ('config' in result) return result.config.tenants.map(tenant => tenant.id)
  return result.problems.map(problem => formatProblem(problem).replaceAll(`${directory}/`, ''))
}

await test('tenants of all sources follow each other, files in the order of their names', async t => {
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenants: [{ ${yaml('inline').trim().replace('\n', ', ')} }]
tenantSources: [{ file: lines.jsonl }, { directory: tenants.d }, { directory: empty }]
`,
    'lines.jsonl': `${line({ id: 'l1' })}\n\n${line({ id: '${NAME}' })}\r\n${line({ id: 'l3' })}`,
    'tenants.d': {
      'b.yaml': yaml('b'),
      'a.yml': yaml('a'),
      '.hidden.yaml': 'not: a tenant',
      '.#b.yaml': 'not: a tenant',
      '#b.yaml#': 'not: a tenant',
      'b.yaml~': 'not: a tenant',
      'README.md': 'not a tenant',
    },
    empty: {},
  })
  t.same(load(directory, { NAME: 'l2' }), ['inline', 'l1', 'l2', 'l3', 'a', 'b'])
})

await test('numbers of 64 bits stay exact, in lines and in YAML', async t => {
  const link = '"credentials":[{"privateLink":{"gcp":12345678901234567}}]'
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenantSources: [{ file: lines.jsonl }, { directory: tenants.d }]\n`,
    'lines.jsonl': line({ id: 'l1' }).replace('"id"', `${link},"id"`),
    'tenants.d': {
      'a.yaml': `${yaml('a')}credentials: [{ privateLink: { gcp: 18446744073709551615 } }]\n`,
    },
  })
  const result = loadConfig(`${directory}/amt.yaml`, { env: {} })
  t.match(result, {
    config: {
      tenants: [
        { credentials: [{ privateLink: { gcp: '12345678901234567' } }] },
        { credentials: [{ privateLink: { gcp: '18446744073709551615' } }] },
      ],
    },
  })
})

await test('problems name the file and line of the tenant', async t => {
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenantSources: [{ directory: tenants.d }, { file: lines.jsonl }]\n`,
    'tenants.d': {
      'acme.yaml': yaml('acme'),
      'bad.yaml': 'id: bad\nadress: 10.0.0.1\n',
      'syntax.yaml': 'id: [\n',
      'twice.yaml': yaml('acme'),
    },
    'lines.jsonl': `${line({ id: 'Bad' })}
{ "id": }
${line({ id: 'l3' }).replace('"id"', '"id":"l4","id"')}
${line({ id: 'acme' })}
${line({ id: '${NONE}' })}
[]
`,
  })
  t.same(load(directory), [
    'tenants.d/bad.yaml:1:1: deployment: is missing; it must be a map of keys (The deployment of the application that serves this tenant and no other)',
    'tenants.d/bad.yaml:2:1: adress: is not a key here; did you mean address?; allowed: id, address, hosts, credentials, jwt, deployment, passthrough, connect, limits, weight, quotas, disabled',
    'tenants.d/syntax.yaml:2:1: YAML: flow sequence in block collection must be sufficiently indented and end with a ]',
    'lines.jsonl:1:60: id: must be 1 to 63 of a-z, 0-9 and "-", not "Bad"',
    'lines.jsonl:2:1: must be one tenant as JSON on one line',
    'lines.jsonl:3:65: id: stands twice, first on line 3; a key may stand once',
    'lines.jsonl:4:60: id: the tenant acme is also at id (tenants.d/acme.yaml:1)',
    'lines.jsonl:5:60: id: the environment variable NONE is not set; ${NONE:-default} has a default',
    'lines.jsonl:6:1: must be a map of keys, not a list',
    'tenants.d/twice.yaml:1:5: id: the tenant acme is also at id (tenants.d/acme.yaml:1)',
  ])
})

await test('sources that are not there are problems of the main file', async t => {
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenantSources: [{ directory: none }, { file: none.jsonl }, { directory: amt.yaml }, { file: . }]\n`,
  })
  t.same(load(directory), [
    'amt.yaml:3:30: tenantSources[0].directory: the directory none does not exist',
    'amt.yaml:3:46: tenantSources[1].file: the file none.jsonl does not exist',
    'amt.yaml:3:73: tenantSources[2].directory: the directory amt.yaml is a file, must be a directory',
    `amt.yaml:3:93: tenantSources[3].file: the file ${directory} is a directory, must be a file`,
  ])
})

await test('paths that the system itself refuses are problems, too', async t => {
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenantSources:
  - { directory: "a\\0b" }
  - { file: "a\\0b" }
  - { directory: loop/x }
  - { file: loop/x }
  - { directory: ${'x'.repeat(300)} }
`,
    loop: t.fixture('symlink', 'loop'),
  })
  const lines = load(directory)
  t.same(
    lines.map(each => /^amt\.yaml:(\d+):\d+: tenantSources.*cannot be read: /.exec(each)?.[1]),
    ['4', '5', '6', '7', '8'],
  )
})

await test('a tenant is at most 64 KiB and valid UTF-8', async t => {
  const filler = ' '.repeat(64 * 1024 + 1 - line({ id: 'x' }).length)
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenantSources: [{ directory: tenants.d }, { file: lines.jsonl }]\n`,
    'tenants.d': { 'long.yaml': `${yaml('a')}#${'x'.repeat(64 * 1024)}` },
    'lines.jsonl': Buffer.concat([
      Buffer.from(`${line({ id: 'x' })}${filler.slice(1)}\n${line({ id: 'x' })}${filler}\n`),
      Buffer.from([0x22, 0xff, 0x22]),
    ]),
  })
  t.same(load(directory), [
    'tenants.d/long.yaml:1:1: the file is larger than 65536 bytes',
    'lines.jsonl:2:1: the line must be valid UTF-8 of at most 65536 bytes',
    'lines.jsonl:3:1: the line must be valid UTF-8 of at most 65536 bytes',
  ])
})

await test('paths of a tenant start at its own file', async t => {
  const deployment = { endpoints: ['https://127.0.0.1:1'], tls: { ca: 'ca.crt' } }
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenantSources: [{ file: more/lines.jsonl }]\n`,
    more: { 'lines.jsonl': line({ id: 'a', deployment }), 'ca.crt': '' },
  })
  const result = loadConfig(`${directory}/amt.yaml`, { env: {} })
  const tenant = 'config' in result ? result.config.tenants[0] : undefined
  t.equal(tenant?.deployment.tls?.ca, `${directory}/more/ca.crt`)
})

await test('very many bad tenants are counted instead of listed', async t => {
  const bad = Array.from({ length: 600 }, (_, index) => line({ id: `t${index}`, zz: 1 }))
  const directory = t.testdir({
    'amt.yaml': `${MAIN}tenantSources: [{ file: lines.jsonl }]\n`,
    'lines.jsonl': bad.join('\n'),
  })
  const lines = load(directory)
  t.equal(lines.length, 501)
  t.equal(lines.at(-1), 'lines.jsonl:500:67: 100 more problems are not shown')
})
