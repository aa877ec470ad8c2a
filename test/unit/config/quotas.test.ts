/** Quotas in the configuration: their forms, and which of them hold for a tenant. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { formatProblem, type LoadResult, loadConfig } from '../../../src/config/load.ts'

const BASE = `listeners: [{ name: a, mode: shared, address: 127.0.0.1:8080 }]
mixer: { url: https://mixer.example, token: 0123456789abcdef-token }
`
const DEPLOYMENT = 'deployment: { endpoints: [http://127.0.0.1:9101] }'

function load(t: Test, yaml: string): LoadResult {
  const file = join(t.testdir({}), 'amt.yaml')
  writeFileSync(file, BASE + yaml)
  return loadConfig(file, { env: {} })
}

await test('a tenant has the quotas of the service and its own, which win by their name', async t => {
  const result = load(
    t,
    `quotas:
  - { name: calls, of: calls, amount: 10, per: minute }
  - { name: traffic, of: bytes, amount: 10GiB, per: month }
tenants:
  - { id: acme, ${DEPLOYMENT}, quotas: [{ name: calls, of: calls, amount: 99, per: day }] }
  - { id: globex, ${DEPLOYMENT} }
`,
  )
  t.same('problems' in result ? result.problems.map(formatProblem) : [], [])
  if ('problems' in result) return
  const traffic = { name: 'traffic', of: 'bytes', amount: 10 * 2 ** 30, per: 'month' }
  const [acme, globex] = result.config.tenants
  t.same(acme?.quotas, [traffic, { name: 'calls', of: 'calls', amount: 99, per: 'day' }])
  t.same(globex?.quotas, [{ name: 'calls', of: 'calls', amount: 10, per: 'minute' }, traffic])
  t.equal(result.config.mixer.quotaFailure, 'open')
})

for (const [what, quota, message] of [
  ['of', '{ name: a, of: requests, amount: 1, per: day }', /of: must be calls, bytes, .*requests/],
  [
    'amount',
    '{ name: a, of: calls, amount: 0, per: day }',
    /amount: must be a whole number from 1/,
  ],
  ['amount', '{ name: a, of: calls, amount: 1.5, per: day }', /amount: must be a whole number/],
  ['amount', '{ name: a, of: calls, amount: 0B, per: day }', /amount: must be a whole number/],
  ['amount', '{ name: a, of: calls, amount: many, per: day }', /amount: must be a whole number/],
  ['per', '{ name: a, of: calls, amount: 1, per: week }', /per: must be .*week/],
  ['per', '{ name: a, of: calls, amount: 1 }', /per: is missing/],
] as const) {
  await test(`a wrong ${what} is named: ${quota}`, async t => {
    const result = load(t, `quotas: [${quota}]\n`)
    const problems = 'problems' in result ? result.problems.map(formatProblem) : []
    t.equal(problems.length, 1)
    t.match(problems[0], message)
  })
}
