import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { TenantDifference } from '../../../../src/config/config-store.ts'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import { encodeTenant } from '../../../../src/config/tenant-text.ts'
import {
  MAX_TENANTS_PER_REGISTRATION,
  type Registration,
  registrationSchema,
} from '../../../../src/contracts/registration.ts'
import { proxyName } from '../../../../src/proxy/registration/proxy-name.ts'
import { Registrar } from '../../../../src/proxy/registration/registrar.ts'
import type { RegisterResult } from '../../../../src/runtime/mixer-client.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'

const AWAY: RegisterResult = { ok: false, reason: 'unreachable', detail: 'mixer: away' }

function tenants(count: number): string[] {
  return Array.from({ length: count }, (_, index) =>
    encodeTenant(
      tenantSchema.parse({ id: `t-${index}`, deployment: { endpoints: ['http://10.0.0.1:80'] } }),
    ),
  )
}

function changed(count: number): TenantDifference {
  return { changed: tenants(count), removed: [] }
}

/** A mixer that keeps pages as the real one does, and says what it was sent. */
class PageKeeper {
  readonly sent: Registration[] = []
  readonly pages = new Set<string>()
  away = false
  /** What it knows of the proxy. */
  generation = 0
  #waiting: (() => void)[] = []

  readonly register = async (registration: Registration): Promise<RegisterResult> => {
    this.sent.push(registrationSchema.parse(registration))
    for (const wake of this.#waiting.splice(0)) wake()
    if (this.away) return AWAY
    const { proxy, generation, pages, content } = registration
    if (generation < this.generation)
      return { ok: true, answer: { proxy, generation: this.generation, missing: [] } }
    this.generation = generation
    for (const { digest } of content) this.pages.add(digest)
    const missing = pages.filter(digest => !this.pages.has(digest))
    return { ok: true, answer: { proxy, generation, missing } }
  }

  /** The request with that number, from 0. */
  async request(number: number): Promise<Registration> {
    const deadline = performance.now() + 8_000
    for (;;) {
      const found = this.sent[number]
      if (found !== undefined) return found
      if (performance.now() > deadline) throw new Error(`there were ${this.sent.length} requests`)
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }
}

function lab(t: Test, refreshMs = 60_000) {
  const mixer = new PageKeeper()
  const log = new LogLines()
  const clock = new FakeClock(1_000)
  const registrar = new Registrar({
    client: mixer,
    proxy: 'proxy-1',
    service: 'notes',
    clock,
    logger: log.logger,
    refreshMs,
    firstRetryMs: 5,
  })
  // Its timers keep no process alive; a test waits for them.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => {
    registrar.close()
    clearInterval(alive)
  })
  return { mixer, log, clock, registrar }
}

await test('first the digests, then what is missing, then the digests alone', async t => {
  const { mixer, registrar, log } = lab(t, 5)
  registrar.update(changed(3))
  const [first, second, third] = [
    await mixer.request(0),
    await mixer.request(1),
    await mixer.request(2),
  ]
  t.match(first, { proxy: 'proxy-1', service: 'notes', generation: 1_000, content: [] })
  t.equal(first.pages.length, 1)
  t.same(
    second.content[0]?.tenants.map(({ id }) => id),
    ['t-0', 't-1', 't-2'],
  )
  t.same(third, first, 'the refresh')
  await log.first('tenants are registered')
})

await test('a change goes at once, with a newer generation; the same again is no change', async t => {
  const { mixer, registrar } = lab(t)
  registrar.update(changed(3))
  await mixer.request(1)
  await new Promise(setImmediate)
  registrar.update({ changed: tenants(3).toReversed(), removed: [] })
  registrar.update(changed(4))
  const next = await mixer.request(2)
  t.equal(next.generation, 1_001)
  t.equal((await mixer.request(3)).content[0]?.tenants.length, 4)
})

await test('what does not fit into one request goes in several', async t => {
  const { mixer, registrar } = lab(t)
  registrar.update(changed(MAX_TENANTS_PER_REGISTRATION + 5_000))
  let seen = 0
  for (let number = 1; seen < MAX_TENANTS_PER_REGISTRATION + 5_000; number++) {
    const { content } = await mixer.request(number)
    const count = content.reduce((sum, page) => sum + page.tenants.length, 0)
    t.ok(count > 0 && count <= MAX_TENANTS_PER_REGISTRATION)
    seen += count
  }
  t.equal(seen, MAX_TENANTS_PER_REGISTRATION + 5_000)
})

await test('a mixer that is away is tried until it is back, and said to be away once', async t => {
  const { mixer, registrar, log } = lab(t)
  mixer.away = true
  registrar.update(changed(1))
  await mixer.request(3)
  mixer.away = false
  await log.first('tenants are registered')
  t.equal(log.all('tenants cannot be registered with the mixer; trying on').length, 1)
  t.match(log.all('tenants cannot be registered with the mixer; trying on')[0], {
    detail: 'mixer: away',
  })
})

await test('a mixer that has lost its ledger learns all again', async t => {
  const { mixer, registrar } = lab(t, 5)
  registrar.update(changed(1))
  await mixer.request(2)
  mixer.pages.clear()
  const before = mixer.sent.length
  const deadline = performance.now() + 8_000
  while (mixer.pages.size === 0 && performance.now() < deadline)
    await mixer.request(mixer.sent.length)
  t.equal(mixer.pages.size, 1)
  t.ok(mixer.sent.slice(before - 1).some(({ content }) => content.length > 0))
})

await test('where the mixer knows a newer generation, this one becomes newer still', async t => {
  const { mixer, registrar, log } = lab(t)
  mixer.generation = 5_000
  registrar.update(changed(1))
  const deadline = performance.now() + 8_000
  while (mixer.generation === 5_000 && performance.now() < deadline)
    await mixer.request(mixer.sent.length)
  t.equal(mixer.generation, 5_001)
  t.ok(log.lines.some(({ msg }) => msg.includes('knows a newer snapshot')))
})

await test('a mixer that never has enough is not asked without a pause', async t => {
  const { mixer, registrar, log } = lab(t)
  let asked = 0
  const { register } = mixer
  Object.assign(mixer, {
    register: async (registration: Registration) => {
      asked += 1
      await register(registration)
      const { proxy, generation, pages } = registration
      return { ok: true, answer: { proxy, generation, missing: pages } }
    },
  })
  registrar.update(changed(1))
  await log.first('tenants cannot be registered with the mixer; trying on')
  t.ok(asked <= 2, `${asked} requests`)
})

await test('a proxy keeps its name beside its journal', t => {
  const folder = join(t.testdir({}), 'journal')
  t.equal(proxyName(folder, 'first'), 'first')
  t.equal(proxyName(folder, 'second'), 'first')
  const damaged = join(t.testdirName, 'damaged')
  mkdirSync(damaged)
  writeFileSync(join(damaged, 'proxy.id'), '../..\n')
  t.equal(proxyName(damaged, 'third'), 'third')
  t.equal(proxyName(join(damaged, 'proxy.id', 'x'), 'fourth'), 'fourth', 'no folder')
  t.end()
})

await test('tenants that change while those of the start are worked through are newer than them', async t => {
  const { mixer, registrar } = lab(t)
  const through = registrar.start(tenants(5_000))
  const gone = { changed: [], removed: ['t-4999'] }
  registrar.update(gone)
  const disabled = encodeTenant(
    tenantSchema.parse({
      id: 't-4998',
      disabled: true,
      deployment: { endpoints: ['http://10.0.0.1:80'] },
    }),
  )
  registrar.update({ changed: [disabled], removed: [] })
  await through
  const { content } = await mixer.request(1)
  const registered = new Map(
    content.flatMap(page => page.tenants.map(tenant => [tenant.id, tenant.disabled] as const)),
  )
  t.equal(registered.size, 4_999)
  t.equal(registered.get('t-4998'), true)
  t.equal((await mixer.request(0)).generation, 1_000, 'one snapshot, of all of it')
})

await test('others have their turns while the tenants of the start are worked through, to the last digest', async t => {
  const { mixer, registrar } = lab(t)
  let [turns, through] = [0, false]
  const count = (): void => {
    turns += 1
    if (!through) setImmediate(count)
  }
  count()
  await registrar.start(tenants(5_000), 5_000)
  through = true
  const { pages } = await mixer.request(0)
  t.ok(turns >= 5_000 / 100 + pages.length, `${turns} turns, ${pages.length} pages`)
})
