import { test } from 'tap'
import { configJsonSchema, type JsonSchema } from '../../../src/config/json-schema.ts'

const schema: JsonSchema = configJsonSchema()

function* properties(node: JsonSchema, path = ''): Generator<[string, JsonSchema]> {
  for (const option of [...(node.oneOf ?? []), ...(node.anyOf ?? [])])
    yield* properties(option, path)
  if (node.items) yield* properties(node.items, `${path}[]`)
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    yield [`${path}.${key}`, child]
    yield* properties(child, `${path}.${key}`)
  }
}

await test('the schema is JSON Schema with a title', async t => {
  t.match(schema, {
    $schema: /^https:\/\/json-schema\.org\//,
    title: 'AMT configuration',
    type: 'object',
  })
  t.same(JSON.parse(JSON.stringify(schema)), schema)
})

await test('every key has a description', async t => {
  const all = [...properties(schema)]
  t.ok(all.length > 90)
  t.same(
    all.filter(([, node]) => node.description === undefined).map(([path]) => path),
    [],
  )
})

await test('defaults are as they are written in a file', async t => {
  const defaults = Object.fromEntries(
    [...properties(schema)].map(([path, node]) => [path, node.default]),
  )
  t.match(defaults, {
    '.timeouts.header': '10s',
    '.authentication.jwt[].clockSkew': '60s',
    '.limits.concurrency': 1_000,
    '.workers': 'auto',
    '.log.level': 'info',
    '.mixer.url': 'http://127.0.0.1:9092',
  })
})

await test('only keys that must be there are required, and unknown ones are refused', async t => {
  t.same(schema.required, ['listeners', 'mixer'])
  t.equal(schema.additionalProperties, false)
})

await test('values that are checked may also hold ${…}', async t => {
  const all = new Map(properties(schema))
  const interpolated = { type: 'string', pattern: '\\$\\{' }
  for (const path of [
    '.workers',
    '.log.level',
    '.listeners[].port',
    '.tenants[].credentials[].apiKey',
    '.tenants[].address',
    '.tenants[].disabled',
  ]) {
    t.match(all.get(path)?.anyOf?.at(-1), interpolated, path)
  }
  t.equal(all.get('.mixer.journal')?.anyOf, undefined)
})
