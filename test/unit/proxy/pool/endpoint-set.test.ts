/** Which endpoints a deployment has as its names lead elsewhere. */
import { test } from 'tap'
import { Endpoint } from '../../../../src/proxy/pool/endpoint.ts'
import { EndpointSet } from '../../../../src/proxy/pool/endpoint-set.ts'
import type { UpstreamConnection } from '../../../../src/proxy/pool/upstream-connection.ts'
import type { AddressListener } from '../../../../src/runtime/names/name-resolver.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const POLICY = { ejection: { failures: 5, base: 30_000, max: 300_000 }, slowStart: 10_000 }

class World {
  readonly clock = new FakeClock()
  readonly watched: string[] = []
  readonly set: EndpointSet
  changes = 0
  closed = 0
  readonly #listeners = new Map<string, AddressListener>()
  readonly #answers = new Map<string, readonly string[]>()

  constructor(urls: string[], known: Record<string, string[]> = {}) {
    for (const [name, addresses] of Object.entries(known)) this.#answers.set(name, addresses)
    const names = {
      watch: (name: string, listener: AddressListener) => {
        this.watched.push(name)
        this.#listeners.set(name, listener)
        const answers = this.#answers
        return {
          get addresses() {
            return answers.get(name)
          },
          close: () => {
            this.closed++
          },
        }
      },
    }
    this.set = new EndpointSet(
      urls,
      { names, clock: this.clock },
      {
        tenant: 'acme',
        makeEndpoint: (url, address) => new Endpoint(url, { address, policy: POLICY }),
        endpointsChanged: () => {
          this.changes++
        },
      },
    )
  }

  lead(name: string, addresses: string[]): void {
    this.#answers.set(name, addresses)
    this.#listeners.get(name)?.(addresses)
  }

  get hosts(): string[] {
    return this.set.all.map(({ host, port }) => `${host} ${port}`)
  }
}

await test('addresses are endpoints at once, and DNS never hears of them', async t => {
  const world = new World(['http://10.0.0.1:80', 'tls://[2001:db8::1]:443'])
  t.same(world.hosts, ['10.0.0.1 80', '2001:db8::1 443'])
  t.same(world.watched, [])
  t.notOk(world.set.pending)
})

await test('a name is pending until it is answered for, and each of its addresses is an endpoint', async t => {
  const world = new World(['http://web.test:8080'])
  t.ok(world.set.pending)
  t.same(world.hosts, [])
  world.lead('web.test', ['10.0.0.1', '10.0.0.2'])
  t.notOk(world.set.pending)
  t.same(world.hosts, ['10.0.0.1 8080', '10.0.0.2 8080'])
  t.same(
    world.set.all.map(({ authority }) => authority),
    ['web.test:8080', 'web.test:8080'],
    'the name stays what is asked for',
  )
  t.equal(world.changes, 1)
})

await test('a name that somebody else watches already is there at once', async t => {
  const world = new World(['http://web.test:80'], { 'web.test': ['10.0.0.1'] })
  t.same(world.hosts, ['10.0.0.1 80'])
  t.equal(world.set.all[0]?.health.weight(world.clock.ms), 1)
})

await test('what stays keeps its endpoint, what is new starts slowly, what is gone is retired', async t => {
  const world = new World(['http://10.9.9.9:80', 'http://web.test:80'])
  world.lead('web.test', ['10.0.0.1', '10.0.0.2'])
  const [fixed, one, two] = world.set.all
  t.equal(two?.health.weight(world.clock.ms), 1, 'at first all are alike')
  let destroyed = 0
  one?.idle.push({ destroy: () => destroyed++ } as unknown as UpstreamConnection)
  world.lead('web.test', ['10.0.0.2', '10.0.0.3'])
  const [stillFixed, stillTwo, three] = world.set.all
  t.equal(stillFixed, fixed)
  t.equal(stillTwo, two)
  t.match(three, { host: '10.0.0.3', retired: false })
  t.equal(three?.health.weight(world.clock.ms), 0.1)
  t.ok(one?.retired)
  t.equal(destroyed, 1, 'its idle connections are closed')
  t.same(one?.idle, [])
})

await test('a name that leads nowhere takes its endpoints with it, and those of others stay', async t => {
  const world = new World(['http://a.test:80', 'http://b.test:80'])
  world.lead('a.test', ['10.0.0.1'])
  t.ok(world.set.pending)
  world.lead('b.test', ['10.0.0.1'])
  t.same(world.hosts, ['10.0.0.1 80', '10.0.0.1 80'])
  world.lead('a.test', [])
  t.same(world.hosts, ['10.0.0.1 80'])
})

await test('closed, it watches nothing and keeps no idle connection', async t => {
  const world = new World(['http://10.0.0.1:80', 'http://a.test:80', 'http://b.test:80'])
  world.set.close()
  t.equal(world.closed, 2)
  t.ok(world.set.all.every(({ retired }) => retired))
})

await test('other URLs: what stays keeps its endpoints, what is new starts slowly, what is gone is retired', async t => {
  const world = new World(['http://10.0.0.1:80', 'http://web.test:80'])
  world.lead('web.test', ['10.0.0.7'])
  const [one, web] = world.set.all
  world.set.follow(['http://web.test:80', 'http://10.0.0.2:80'], false)
  t.same(world.hosts, ['10.0.0.7 80', '10.0.0.2 80'])
  t.equal(world.set.all[0], web)
  t.equal(web?.health.weight(world.clock.ms), 1)
  t.equal(world.set.all[1]?.health.weight(world.clock.ms), 0.1)
  t.ok(one?.retired)
  t.same(world.watched, ['web.test'], 'the name is still followed')
  world.set.follow(['http://10.0.0.3:80'], false)
  t.equal(world.closed, 1, 'and is no more where it is gone')
  t.equal(world.set.all[0]?.health.weight(world.clock.ms), 1, 'there is nobody to spare it')
})

await test('made anew, endpoints at the same places are others', async t => {
  const world = new World(['http://10.0.0.1:80'])
  const [former] = world.set.all
  world.set.follow(['http://10.0.0.1:80'], true)
  t.ok(former?.retired)
  t.match(world.set.all, [{ host: '10.0.0.1', retired: false }])
})
