/** Whatever a file holds, loading answers with a configuration or with problems that have a place in that file. */
import { writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { test } from 'tap'
import { stringify } from 'yaml'
import { loadConfig } from '../../../src/config/load.ts'

const seed = Number(process.env.AMT_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31))
const numRuns = Number(process.env.AMT_FUZZ_RUNS ?? 60)

const KEYS = [
  'listeners',
  'mixer',
  'tenants',
  'tenantSources',
  'authentication',
  'jwt',
  'issuer',
  'name',
  'mode',
  'address',
  'tls',
  'credentials',
  'spiffe',
  'apiKey',
  'deployment',
  'endpoints',
  'id',
  'hosts',
  'limits',
  'ledger',
  'service',
  'operations',
  'file',
  'directory',
  '__proto__',
  '<<',
  'constructor',
  'toString',
]
const TEXTS = [
  'shared',
  'private',
  '127.0.0.1:1',
  '[::1]:1',
  '[:]:99999',
  'http://h:1',
  'https://[::g]:0',
  'spiffe://a/*',
  '${',
  '${A}',
  '${file:..}',
  '${file:\0}',
  '*',
  '\0',
  'sqlite:x',
  '10s',
  'GET /',
  'a',
  '',
  '.',
]
const FRAGMENTS = [
  'a',
  ':',
  ' ',
  '\n',
  '- ',
  '[',
  ']',
  '{',
  '}',
  '&a ',
  '*a',
  '"',
  "'",
  '|\n',
  '>',
  '#',
  '!',
  '%YAML 1.1\n',
  '---\n',
  '\t',
  '? ',
  ',',
  '<<',
  ...KEYS.slice(0, 8),
  ...TEXTS,
]

const leaf = fc.oneof(
  fc.constantFrom(...TEXTS),
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
)
const { value: anyValue } = fc.letrec(tie => ({
  value: fc.oneof(
    { depthSize: 'medium' },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    tie('map'),
  ),
  map: fc.dictionary(fc.oneof(fc.constantFrom(...KEYS), fc.string()), tie('value'), { maxKeys: 6 }),
}))

/** The values of a valid configuration with some exchanged: gets further than what is random from the root. */
const nearlyValid = fc.record(
  {
    listeners: fc.array(
      fc.record(
        {
          name: leaf,
          mode: fc.constantFrom('shared', 'private'),
          address: leaf,
          port: leaf,
          tls: anyValue,
          protocol: fc.constantFrom('tcp', 'auto'),
        },
        { requiredKeys: ['name', 'mode'] },
      ),
      { maxLength: 3 },
    ),
    mixer: fc.record(
      {
        token: fc.constant('0123456789abcdef'),
        url: fc.oneof(fc.constant('http://[::1]:1'), leaf),
      },
      { requiredKeys: ['token'] },
    ),
    tenants: fc.array(
      fc.record(
        {
          id: fc.constantFrom('a', 'b'),
          address: fc.oneof(fc.ipV4(), fc.ipV6(), leaf),
          hosts: fc.array(leaf, { maxLength: 2 }),
          credentials: fc.array(fc.dictionary(fc.constantFrom(...KEYS), leaf, { maxKeys: 2 }), {
            maxLength: 2,
          }),
          deployment: fc.record(
            { endpoints: fc.array(leaf, { minLength: 1, maxLength: 2 }), tls: anyValue },
            { requiredKeys: ['endpoints'] },
          ),
        },
        { requiredKeys: ['id', 'deployment'] },
      ),
      { maxLength: 3 },
    ),
    authentication: anyValue,
    service: anyValue,
    ledger: leaf,
    tenantSources: fc.array(
      fc.dictionary(fc.constantFrom('file', 'directory'), leaf, { maxKeys: 1 }),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: ['listeners', 'mixer'] },
)

await test('loading never throws, and every problem has a place', async t => {
  const directory = t.testdir({ 'tenants.d': {} })
  const file = `${directory}/amt.yaml`
  const lines = `${directory}/lines.jsonl`
  writeFileSync(lines, '')
  t.comment(`seed ${seed}; repeat with AMT_FUZZ_SEED=${seed}`)

  const check = (text: string): void => {
    writeFileSync(file, text)
    const result = loadConfig(file, { env: { A: 'x' } })
    if ('config' in result) return
    if (result.problems.length === 0) throw new Error('neither a configuration nor a problem')
    for (const { line, column, message } of result.problems) {
      if (!(line >= 1 && column >= 1)) throw new Error(`no place: ${line}:${column}`)
      if (message === '' || /[\n\0]/.test(message)) throw new Error(`no line: ${message}`)
    }
  }
  const options = { seed, numRuns }
  fc.assert(fc.property(fc.string(), check), options)
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...FRAGMENTS)).map(parts => parts.join('')),
      check,
    ),
    options,
  )
  fc.assert(
    fc.property(
      anyValue.map(value => stringify(value)),
      check,
    ),
    options,
  )
  fc.assert(
    fc.property(
      nearlyValid.map(value => JSON.stringify(value)),
      check,
    ),
    options,
  )

  const main =
    'listeners: [{ name: a, mode: private, port: 1 }]\nmixer: { token: 0123456789abcdef }\ntenantSources: [{ file: lines.jsonl }]\n'
  const line = fc.oneof(
    fc.string(),
    anyValue.map(value => JSON.stringify(value)),
  )
  const checkLines = (texts: string[]): void => {
    writeFileSync(lines, texts.join('\n'))
    check(main)
  }
  fc.assert(fc.property(fc.array(line, { maxLength: 5 }), checkLines), options)
  t.pass('nothing was thrown')
})
