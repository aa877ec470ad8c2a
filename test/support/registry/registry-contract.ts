/** What the registry must do on either database, as tests; `open` gives a new handle on the same database each time. */
import type { Test } from 'tap'
import { LedgerRegistry } from '../../../src/mixer/registry/ledger-registry.ts'
import { RegistrationStore } from '../../../src/mixer/registry/registration-store.ts'
import { FakeClock } from '../fake-clock.ts'
import type { DatabaseFactory } from '../ledger/database-contract.ts'
import { LogLines } from '../log-lines.ts'
import { announcement, registration, tenant } from './registrations.ts'

const ACME = tenant('acme', { endpoints: ['http://10.0.0.1:80'] })
const BETA = tenant('beta', { endpoints: ['http://10.0.0.2:80'] })
const NOBODY_FOLLOWS = { watch: () => ({ addresses: [], close: () => {} }) }

async function ids(registry: LedgerRegistry): Promise<string[]> {
  return [...registry.tenants()].map(({ id }) => id).toSorted()
}

export async function testRegistry(t: Test, create: DatabaseFactory): Promise<void> {
  const lab = async (t: Test) => {
    const { open } = await create(t)
    const clock = new FakeClock()
    const start = async (): Promise<LedgerRegistry> => {
      const database = await open()
      const { logger } = new LogLines()
      const store = new RegistrationStore(database)
      const registry = new LedgerRegistry({
        store,
        names: NOBODY_FOLLOWS,
        clock,
        logger,
        pollMs: 10,
        forgetMs: 60_000,
      })
      await registry.start()
      t.teardown(async () => {
        await registry.close()
        await database.close()
      })
      return registry
    }
    return { clock, start }
  }
  const eventually = async (holds: () => Promise<boolean> | boolean): Promise<void> => {
    const deadline = performance.now() + 8_000
    while (!(await holds())) {
      if (performance.now() > deadline) throw new Error('it never came so')
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  await t.test('a snapshot is in force, whole, when its last page has come', async t => {
    const registry = await (await lab(t)).start()
    const whole = registration(1, [[ACME], [BETA]])
    const [first, second] = whole.content
    t.same(await registry.register(announcement(whole)), {
      kind: 'missing',
      generation: 1,
      missing: whole.pages,
    })
    t.same(await registry.register({ ...whole, content: first ? [first] : [] }), {
      kind: 'missing',
      generation: 1,
      missing: [second?.digest],
    })
    t.same(await ids(registry), [])
    t.same(await registry.register({ ...whole, content: second ? [second] : [] }), {
      kind: 'registered',
      generation: 1,
    })
    t.same(await ids(registry), ['acme', 'beta'])
    t.match(registry.tenant('acme'), { id: 'acme', service: 'notes', disabled: false })
    t.same(await registry.register(announcement(whole)), { kind: 'registered', generation: 1 })
  })

  await t.test('of a changed snapshot only the changed page travels', async t => {
    const registry = await (await lab(t)).start()
    await registry.register(registration(1, [[ACME], [BETA]]))
    const { version } = registry
    const next = registration(2, [[ACME], [{ ...BETA, disabled: true }]])
    const result = await registry.register(announcement(next))
    t.same(result, { kind: 'missing', generation: 2, missing: [next.pages[1]] })
    t.equal(registry.tenant('beta')?.disabled, false, 'the old one is in force until then')
    await registry.register({ ...next, content: next.content.slice(1) })
    t.equal(registry.tenant('beta')?.disabled, true)
    t.not(registry.version, version)
    t.same(await registry.register(announcement(registration(3, [[ACME]]))), {
      kind: 'registered',
      generation: 3,
    })
    t.same(await ids(registry), ['acme'], 'a snapshot of known pages alone needs no content')
    t.match(
      await registry.register(announcement(registration(4, [[ACME], [BETA]]))),
      { kind: 'missing', missing: [registration(1, [[BETA]]).pages[0]] },
      'pages that nothing needs are not kept',
    )
  })

  await t.test('a snapshot that is given up for a newer one leaves nothing behind', async t => {
    const registry = await (await lab(t)).start()
    const abandoned = registration(5, [[ACME], [BETA]])
    await registry.register({ ...abandoned, content: abandoned.content.slice(1) })
    const next = registration(6, [[ACME]])
    await registry.register(announcement(next))
    t.match(await registry.register(announcement(abandoned)), { kind: 'outdated', generation: 6 })
    await registry.register(next)
    t.same(await ids(registry), ['acme'])
  })

  await t.test('what is late, or another one of the same generation, changes nothing', async t => {
    const registry = await (await lab(t)).start()
    await registry.register(registration(5, [[ACME]]))
    for (const late of [registration(4, [[BETA]]), registration(5, [[BETA]])])
      t.same(await registry.register(late), { kind: 'outdated', generation: 5 })
    t.same(await ids(registry), ['acme'])
  })

  await t.test('content under a false digest is refused', async t => {
    const registry = await (await lab(t)).start()
    const whole = registration(1, [[ACME]])
    const lies = whole.content.map(({ digest }) => ({ digest, tenants: [BETA] }))
    t.match(await registry.register({ ...whole, content: lies }), { kind: 'malformed' })
    const more = registration(1, [[ACME], [BETA]]).content
    t.match(await registry.register({ ...whole, content: more }), { kind: 'malformed' })
    t.same(await ids(registry), [])
    t.match(await registry.register(announcement(whole)), { kind: 'missing' })
  })

  await t.test('a mixer that starts again, and a second one, know it too', async t => {
    const { start } = await lab(t)
    const first = await start()
    await first.register(registration(1, [[ACME]]))
    const second = await start()
    t.same(await ids(second), ['acme'])
    await first.register(registration(2, [[ACME], [BETA]]))
    await eventually(async () => (await ids(second)).length === 2)
    t.same(await second.register(registration(2, [[ACME], [BETA]])), {
      kind: 'registered',
      generation: 2,
    })
  })

  await t.test('pages may come to two mixers by turns', async t => {
    const { start } = await lab(t)
    const [first, second] = [await start(), await start()]
    const whole = registration(1, [[ACME], [BETA]])
    const parts = whole.content.map(page => ({ ...whole, content: [page] }))
    const results = await Promise.all(
      parts.map((part, index) => (index === 0 ? first : second).register(part)),
    )
    t.equal(results.filter(({ kind }) => kind === 'registered').length, 1)
    for (const registry of [first, second])
      await eventually(async () => (await ids(registry)).length === 2)
  })

  await t.test('proxies of one service add up; the newest is right where they differ', async t => {
    const registry = await (await lab(t)).start()
    const moved = { ...ACME, endpoints: ['http://10.0.0.9:80'], disabled: true }
    await registry.register(registration(10, [[moved]], { proxy: 'new' }))
    await registry.register(registration(9, [[ACME], [BETA]], { proxy: 'old' }))
    t.same(await ids(registry), ['acme', 'beta'])
    t.match(registry.tenant('acme'), { disabled: true })
    for (const address of ['10.0.0.1', '10.0.0.9'])
      t.match(registry.byAddress(address), { owners: [{ id: 'acme' }], complete: true })
  })

  await t.test('a proxy that is not heard of is forgotten, one that is stays', async t => {
    const { clock, start } = await lab(t)
    const registry = await start()
    const staying = registration(1, [[ACME]], { proxy: 'staying' })
    await registry.register(staying)
    await registry.register(registration(1, [[BETA]], { proxy: 'gone' }))
    clock.ms += 59_000
    const heard = await registry.register(announcement(staying))
    t.equal(heard.kind, 'registered')
    // Time for a poll, which is what notices.
    await new Promise(resolve => setTimeout(resolve, 50))
    t.same(await ids(registry), ['acme', 'beta'])
    clock.ms += 2_000
    await eventually(async () => (await ids(registry)).length === 1)
    t.same(await ids(registry), ['acme'])
    t.match(
      await registry.register(announcement(registration(1, [[BETA]], { proxy: 'gone' }))),
      { kind: 'missing' },
      'it may come again',
    )
  })
}
