/** The order of the evidence, and what is remembered of a connection; the processes are made up. */
import { Socket } from 'node:net'
import { test } from 'tap'
import type { Identified } from '../../../../src/mixer/identity/identity.ts'
import type { ProcessAnswer } from '../../../../src/mixer/identity/process-lookup.ts'
import { createRecovery } from '../../../../src/mixer/identity/recover.ts'
import { UnidentifiedLog } from '../../../../src/mixer/identity/unidentified-log.ts'
import type { Deployments, RegisteredTenant } from '../../../../src/mixer/registry/registry.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'
import { tenant } from '../../../support/registry/registrations.ts'

const ACME: RegisteredTenant = { ...tenant('acme'), service: 'notes' }

function socketFrom(remoteAddress: string | undefined, remotePort = 40_000): Socket {
  const socket = new Socket()
  const ends = { remoteAddress, remotePort, localAddress: '10.0.0.1', localPort: 9092 }
  for (const [name, value] of Object.entries(ends)) Object.defineProperty(socket, name, { value })
  return socket
}

function lab(answer: ProcessAnswer, given: Partial<Deployments> = {}) {
  const clock = new FakeClock()
  const asked: number[] = []
  const results: Identified[] = []
  const state = { answer, version: 1 }
  const identify = createRecovery({
    deployments: {
      tenant: id => (id === 'acme' ? ACME : undefined),
      tenants: () => [ACME],
      bySpiffe: () => [],
      byAddress: () => ({ owners: [ACME], complete: true }),
      byEndpoint: () => [],
      loopbackAddresses: () => new Set(),
      get version() {
        return state.version
      },
      ...given,
    },
    process: {
      find: async ({ localPort }) => {
        asked.push(localPort)
        return state.answer
      },
    },
    ownAddresses: () => ['10.0.0.1'],
    clock,
    onResult: result => results.push(result),
  })
  return { identify, asked, results, clock, state }
}

const AS_ACME: ProcessAnswer = { kind: 'tenants', tenants: ['acme'] }
const STRANGER: ProcessAnswer = { kind: 'tenants', tenants: [] }

await test('from elsewhere the address counts, and no process is looked for', async t => {
  const { identify, asked } = lab(AS_ACME)
  for (const address of ['10.0.0.2', '::ffff:10.0.0.2', '2001:db8::2'])
    t.match(await identify(socketFrom(address)), { caller: { recoveredBy: 'address' } }, address)
  t.same(asked, [])
})

await test('from this machine the process counts, and the address does not', async t => {
  const { identify, results } = lab(STRANGER)
  for (const address of ['127.0.0.1', '::1', '127.8.0.1', '10.0.0.1', '::ffff:10.0.0.1'])
    t.same(
      await identify(socketFrom(address)),
      { kind: 'unidentified', reason: 'unknown' },
      address,
    )
  t.equal(results.length, 5)
  const known = lab(AS_ACME)
  t.match(await known.identify(socketFrom('127.0.0.1')), { caller: { recoveredBy: 'process' } })
})

await test('link-local addresses, unresolved names and lost connections show nobody', async t => {
  const { identify } = lab(AS_ACME)
  t.match(await identify(socketFrom('fe80::2%eth0')), { reason: 'unknown' })
  t.match(await identify(socketFrom('169.254.7.7')), { reason: 'unknown' })
  t.match(await identify(socketFrom(undefined)), { reason: 'connection_gone' })
  const gone = socketFrom('127.0.0.1')
  gone.destroy()
  t.match(await identify(gone), { reason: 'connection_gone' })
  const pending = lab(AS_ACME, { byAddress: () => ({ owners: [ACME], complete: false }) })
  t.match(await pending.identify(socketFrom('10.0.0.2')), { reason: 'names_pending' })
})

await test('what is known of a process holds while its connection lives and nothing is registered', async t => {
  const { identify, asked, state } = lab(AS_ACME)
  const socket = socketFrom('127.0.0.1')
  await Promise.all([identify(socket), identify(socket)])
  await identify(socket)
  t.equal(asked.length, 1)
  state.version += 1
  await identify(socket)
  t.equal(asked.length, 2)
  await identify(socketFrom('127.0.0.1', 40_001))
  t.same(asked, [40_000, 40_000, 40_001])
})

await test('that nobody is known holds for a second', async t => {
  const { identify, asked, state, clock } = lab(STRANGER)
  const socket = socketFrom('127.0.0.1')
  await identify(socket)
  clock.ms += 999
  t.match(await identify(socket), { kind: 'unidentified' })
  t.equal(asked.length, 1)
  state.answer = AS_ACME
  clock.ms += 1
  t.match(await identify(socket), { kind: 'identified' })
})

await test('a disabled tenant is known, and no caller', async t => {
  const { identify } = lab(AS_ACME, {
    byAddress: () => ({ owners: [{ ...ACME, disabled: true }], complete: true }),
  })
  t.same(await identify(socketFrom('10.0.0.2')), { kind: 'disabled' })
})

await test('the log says each reason once a minute, and how often it did not', t => {
  const log = new LogLines()
  const clock = new FakeClock()
  const unidentified = new UnidentifiedLog(log.logger, clock)
  for (let count = 0; count < 5; count++) {
    unidentified.note({ kind: 'unidentified', reason: 'unknown' }, { address: '10.0.0.2' })
    unidentified.note({ kind: 'unidentified', reason: 'conflict' }, {})
    unidentified.note({ kind: 'disabled' }, {})
  }
  t.equal(log.lines.length, 2)
  t.match(log.lines[0], { reason: 'unknown', address: '10.0.0.2', unsaid: 0 })
  clock.ms += 60_000
  unidentified.note({ kind: 'unidentified', reason: 'unknown' }, {})
  t.match(log.lines[2], { reason: 'unknown', unsaid: 4 })
  t.end()
})
