/** Which endpoint is chosen: by a random source with a seed, so that what is seen once is seen each time. */
import { test } from 'tap'
import { Balancer } from '../../../../src/proxy/pool/balancer.ts'
import { Endpoint } from '../../../../src/proxy/pool/endpoint.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const SEED = 20_261_125
const CHECKS = { rise: 1, fall: 1 }

interface World {
  /** Each begin and end of a panic so far. */
  readonly panics: readonly boolean[]
  readonly balancer: Balancer
  readonly endpoints: readonly Endpoint[]
}

function world(count: number, { panic = 0.5, slowStart = 0 } = {}): World {
  const random = new SeededRandom(SEED)
  const panics: boolean[] = []
  const balancer = new Balancer(panic, () => random.uint32() / 2 ** 32, {
    panicChanged: panicking => panics.push(panicking),
  })
  const policy = { ejection: { failures: 5, base: 30_000, max: 300_000 }, slowStart }
  const owner = { endpointChanged: () => balancer.review(), endpointEjected: () => {} }
  const endpoints = Array.from(
    { length: count },
    (_, index) => new Endpoint(`http://10.0.0.${index + 1}:80`, { policy, owner }),
  )
  balancer.use(endpoints)
  return { balancer, endpoints, panics }
}

/** How often each is chosen in `times`, with `load` of each as it is. */
function shares({ balancer, endpoints }: World, now = 0, times = 4_000): number[] {
  const counts = endpoints.map(() => 0)
  for (let call = 0; call < times; call++) {
    const index = endpoints.indexOf(balancer.choose(now) as Endpoint)
    counts[index]! += 1
  }
  return counts.map(count => Math.round((count / times) * 100) / 100)
}

await test('no endpoint, no choice; one endpoint, no choice either, however it is', async t => {
  t.equal(world(0).balancer.choose(0), undefined)
  const { balancer, endpoints } = world(1)
  endpoints[0]?.connectionFailed(0)
  endpoints[0]?.health.checked(false, CHECKS, 0)
  t.equal(balancer.choose(0), endpoints[0])
  t.equal(balancer.choose(0, endpoints[0]), endpoints[0])
})

await test('with nothing in use all are chosen alike', async t => {
  for (const share of shares(world(4))) t.ok(Math.abs(share - 0.25) < 0.03, String(share))
})

await test('the less loaded of two is chosen, and the most loaded of all never', async t => {
  const all = world(3)
  for (const [index, load] of [5, 1, 9].entries()) (all.endpoints[index] as Endpoint).open = load
  const [some = 0, most = 0, none] = shares(all)
  t.equal(none, 0)
  t.ok(Math.abs(most - 2 / 3) < 0.03 && Math.abs(some - 1 / 3) < 0.03, `${some} ${most}`)
})

await test('as calls come and stay, no endpoint has many more than another', async t => {
  const all = world(10)
  for (let call = 0; call < 1_000; call++) (all.balancer.choose(0) as Endpoint).open++
  const loads = all.endpoints.map(({ load }) => load)
  t.ok(Math.max(...loads) - Math.min(...loads) <= 6, loads.join(' '))
})

await test('who failed to connect is left alone for a second', async t => {
  const all = world(2)
  all.endpoints[0]?.connectionFailed(0)
  t.same(shares(all, 999), [0, 1])
  t.not(shares(all, 1_000)[0], 0)
})

await test('an ejected one gets nothing until its ejection is over', async t => {
  const all = world(3)
  for (let failure = 0; failure < 5; failure++) all.endpoints[1]?.health.callFailed(0)
  t.equal(shares(all, 1)[1], 0)
  t.equal(shares(all, 29_999)[1], 0)
  t.not(shares(all, 30_000)[1], 0)
})

await test('below the panic threshold all are used, at it only those that are well', async t => {
  const all = world(4)
  const fail = (index: number): void => all.endpoints[index]?.health.checked(false, CHECKS, 0)
  fail(0)
  fail(1)
  t.same(shares(all).slice(0, 2), [0, 0], 'half of them are well')
  fail(2)
  t.notOk(shares(all).includes(0), 'a quarter')
  all.endpoints[0]?.health.checked(true, CHECKS, 0)
  t.equal(shares(all)[1], 0)
  t.same(all.panics, [true, false])
})

await test('with the panic threshold off, one that is well takes all; with none well, all are used', async t => {
  const all = world(4, { panic: 0 })
  for (const { health } of all.endpoints.slice(0, 3)) health.checked(false, CHECKS, 0)
  t.same(shares(all), [0, 0, 0, 1])
  all.endpoints[3]?.health.checked(false, CHECKS, 0)
  t.notOk(shares(all).includes(0))
})

await test('in a panic, too, who failed to connect a moment ago is left alone', async t => {
  const all = world(3)
  for (const { health } of all.endpoints.slice(0, 2)) health.checked(false, CHECKS, 0)
  all.endpoints[0]?.connectionFailed(0)
  const [first, second] = shares(all, 500)
  t.equal(first, 0)
  t.not(second, 0)
})

await test('a retry goes elsewhere if there is an elsewhere', async t => {
  const { balancer, endpoints } = world(3)
  const [, failed] = endpoints
  for (let call = 0; call < 100; call++) t.not(balancer.choose(0, failed), failed)
  for (const endpoint of endpoints) endpoint.connectionFailed(0)
  t.not(balancer.choose(0, failed), failed, 'also where all have failed')
})

await test('in a slow start it gets a tenth of its share, then half, then all', async t => {
  const all = world(4, { slowStart: 10_000 })
  all.endpoints[3]?.health.warmUp(0)
  const share = (now: number): number => (shares(all, now, 20_000)[3] as number) * 4
  t.ok(Math.abs(share(0) - 0.1) < 0.05)
  t.ok(Math.abs(share(4_444) - 0.5) < 0.08)
  t.ok(Math.abs(share(10_000) - 1) < 0.08)
})

await test('under load, too, a slow start holds calls back', async t => {
  const all = world(2, { slowStart: 10_000 })
  all.endpoints[1]?.health.warmUp(0)
  for (let call = 0; call < 1_100; call++) (all.balancer.choose(0) as Endpoint).open++
  const [full = 0, warming = 0] = all.endpoints.map(({ load }) => load)
  t.ok(warming >= 40 && warming <= 125, `${warming} of ${full + warming}`)
})
