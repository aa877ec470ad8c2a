/**
 * No byte of one tenant ever reaches another one, and nothing is counted wrong: the whole of proxy and mixer as processes,
 * under very many random exchanges over HTTP/1.1, HTTP/2 and tunnels, in front of deployments that speak HTTP/1.1, h2c and
 * h2, that go well, badly, and as badly as both sides can make them.
 *
 * `AMT_EXCHANGES` is how many (100,000), `AMT_SEED` repeats the choices of a run.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t as root, type Test, test } from 'tap'
import { request } from 'undici'
import type { UsageWindow } from '../../src/contracts/usage-query.ts'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { startAmt } from '../support/cross-tenant/amt-processes.ts'
import { describePlan, OPERATIONS } from '../support/cross-tenant/call-plan.ts'
import { MarkedDeployment } from '../support/cross-tenant/marked-deployment.ts'
import { makeOutages } from '../support/cross-tenant/outages.ts'
import { Run } from '../support/cross-tenant/run.ts'
import {
  type Bounds,
  type Counted,
  type Expected,
  keyOf,
  Tally,
} from '../support/cross-tenant/tally.ts'
import {
  type Fixtures,
  makeTenants,
  type TenantFixture,
  tenantConfig,
} from '../support/cross-tenant/tenants.ts'
import { visitByTunnel } from '../support/cross-tenant/tunnel-visit.ts'
import { Visit } from '../support/cross-tenant/visit.ts'
import { Http2Visit } from '../support/cross-tenant/visit-http2.ts'
import { type Bound, World } from '../support/cross-tenant/world.ts'
import { freePorts } from '../support/free-ports.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { TOKEN } from '../support/start-mixer.ts'

const EXCHANGES = Number(process.env['AMT_EXCHANGES'] ?? 100_000)
const SEED = Number(process.env['AMT_SEED'] ?? Date.now() % 2 ** 31)
const TENANTS = 20
const CLIENTS = 64
/** Their share of the visits that make calls; each has more of them than one over HTTP/1.1. */
const HTTP2_VISITS = 0.35
/** What the deployments of a tenant speak, by the number of the tenant. */
const SPOKEN = ['http', 'h2c', 'http', 'h2'] as const
const DEADLINE_MS = 420_000
/** Nothing ends for so long: it never will. */
const STALLED_MS = 30_000

/** What is said of deployments that fail, as those in an outage do. */
/** And of a folder of a test, whose path is longer than that of a unix socket may be. */
const OF_OUTAGES =
  /"msg":"(endpoint ejected|panic threshold of a deployment passed|amt proxy --upgrade cannot reach this proxy: the path is too long)"/

/** Workers tell the primary what they count four times a second. */
const REPORTED_MS = 10_000
/**
 * Refusals that nobody has planned: clients that leave, also before the proxy has seen the end of a handshake that is over
 * for them (TLS 1.3), and deployments that cannot be reached.
 */
const UNPLANNED = /^(client_closed|tls_handshake_failed|upstream_connect) /

root.setTimeout(DEADLINE_MS + 60_000)

/** Sequences of random numbers: the fixtures', the outages', and then one a visit. */
const FIXTURES = 0
const OUTAGES = 1
const FIRST_VISIT = 2

interface Service {
  readonly fixtures: Fixtures
  readonly deployments: ReadonlyMap<TenantFixture, readonly MarkedDeployment[]>
  readonly config: string
  readonly mixerUrl: string
}

async function setUp(t: Test, run: Run): Promise<Service> {
  const folder = t.testdir({})
  const fixtures = await makeTenants(SeededRandom.fork(SEED, FIXTURES), TENANTS, folder)
  const deployments = new Map<TenantFixture, readonly MarkedDeployment[]>()
  for (const [index, tenant] of fixtures.tenants.entries()) {
    // Not where anything else takes a port in an outage; every third tenant has two endpoints.
    const host = tenant.address.replace(/\.(\d+)$/, (_, last) => `.${Number(last) + 100}`)
    const version = SPOKEN[index % SPOKEN.length] as (typeof SPOKEN)[number]
    tenant.http2 = version !== 'http'
    const secret = await fixtures.issueServer(host)
    const endpoints = Array.from(
      { length: index % 3 === 0 ? 2 : 1 },
      () => new MarkedDeployment(run, tenant, host, { version, secret }),
    )
    for (const endpoint of endpoints) {
      await endpoint.listen()
      t.teardown(() => endpoint.die('reset'))
    }
    deployments.set(tenant, endpoints)
  }
  const [mixerPort] = await freePorts(1)
  const mixerUrl = `http://127.0.0.1:${mixerPort}`
  const config = join(folder, 'amt.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      service: {
        operations: OPERATIONS.map(name => ({ name, match: `* /${name}/*` })),
      },
      listeners: [
        { name: 'plain', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' },
        { name: 'auto', mode: 'shared', address: '127.0.0.1:0' },
        { name: 'tls', mode: 'shared', address: '127.0.0.1:0', tls: fixtures.listenerTls },
        { name: 'private', mode: 'private', port: 0 },
        { name: 'tunnel', mode: 'private', port: 0, protocol: 'tcp' },
        { name: 'broken', mode: 'private', port: 0, protocol: 'tcp' },
      ],
      authentication: fixtures.authentication,
      tenants: fixtures.tenants.map(tenant =>
        tenantConfig(
          tenant,
          (deployments.get(tenant) ?? []).map(({ url }) => url),
          deployments.get(tenant)?.[0]?.url.startsWith('h2:') ? fixtures.caFile : undefined,
        ),
      ),
      mixer: { url: mixerUrl, token: TOKEN, journal: join(folder, 'journal') },
      ledger: `sqlite:${join(folder, 'ledger.db')}`,
      admin: { address: '127.0.0.1:0' },
      // All clients are at one address.
      sources: { connections: 'off', newConnections: 'off', badCredentials: 'off' },
      // Clients on a busy machine may take long to say their first word.
      timeouts: { detect: '20s' },
      log: { access: 'off' },
    }),
  )
  return { fixtures, deployments, config, mixerUrl }
}

/** All visits, so many at a time; ends early when something is wrong. */
async function makeVisits(world: World): Promise<void> {
  const { run } = world
  let visits = FIRST_VISIT
  const client = async (): Promise<void> => {
    while (!run.over) {
      const random = SeededRandom.fork(SEED, visits++)
      if (random.chance(0.05)) await visitByTunnel(world, random)
      else if (random.chance(HTTP2_VISITS)) await Http2Visit.make(world, random)
      else await Visit.make(world, random)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
}

/** Rejects when `work` does not end in time, or stands still. */
async function watched(run: Run, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<never>()
  const begun = performance.now()
  let ended = 0
  let endedAt = begun
  const timer = setInterval(() => {
    const now = performance.now()
    if (run.ended !== ended) {
      ended = run.ended
      endedAt = now
    }
    if (now - endedAt > STALLED_MS || now - begun > DEADLINE_MS) {
      const waiting = [...run.underWay].slice(0, 10).map(describe => describe())
      late.reject(
        new Error(`${run.ended} of ${run.begun} exchanges ended; under way: ${waiting.join('\n')}`),
      )
    }
  }, 1_000)
  // What was wrong first is what the last exchanges wait for.
  const failed = run.reached(Number.POSITIVE_INFINITY).then(async () => {
    if (run.violations.length > 0) throw new Error(run.violations.join('\n'))
    return work
  })
  await Promise.race([Promise.all([work, failed]), late.promise]).finally(() =>
    clearInterval(timer),
  )
}

/** `amt_rejected_total` by reason and listener, once the workers have told the primary of so many. */
async function rejectedByMetrics(admin: string, least: number): Promise<Map<string, number>> {
  const deadline = performance.now() + REPORTED_MS
  for (;;) {
    const { body } = await request(`http://${admin}/metrics`)
    const lines = (await body.text()).matchAll(
      /^amt_rejected_total\{reason="(\w+)",listener="(\w+)"\} (\d+)$/gm,
    )
    const counts = new Map(
      [...lines].map(([, reason, listener, count]) => [`${reason} ${listener}`, Number(count)]),
    )
    const refused = [...counts].filter(([key]) => !UNPLANNED.test(key))
    if (refused.reduce((sum, [, count]) => sum + count, 0) >= least || performance.now() > deadline)
      return counts
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

function sumOf(counts: Iterable<readonly [string, number]>, matching: RegExp): number {
  return [...counts].reduce((sum, [key, count]) => sum + (matching.test(key) ? count : 0), 0)
}

function within(value: number, [least, most]: Bounds): boolean {
  return least <= value && value <= most
}

/** What the ledger has, by the keys of the tally. */
function byKey(windows: readonly UsageWindow[]): Map<string, Counted> {
  const all = new Map<string, Counted>()
  for (const { tenant = '', operation = '', listener = '', ...sums } of windows) {
    // Open connections, apart from what was carried on them.
    if (operation === 'connection') continue
    const key = keyOf(tenant, operation as 'tunnel', listener)
    const former = all.get(key)
    all.set(key, {
      calls: (former?.calls ?? 0) + Number(sums.calls),
      connections: (former?.connections ?? 0) + Number(sums.connections),
      ingress: (former?.ingress ?? 0) + Number(sums.ingress),
      egress: (former?.egress ?? 0) + Number(sums.egress),
    })
  }
  return all
}

const COUNTERS = ['calls', 'connections', 'ingress', 'egress'] as const
const NONE: Expected = { calls: [0, 0], connections: [0, 0], ingress: [0, 0], egress: [0, 0] }
const NOTHING: Counted = { calls: 0, connections: 0, ingress: 0, egress: 0 }

/** One line for each number of the ledger that the clients contradict. */
function contradictions(ledger: Map<string, Counted>, expected: Map<string, Expected>): string[] {
  return [...new Set([...ledger.keys(), ...expected.keys()])].flatMap(key => {
    const counted = ledger.get(key) ?? NOTHING
    const bounds = expected.get(key) ?? NONE
    return COUNTERS.filter(counter => !within(counted[counter], bounds[counter])).map(
      counter => `${key}: ${counter} ${counted[counter]} is not in ${bounds[counter].join(' … ')}`,
    )
  })
}

await test(`${EXCHANGES} random exchanges over ${TENANTS} tenants with aborts, pipelining, upgrades and dying deployments: zero leaks, and the ledger equals the clients' count`, async t => {
  const run = new Run(SEED, EXCHANGES)
  const tally = new Tally()
  t.comment(`AMT_SEED=${SEED} AMT_EXCHANGES=${EXCHANGES}`)
  const { fixtures, deployments, config, mixerUrl } = await setUp(t, run)
  const mixer = await startAmt(t, ['mixer', '--config', config], 'mixer is ready')
  const proxy = await startAmt(t, ['proxy', '--config', config, '--workers', '2'], 'ready')
  const world = new World({ run, tally }, fixtures, proxy.ready['bound'] as readonly Bound[])

  const begun = performance.now()
  const cpu = process.cpuUsage()
  const outages = makeOutages(run, SeededRandom.fork(SEED, OUTAGES), deployments)
  const admin = String(proxy.ready['admin'])
  await watched(run, Promise.all([makeVisits(world), outages])).catch(async (error: Error) => {
    const refused = JSON.stringify([...(await rejectedByMetrics(admin, 0))])
    throw new Error(
      `with AMT_SEED=${SEED}, the proxy having refused ${refused} and said ${proxy.complaints.join(' ')}: ${error.message}`,
    )
  })
  const seconds = (performance.now() - begun) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  t.comment(
    `${Math.round(run.ended / seconds)} exchanges a second, ${Math.round(seconds)} s, of which this process had ${Math.round((user + system) / 1e6)} s of CPU; ${await outages} outages`,
  )
  t.comment([...run.kinds].map(([kind, count]) => `${kind} ${count}`).join(', '))

  t.same(run.violations, [], 'no byte of one tenant or call reached another')
  const rejected = await rejectedByMetrics(admin, sumOf(tally.rejections, /./))
  t.equal(await proxy.stop(), 0, 'the proxy has drained')
  t.same(
    proxy.complaints.filter(line => !OF_OUTAGES.test(line)),
    [],
  )

  t.comment(`${run.suspected} calls were turned away by deployments and could not be repeated`)
  t.same(run.unexplained.map(describePlan), [], 'each of them was')

  const client = createMixerClient({ url: mixerUrl, token: TOKEN })
  const answer = await client.usage({ by: ['tenant', 'operation', 'listener'] })
  await client.close()
  if (!answer.ok) throw new Error(answer.detail)
  const ledger = byKey(answer.usage.windows)
  t.same(contradictions(ledger, tally.expected()), [], 'the ledger has what the clients counted')
  t.same(
    new Map([...rejected].filter(([key]) => !UNPLANNED.test(key))),
    tally.rejections,
    'each refused call is counted as refused, by its reason and listener',
  )
  // Each call in an outage was either sent, and is usage, or could not be. Those whose client left may add to the latter.
  const inOutages = [...ledger].reduce(
    (sum, [key, { calls }]) => sum + (key.endsWith(' outage') ? calls : 0),
    0,
  )
  const settled = inOutages + sumOf(rejected, /^upstream_connect /)
  const planned = sumOf(run.kinds, /in an outage$/)
  t.ok(
    within(settled, [planned, planned + sumOf(run.kinds, /abort|broken|reset|abandoned/)]),
    `${settled} of ${planned} calls in outages`,
  )
  t.equal(await mixer.stop(), 0)
})
