/**
 * Two json-servers, each with the data of one tenant and unchanged as npm delivers them, behind AMT with API keys; the
 * clients are real curls. The ledger is compared with what relays of the test and curl itself have counted.
 */
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, t, test } from 'tap'
import { newApiKey } from '../../src/cli/commands/key.ts'
import { createAuthority, issueServerCertificate } from '../../src/runtime/certificates/issue.ts'
import { asAtShell } from '../support/amt.ts'
import { type CountingRelay, countingRelay } from '../support/counting-relay.ts'
import { type CurlTransfer, curl, WITHOUT_CURL } from '../support/curl.ts'
import { freePorts } from '../support/free-ports.ts'
import { Program } from '../support/program.ts'
import { type RunningAmt, readUntil, startAmt } from '../support/running-amt.ts'

// Many whole programs are started, on a machine that may be busy.
t.setTimeout(180_000)

const JSON_SERVER = fileURLToPath(import.meta.resolve('json-server/lib/cli/bin.js'))
/** curl asks with `expect: 100-continue` before it sends as much. */
const BIG_CHARACTERS = 2 * 1024 * 1024

interface Post {
  readonly id: number
  readonly title: string
}

/** A tenant, what it may say, and what it has sent and received. */
interface Tenant {
  readonly id: string
  readonly key: string
  readonly digest: string
  readonly db: string
  readonly port: number
  calls: number
  ingress: number
  egress: number
}

await test('json-server with API keys on a shared listener', { skip: WITHOUT_CURL }, async t => {
  const folder = t.testdir()
  const acme = await startTenant(t, folder, 'acme')
  const globex = await startTenant(t, folder, 'globex')
  const amt = await startProxy(t, folder, [acme, globex])
  const relay = async (): Promise<CountingRelay> => countingRelay(t, amt.address('plain'))

  for (const [tenant, header] of [
    [acme, `x-api-key: ${acme.key}`],
    [globex, `authorization: ApiKey ${globex.key}`],
  ] as const) {
    const counted = await relay()
    await t.test(`${tenant.id} creates, lists and deletes`, async t => {
      await useJsonServer(t, tenant, ['-H', header, `http://127.0.0.1:${counted.port}`])
    })
    tenant.ingress += counted.sent
    tenant.egress += counted.received
  }

  await t.test('two tenants on one connection get their own data each', async t => {
    const counted = await relay()
    const url = `http://127.0.0.1:${counted.port}/posts?_limit=1`
    const transfers = await curl([
      ['-H', `authorization: ApiKey ${acme.key}`, url],
      ['-H', `x-api-key: ${globex.key}`, url],
      ['-H', `x-api-key: ${acme.key}`, url],
    ])
    t.same(
      transfers.map(({ body }) => postsOf(body).map(({ title }) => title)),
      [['seed of acme'], ['seed of globex'], ['seed of acme']],
    )
    t.same([counted.connections, transfers.map(({ connects }) => connects)], [1, [1, 0, 0]])
    t.equal(sum(transfers, 'sent'), counted.sent, 'curl counts as the relay does')
    t.equal(sum(transfers, 'received'), counted.received)
    for (const [i, transfer] of transfers.entries()) count(i === 1 ? globex : acme, transfer)
  })

  await t.test('the same keys open the same data over TLS', async t => {
    const { host, port } = amt.address('tls')
    for (const tenant of [acme, globex]) {
      // By HTTP/2 curl counts heads as text, and not as they are sent.
      const args = [
        '--http1.1',
        '--cacert',
        join(folder, 'ca.crt'),
        '-H',
        `x-api-key: ${tenant.key}`,
      ]
      const [gone, got] = await curl([
        [...args, '-X', 'DELETE', `https://${host}:${port}/posts/3`],
        [...args, `https://${host}:${port}/posts/1`],
      ])
      t.same([gone?.status, got?.status], [200, 200])
      t.equal((JSON.parse(got?.body ?? '') as Post).title, `seed of ${tenant.id}`)
      for (const transfer of [gone, got]) if (transfer) count(tenant, transfer)
    }
  })

  await refuseStrangers(t, amt, acme)

  await t.test('what was stored is in the file of its tenant alone', async t => {
    for (const [tenant, other] of [
      [acme, globex],
      [globex, acme],
    ] as const) {
      const text = await readFile(tenant.db, 'utf8')
      t.match(text, `big of ${tenant.id}`)
      t.notMatch(text, `of ${other.id}`)
    }
  })

  await t.test('the ledger holds every call and every byte', async t => {
    t.equal(await amt.drain(), 0)
    const ledger = await amt.ledger()
    t.same(Object.keys(ledger), ['acme', 'globex'])
    for (const { id, calls, ingress, egress } of [acme, globex]) {
      t.match(ledger[id], { calls, ingress, egress })
      t.ok(ingress > BIG_CHARACTERS && egress > BIG_CHARACTERS, id)
    }
  })
})

/** What an application does with it; `to` are the arguments that say where it is and who asks. */
async function useJsonServer(t: Test, tenant: Tenant, to: string[]): Promise<void> {
  const url = to.at(-1) ?? ''
  const call = async (path: string, args: string[] = [], input?: string): Promise<CurlTransfer> => {
    const [transfer] = await curl([[...args, ...to.slice(0, -1), `${url}${path}`]], input)
    if (transfer === undefined) throw new Error('nothing came')
    tenant.calls += 1
    return transfer
  }
  const titles = async (): Promise<string[]> =>
    postsOf((await call('/posts')).body).map(({ title }) => title)
  const json = ['-H', 'content-type: application/json', '--data-binary', '@-']

  t.same(await titles(), [`seed of ${tenant.id}`])
  const made = await call('/posts', ['-d', `title=new of ${tenant.id}`])
  t.equal(made.status, 201)
  t.same(await titles(), [`seed of ${tenant.id}`, `new of ${tenant.id}`])
  const { id } = JSON.parse(made.body) as Post
  t.equal((await call(`/posts/${id}`, ['-X', 'DELETE'])).status, 200)
  t.equal((await call(`/posts/${id}`)).status, 404, 'a call that fails there is usage as well')
  t.same(await titles(), [`seed of ${tenant.id}`])

  const big = { title: `big of ${tenant.id}`, text: 'x'.repeat(BIG_CHARACTERS) }
  const stored = await call('/posts', json, JSON.stringify(big))
  t.equal(stored.status, 201)
  const again = await call(`/posts/${(JSON.parse(stored.body) as Post).id}`)
  t.match(JSON.parse(again.body), big)
  const chunked = ['-H', 'transfer-encoding: chunked', '-H', 'expect:', ...json]
  t.equal((await call('/posts', chunked, '{"title":"chunked"}')).status, 201)
  const packed = await call('/posts', ['--compressed'])
  t.equal(postsOf(packed.body).length, 3)
  t.ok(packed.received < BIG_CHARACTERS, 'json-server has compressed its answer')
  t.equal((await call('/posts', ['--head'])).status, 200)
}

async function refuseStrangers(t: Test, amt: RunningAmt, acme: Tenant): Promise<void> {
  await t.test('who has no key, or a wrong one, gets nothing', async t => {
    const { host, port } = amt.address('plain')
    const url = `http://${host}:${port}/posts`
    const before = await readFile(acme.db, 'utf8')
    const transfers = await curl([
      [url],
      ['-H', `x-api-key: ${newApiKey('acme').key}`, url],
      ['-H', `authorization: ApiKey ${acme.key.slice(0, -1)}`, url],
      ['-H', 'x-amt-tenant: acme', '-d', 'title=intruder', url],
    ])
    t.same(
      transfers.map(({ status }) => status),
      [401, 401, 401, 401],
    )
    t.ok(transfers.every(({ body }) => !body.includes('seed')))
    t.equal(await readFile(acme.db, 'utf8'), before)
    const all = (now: Record<string, number>): number =>
      Object.values(now).reduce((total, times) => total + times, 0)
    t.equal(all(await readUntil(amt.rejected, now => all(now) === 4)), 4)
  })
}

async function startTenant(t: Test, folder: string, id: string): Promise<Tenant> {
  const db = join(folder, `${id}.json`)
  await writeFile(db, JSON.stringify({ posts: [{ id: 1, title: `seed of ${id}` }] }))
  const [port = 0] = await freePorts(1)
  const args = [JSON_SERVER, db, '--host', '127.0.0.1', '--port', String(port)]
  const server = new Program(t, asAtShell(process.execPath, args), { cwd: folder })
  await server.line(/Home/)
  await accepts(port)
  const { key, digest } = newApiKey(id)
  return { id, key, digest, db, port, calls: 0, ingress: 0, egress: 0 }
}

/** json-server says where it is before it is there. */
async function accepts(port: number): Promise<void> {
  const works = async (): Promise<boolean> => {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return true
    } catch {
      return false
    } finally {
      socket.destroy()
    }
  }
  if (!(await readUntil(works, yes => yes))) throw new Error(`nothing listens at port ${port}`)
}

async function startProxy(t: Test, folder: string, tenants: Tenant[]): Promise<RunningAmt> {
  const now = Date.now()
  const authority = await createAuthority('AMT test CA', now)
  const server = await issueServerCertificate(
    authority,
    { names: [], addresses: ['127.0.0.1'] },
    now,
  )
  await writeFile(join(folder, 'ca.crt'), authority.cert)
  await writeFile(join(folder, 'server.crt'), server.cert)
  await writeFile(join(folder, 'server.key'), server.key)
  const shared = { mode: 'shared', address: '127.0.0.1:0' }
  return startAmt(t, folder, {
    listeners: [
      { ...shared, name: 'plain', protocol: 'http' },
      {
        ...shared,
        name: 'tls',
        tls: { certificates: [{ cert: 'server.crt', key: 'server.key' }] },
      },
    ],
    authentication: { apiKey: { header: 'x-api-key' } },
    tenants: tenants.map(({ id, digest, port }) => ({
      id,
      credentials: [{ apiKey: digest }],
      deployment: { endpoints: [`http://127.0.0.1:${port}`] },
    })),
  })
}

function count(tenant: Tenant, { sent, received }: CurlTransfer): void {
  tenant.calls += 1
  tenant.ingress += sent
  tenant.egress += received
}

function sum(transfers: readonly CurlTransfer[], figure: 'sent' | 'received'): number {
  return transfers.reduce((total, transfer) => total + transfer[figure], 0)
}

function postsOf(body: string): Post[] {
  return JSON.parse(body) as Post[]
}
