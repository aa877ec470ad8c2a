/**
 * `config.example.yaml` is the manual of the configuration: it must be complete, and it must load. Lines such as
 * `# key: value` and `# - entry` are keys that stand in it commented out; they must be right as well.
 */
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { type JsonSchema, plainSchema } from '../../../src/config/json-schema.ts'
import { formatProblem, loadConfig } from '../../../src/config/load.ts'
import { createAuthority } from '../../../src/runtime/certificates/issue.ts'

const EXAMPLE = readFileSync(new URL('../../../config.example.yaml', import.meta.url), 'utf8')
const COMPLETE = EXAMPLE.replaceAll(/^( *)# ( *(?:- |[a-z][A-Za-z]*:(?: |$)))/gm, '$1$2')

/** What `npm start` makes. */
const STATE = {
  'ca.crt': '',
  'server.crt': '',
  'server.key': '',
  'jwks.json': '{"keys":[]}',
  'acme.apikey.sha256': `sha256:${'a'.repeat(64)}\n`,
  'globex.apikey.sha256': `sha256:${'b'.repeat(64)}\n`,
  'mixer.token': 'a-token-of-the-mixer\n',
}

/** `tenants[].limits.burst` and so on, for every key of the schema. */
function* schemaKeys(schema: JsonSchema, path = ''): Generator<string> {
  for (const option of [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])]) {
    yield* schemaKeys(option, path)
  }
  if (schema.items) yield* schemaKeys(schema.items, `${path}[]`)
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    yield `${path}.${key}`
    yield* schemaKeys(child, `${path}.${key}`)
  }
}

function* valueKeys(value: unknown, path = ''): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, child] of Object.entries(value)) {
    const here = Array.isArray(value) ? `${path}[]` : `${path}.${key}`
    yield here
    yield* valueKeys(child, here)
  }
}

await test('every key of the schema stands in the example', async t => {
  const expected = [...new Set(schemaKeys(plainSchema('config')))]
  const found = new Set(valueKeys(parse(COMPLETE)))
  t.ok(expected.length > 90, `the schema has ${expected.length} keys`)
  t.same(
    expected.filter(key => !found.has(key)),
    [],
  )
})

await test('the example loads with what the first start makes', async t => {
  const directory = t.testdir({ 'config.example.yaml': EXAMPLE, state: STATE })
  const result = loadConfig(`${directory}/config.example.yaml`, { env: {} })
  t.same('problems' in result ? result.problems.map(formatProblem) : [], [])
  if ('problems' in result) return
  t.same(result.warnings, [])
  t.match(result.config, {
    listeners: [
      { name: 'public', address: '127.0.0.1:8443' },
      { name: 'plain', address: '127.0.0.1:8080' },
      { name: 'private', port: 7070, bind: 'each' },
    ],
    tenants: [
      { id: 'acme', address: '127.0.1.1', hosts: ['acme.localhost'] },
      { id: 'globex', address: '127.0.1.2', hosts: ['globex.localhost'] },
    ],
    mixer: { token: 'a-token-of-the-mixer', journal: `${directory}/state/journal` },
    ledger: `sqlite:${directory}/state/ledger.db`,
  })
})

await test('the example takes the state folder from AMT_STATE', async t => {
  const directory = t.testdir({ 'config.example.yaml': EXAMPLE, elsewhere: STATE })
  const env = { AMT_STATE: `${directory}/elsewhere` }
  const result = loadConfig(`${directory}/config.example.yaml`, { env })
  t.equal('config' in result && result.config.mixer.journal, `${directory}/elsewhere/journal`)
})

await test('the example loads with everything that is commented out', async t => {
  const authority = await createAuthority('test authority', Date.now())
  const partner = await createAuthority('partner', Date.now())
  const directory = t.testdir({
    'config.example.yaml': COMPLETE,
    state: { ...STATE, 'ca.crt': authority.cert },
    certs: {
      'upstream-ca.crt': '',
      'amt.crt': '',
      'amt.key': '',
      'mixer-ca.crt': '',
      'mixer.crt': '',
      'mixer.key': '',
      'workloads-ca.crt': '',
      'partner-ca.crt': partner.cert,
    },
    'tenants.d': {},
    'tenants.jsonl': '',
    'customers.json': '{}',
  })
  const result = loadConfig(`${directory}/config.example.yaml`, { env: {} })
  t.same('problems' in result ? result.problems.map(formatProblem) : [], [])
})

await test('before the first start, the example says what to do', async t => {
  const directory = t.testdir({ 'config.example.yaml': EXAMPLE })
  const result = loadConfig(`${directory}/config.example.yaml`, { env: {} })
  const problems = 'problems' in result ? result.problems : []
  t.equal(problems.length, 7)
  for (const { message } of problems) t.match(message, /does not exist; `npm start` makes it$/)
})
