/**
 * Two Redis servers, each made for one tenant and knowing nothing of others, behind AMT as operators run it. What the
 * ledger holds in the end is compared byte by byte with what relays of the test have counted on the way.
 */
import { createHash, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Test, t, test } from 'tap'
import {
  createAuthority,
  issueServerCertificate,
  issueTenantCertificate,
  type KeyedCertificate,
} from '../../src/runtime/certificates/issue.ts'
import { type CountingRelay, countingRelay } from '../support/counting-relay.ts'
import { RedisCli, startRedis, WITHOUT_REDIS } from '../support/redis.ts'
import { type RunningAmt, readUntil, startAmt } from '../support/running-amt.ts'

// Many whole programs are started, on a machine that may be busy.
t.setTimeout(180_000)

const TENANTS = ['acme', 'globex'] as const
type Tenant = (typeof TENANTS)[number]
type PerTenant<T> = Readonly<Record<Tenant, T>>

const BIG_BYTES = 5 * 1024 * 1024
const PIPED_COMMANDS = 5_000

await test('Redis over mTLS on a shared listener', { skip: WITHOUT_REDIS }, async t => {
  const folder = t.testdir()
  const certificates = await makeCertificates(folder)
  const upstream = await startUpstreams(t)
  const amt = await startAmt(t, folder, {
    listeners: [
      {
        name: 'shared',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: {
          certificates: [{ cert: 'server.crt', key: 'server.key' }],
          clientCertificate: 'optional',
          clientCa: 'ca.crt',
        },
      },
    ],
    authentication: { spiffe: { trustDomain: 'example.org' } },
    tenants: TENANTS.map(id => ({
      id,
      credentials: [{ spiffe: `spiffe://example.org/tenant/${id}` }],
      deployment: { endpoints: [`tcp://127.0.0.1:${upstream[id].port}`] },
    })),
  })
  const { host, port } = amt.address('shared')
  const as = (...certificate: string[]): RedisCli =>
    new RedisCli(
      ['-h', host, '-p', String(port), '--tls', '--cacert', certificates.ca].concat(certificate),
    )
  const clients = perTenant(id =>
    as('--cert', certificates.of(id), '--key', certificates.keyOf(id)),
  )

  await useRedis(t, clients)
  await followRedis(t, clients, amt, upstream)

  await t.test('who shows no certificate, or one of another authority, reaches nobody', async t => {
    const before = snapshot(upstream)
    for (const stranger of [
      as(),
      as('--cert', certificates.of('mallory'), '--key', certificates.keyOf('mallory')),
    ]) {
      const { code, stdout } = await stranger.run(['get', 'shared-key'])
      t.not(code, 0)
      t.equal(stdout.toString().trim(), '')
    }
    t.same(snapshot(upstream), before, 'no byte and no connection came to a deployment')
    const rejected = await readUntil(amt.rejected, now => Object.keys(now).length === 2)
    t.same(rejected, { unroutable: 1, tls_handshake_failed: 1 })
  })

  await compareLedger(t, amt, upstream)
})

for (const bind of ['each', 'wildcard'] as const) {
  const name = `Redis on private addresses of IPv4 and IPv6, without any authentication (bind: ${bind})`
  await test(name, { skip: WITHOUT_REDIS }, async t => {
    const upstream = await startUpstreams(t)
    const addresses: PerTenant<string> = { acme: '127.0.6.1', globex: '::1' }
    const amt = await startAmt(t, t.testdir(), {
      listeners: [{ name: 'private', mode: 'private', port: 0, bind, protocol: 'tcp' }],
      tenants: TENANTS.map(id => ({
        id,
        address: addresses[id],
        deployment: { endpoints: [`tcp://127.0.0.1:${upstream[id].port}`] },
      })),
    })
    const placeOf = (id: Tenant): { host: string; port: number } =>
      bind === 'each'
        ? amt.address('private', id)
        : { host: addresses[id], port: amt.address('private').port }
    const downstream = {
      acme: await countingRelay(t, placeOf('acme')),
      globex: await countingRelay(t, placeOf('globex')),
    }
    const clients = perTenant(id => new RedisCli(['-p', String(downstream[id].port)]))

    await useRedis(t, clients)
    await followRedis(t, clients, amt, downstream)
    await compareLedger(t, amt, downstream)
    t.same(snapshot(upstream), snapshot(downstream), 'a tunnel changes no byte')
  })
}

/** What applications do with Redis, as both tenants at once and with the same keys. */
async function useRedis(t: Test, clients: PerTenant<RedisCli>): Promise<void> {
  await t.test('each tenant has its own values for the same keys', async t => {
    await both(async id => clients[id].ask('set', 'shared-key', `of ${id}`))
    await both(async id => clients[id].ask('set', `only-${id}`, '1'))
    for (const id of TENANTS) {
      t.equal(await clients[id].ask('get', 'shared-key'), `of ${id}`)
      t.same((await clients[id].ask('keys', '*')).split('\n').toSorted(), [
        `only-${id}`,
        'shared-key',
      ])
    }
  })

  await t.test('thousands of commands in one pipeline', async t => {
    await both(async id => {
      const commands = Array.from({ length: PIPED_COMMANDS }, (_, i) =>
        command('SET', `${id}:${i}`, `${i}`),
      )
      const { stdout } = await clients[id].run(['--pipe'], commands.join(''))
      t.match(stdout.toString(), `errors: 0, replies: ${PIPED_COMMANDS}`)
    })
    for (const id of TENANTS) t.equal(await clients[id].ask('dbsize'), `${PIPED_COMMANDS + 2}`)
  })

  await t.test('a large binary value comes back as it went', async t => {
    await both(async id => {
      const value = randomBytes(BIG_BYTES)
      t.equal((await clients[id].run(['-x', 'set', 'big'], value)).stdout.toString(), 'OK\n')
      const { stdout } = await clients[id].run(['get', 'big'])
      t.equal(stdout.length, value.length + 1, 'and the line end of redis-cli')
      t.equal(digest(stdout.subarray(0, -1)), digest(value))
    })
  })
}

/** Connections that stay: what one tenant does is seen by it alone, and the ledger has it while they are open. */
async function followRedis(
  t: Test,
  clients: PerTenant<RedisCli>,
  amt: RunningAmt,
  relays: PerTenant<CountingRelay>,
): Promise<void> {
  await t.test(
    'subscribers and monitors see their own tenant alone, and are counted while open',
    async t => {
      const monitor = clients.acme.follow(t, 'monitor')
      await monitor.line(/^OK$/)
      const subscribers = perTenant(id => clients[id].follow(t, 'subscribe', 'news'))
      await both(async id => subscribers[id].line(/^subscribe$/))
      for (const id of TENANTS) t.equal(await clients[id].ask('publish', 'news', `for ${id}`), '1')
      for (const id of TENANTS) await subscribers[id].line(new RegExp(`^for ${id}$`))
      await monitor.line(/"publish" "news" "for acme"/)

      const ledger = await readUntil(amt.ledger, now =>
        TENANTS.every(id => now[id]?.egress === relays[id].received),
      )
      for (const id of TENANTS) t.equal(ledger[id]?.egress, relays[id].received, id)
      await Promise.all([monitor, ...Object.values(subscribers)].map(async one => one.stop()))
      t.notOk(monitor.lines.some(line => line.includes('globex')))
      for (const id of TENANTS)
        t.same(subscribers[id].lines.slice(3), ['message', 'news', `for ${id}`], id)
    },
  )
}

/** Ends the proxy; then every byte that passed the relays is in the ledger, and no other. */
async function compareLedger(
  t: Test,
  amt: RunningAmt,
  relays: PerTenant<CountingRelay>,
): Promise<void> {
  await t.test('the ledger holds every byte that passed', async t => {
    t.equal(await amt.drain(), 0)
    const expected = perTenant(id => {
      const { sent, received, connections } = relays[id]
      return { calls: 0, ingress: sent, egress: received, connections }
    })
    t.same(await amt.ledger(), expected)
    for (const id of TENANTS)
      t.ok(relays[id].sent > BIG_BYTES && relays[id].received > BIG_BYTES, id)
  })
}

async function startUpstreams(t: Test): Promise<PerTenant<CountingRelay>> {
  const [acme, globex] = await Promise.all(
    TENANTS.map(async () => countingRelay(t, { path: await startRedis(t) })),
  )
  if (acme === undefined || globex === undefined) throw new Error('a relay is missing')
  return { acme, globex }
}

interface CertificateFiles {
  /** Path of the authority that AMT's own certificate is from, and that of the tenants. */
  readonly ca: string
  of(name: string): string
  keyOf(name: string): string
}

/** Certificates in `folder`: one of each tenant, and one of mallory, who says to be acme and has an authority of their own. */
async function makeCertificates(folder: string): Promise<CertificateFiles> {
  const now = Date.now()
  const authority = await createAuthority('AMT test CA', now)
  const ofTenant = (issuer: KeyedCertificate, tenant: string): Promise<KeyedCertificate> =>
    issueTenantCertificate(
      issuer,
      { tenant, spiffeId: `spiffe://example.org/tenant/${tenant}` },
      now,
    )
  const made: Record<string, KeyedCertificate> = {
    ca: authority,
    server: await issueServerCertificate(
      authority,
      { names: ['localhost'], addresses: ['127.0.0.1'] },
      now,
    ),
    acme: await ofTenant(authority, 'acme'),
    globex: await ofTenant(authority, 'globex'),
    mallory: await ofTenant(await createAuthority('AMT test CA', now), 'acme'),
  }
  for (const [name, { cert, key }] of Object.entries(made)) {
    await writeFile(join(folder, `${name}.crt`), cert)
    await writeFile(join(folder, `${name}.key`), key)
  }
  return {
    ca: join(folder, 'ca.crt'),
    of: name => join(folder, `${name}.crt`),
    keyOf: name => join(folder, `${name}.key`),
  }
}

function perTenant<T>(make: (id: Tenant) => T): PerTenant<T> {
  return { acme: make('acme'), globex: make('globex') }
}

async function both(work: (id: Tenant) => Promise<unknown>): Promise<void> {
  await Promise.all(TENANTS.map(work))
}

function snapshot(relays: PerTenant<CountingRelay>): unknown {
  return perTenant(id => {
    const { sent, received, connections } = relays[id]
    return { sent, received, connections }
  })
}

/** A command in Redis' own protocol: `--pipe` sends its input as it is. */
function command(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map(word => `$${word.length}\r\n${word}\r\n`).join('')}`
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
