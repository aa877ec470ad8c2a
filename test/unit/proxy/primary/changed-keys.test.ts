import { test } from 'tap'
import { formatPath, formatProblem } from '../../../../src/config/problem.ts'
import { type Config, configSchema } from '../../../../src/config/schema.ts'
import {
  changedKeys,
  refusalsOf,
  sameListeners,
} from '../../../../src/proxy/primary/changed-keys.ts'
import { tenantEntry } from '../../../support/start-primary.ts'

const listener = { name: 'a', mode: 'shared', address: '127.0.0.1:1' }

function configWith(changes: Record<string, unknown>): Config {
  return configSchema.parse({ listeners: [listener], mixer: { token: 'x'.repeat(16) }, ...changes })
}

const base = configWith({})

function fixed(changes: Record<string, unknown>): string[] {
  return changedKeys(base, configWith(changes)).fixed.map(formatPath)
}

await test('changed keys are named as deep as they are', async t => {
  const operation = { name: 'x', match: 'GET /x' }
  const cases: Record<string, [Record<string, unknown>, string[]]> = {
    nothing: [{}, []],
    'tenants and limits': [{ tenants: [tenantEntry('x')], limits: { body: '1KiB' } }, []],
    listeners: [{ listeners: [{ ...listener, address: '127.0.0.1:2' }] }, []],
    'a longer list': [{ service: { operations: [operation] } }, ['service.operations']],
    'a key that was not there': [
      { authentication: { spiffe: { trustDomain: 'example.org' } } },
      ['authentication.spiffe'],
    ],
    'several values': [
      { timeouts: { idle: '1s', drain: '1s' }, http1: { path: 'reject' } },
      ['http1.path', 'timeouts.drain', 'timeouts.idle'],
    ],
  }
  for (const [name, [changes, wanted]] of Object.entries(cases)) {
    t.same(fixed(changes).toSorted(), wanted.toSorted(), name)
  }
  const operations = [operation, operation, operation]
  const former = configWith({ service: { operations } })
  const next = configWith({
    service: { operations: operations.map(each => ({ ...each, match: 'GET /y' })) },
  })
  t.same(changedKeys(former, next).fixed.map(formatPath), [
    'service.operations[0].match',
    'service.operations[1].match',
    'service.operations[2].match',
  ])
})

await test('each says where it stands, and what to do', t => {
  const source = {
    file: 'amt.yaml',
    directory: '/',
    locate: (path: readonly unknown[]) => ({ line: path.length, column: 7 }),
  }
  t.match(refusalsOf([['timeouts', 'idle']], source).map(formatProblem), [
    /^amt\.yaml:2:7: timeouts\.idle: cannot change while the proxy runs: restart it/,
  ])
  t.end()
})

await test('what the mixer alone uses is told apart', t => {
  const next = configWith({
    mixer: { token: 'x'.repeat(16), listen: '127.0.0.1:7' },
    ledgerRetention: { minutes: '1d' },
    workers: 7,
  })
  const { fixed, ofMixer } = changedKeys(base, next)
  t.same([...fixed], [])
  t.same(ofMixer.map(formatPath).toSorted(), ['ledgerRetention.minutes', 'mixer.listen'])
  t.end()
})

await test('listeners are the same whatever their TLS is made of, but not whether there is any', t => {
  const secure = (tls: Record<string, unknown>): Config =>
    configWith({ listeners: [{ ...listener, tls }] })
  const [one, two] = [
    { cert: 'c', key: 'k' },
    { cert: 'd', key: 'l' },
  ]
  const former = secure({ certificates: [one] })
  t.ok(sameListeners(former, secure({ certificates: [two], maxHandshakes: 1, tickets: 'off' })))
  t.notOk(sameListeners(former, base))
  t.notOk(sameListeners(base, configWith({ listeners: [{ ...listener, protocol: 'http' }] })))
  t.notOk(sameListeners(base, configWith({ listeners: [{ ...listener, name: 'b' }] })))
  t.end()
})
