/** Exports in the configuration: what is filled in, and each rule with the lines that its breach prints. */
import { type Test, test } from 'tap'
import { formatProblem, type LoadResult, loadConfig } from '../../../src/config/load.ts'
import { redactConfig } from '../../../src/config/redact.ts'

const BASE = `mixer: { token: 0123456789abcdef-token }
listeners: [{ name: a, mode: shared, address: 127.0.0.1:8080 }]
exports:
`

await test('an export gets its defaults, and paths from the file', async t => {
  const { result, directory } = load(t, [
    '{ name: a, kind: file, directory: out }',
    '{ name: b, kind: stripe, apiKey: sk_test, customersFile: customers.json }',
    '{ name: c, kind: cloudevents, url: https://sink.example/events }',
    '{ name: d, kind: prometheus, window: day, delay: 1m, metrics: [callMs, requestMessages, responseMessages, event:page], by: [operation] }',
  ])
  if (!('config' in result)) throw new Error(JSON.stringify(result))
  t.match(result.config.exports, [
    {
      kind: 'file',
      directory: `${directory}/out`,
      window: 'hour',
      delay: 300_000,
      metrics: ['calls', 'ingress', 'egress'],
      by: [],
      keep: 90 * 86_400_000,
    },
    {
      kind: 'stripe',
      url: 'https://api.stripe.com',
      customersFile: `${directory}/customers.json`,
      concurrency: 10,
    },
    { kind: 'cloudevents', type: 'amt.{metric}', batch: 100, deduplication: 0, maxAge: 0 },
    {
      kind: 'prometheus',
      window: 'day',
      metrics: ['callMs', 'requestMessages', 'responseMessages', 'event:page'],
      tenants: 200,
    },
  ])
})

await test('what would bill twice, or not at all, is refused', async t => {
  const { problems } = load(t, [
    '{ name: a, kind: file, directory: out }',
    '{ name: a, kind: prometheus, delay: 30s, keep: 1d }',
    '{ name: b, kind: stripe, apiKey: k, customersFile: gone.json }',
    '{ name: c, kind: stripe, apiKey: k, metrics: [connections, egress] }',
    '{ name: d, kind: stripe, apiKey: other }',
    '{ name: e, kind: cloudevents, url: ftp://x, metrics: [bytes], since: yesterday }',
  ])
  t.match(problems, [
    /^5:\d+: exports\[1\]\.delay: must be at least 1m/,
    /^5:\d+: exports\[1\]\.keep: must be at least 36d/,
    /^9:\d+: exports\[5\]\.url: must be an http or https URL/,
    /^9:\d+: exports\[5\]\.metrics\[0\]: must be calls, ingress, .*event:NAME/,
    /^9:\d+: exports\[5\]\.since: must be a time such as/,
  ])
  const rules = load(t, [
    '{ name: a, kind: file, directory: out }',
    '{ name: a, kind: prometheus }',
    '{ name: b, kind: stripe, apiKey: k, customersFile: gone.json }',
    '{ name: c, kind: stripe, apiKey: k, metrics: [connections, egress] }',
    '{ name: d, kind: stripe, apiKey: other }',
  ])
  t.match(rules.problems, [
    /^5:\d+: exports\[1\]\.name: the name a is also that of exports\[0\]\.name \(.*:4\)$/,
    /^6:\d+: exports\[2\]\.customersFile: the file .*gone\.json does not exist/,
    /^7:\d+: exports\[3\]\.metrics\[1\]: egress already goes to the same place by exports\[2\]\.metrics/,
  ])
  t.equal(rules.problems.length, 3)
})

await test('keys that travel readable are warned of, and none is shown', async t => {
  const { result } = load(t, [
    '{ name: a, kind: cloudevents, url: "http://sink.example/", token: s3cret }',
    '{ name: b, kind: cloudevents, url: "http://127.0.0.1:1/", token: s3cret, headers: { x-key: s3cret } }',
    '{ name: c, kind: cloudevents, url: "http://open.example/" }',
    '{ name: d, kind: stripe, apiKey: s3cret }',
  ])
  if (!('config' in result)) throw new Error(JSON.stringify(result))
  t.match(result.warnings, [
    /exports\[0\]\.url: without TLS the key of this export travels readable/,
  ])
  t.equal(result.warnings.length, 1)
  t.notMatch(JSON.stringify(redactConfig(result.config)), 's3cret')
  const { problems } = load(t, [
    '{ name: a, kind: cloudevents, url: "http://x/", headers: { x-key: "s3cret\\n" } }',
    '{ name: d, kind: stripe, apiKey: [s3cret] }',
  ])
  t.equal(problems.length, 2)
  t.notMatch(problems.join('\n'), 's3cret')
})

function load(
  t: Test,
  exports: readonly string[],
): { result: LoadResult; directory: string; problems: string[] } {
  const directory = t.testdir({
    'amt.yaml': BASE + exports.map(line => `  - ${line}\n`).join(''),
    'customers.json': '{}',
  })
  const result = loadConfig(`${directory}/amt.yaml`, { env: {} })
  const problems = 'problems' in result ? result.problems.map(formatProblem) : []
  return {
    result,
    directory,
    problems: problems.map(line => line.slice(`${directory}/amt.yaml:`.length)),
  }
}
