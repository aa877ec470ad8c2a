/**
 * Two etcds, each of one tenant and unchanged as Debian delivers them, behind one AMT: `etcdctl` speaks gRPC over TLS, with
 * a client certificate that says whose calls they are. Put, get, watch and lease are calls of all four kinds.
 */
import { type Test, t, test } from 'tap'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { Program, runCommand } from '../support/program.ts'
import { readUntil, readUsage, startAmt } from '../support/running-amt.ts'

// Whole programs are started, on a machine that may be busy.
t.setTimeout(180_000)

const OPERATIONS = [
  { name: 'put', match: 'grpc etcdserverpb.KV/Put' },
  { name: 'read', match: 'grpc etcdserverpb.KV/Range' },
  { name: 'watch', match: 'grpc etcdserverpb.Watch/Watch' },
]

await test('etcd with client certificates', { skip: WITHOUT_ETCD }, async t => {
  const folder = t.testdir()
  const ca = await TestAuthority.create(t)
  const { certPath: cert, keyPath: key } = await ca.server(['localhost'], ['127.0.0.1'])
  const ids = ['acme', 'globex']
  const endpoints = await Promise.all(ids.map(async id => startEtcd(t, folder, id)))
  const amt = await startAmt(t, folder, {
    service: { operations: OPERATIONS },
    listeners: [
      {
        name: 'shared',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: {
          certificates: [{ cert, key }],
          clientCertificate: 'optional',
          clientCa: ca.certPath,
        },
      },
    ],
    authentication: { spiffe: { trustDomain: 'example.org' } },
    tenants: ids.map((id, index) => ({
      id,
      credentials: [{ spiffe: `spiffe://example.org/tenant/${id}` }],
      deployment: { endpoints: [endpoints[index]] },
    })),
  })
  const { port } = amt.address('shared')
  const certificates = { acme: await ca.tenant('acme'), globex: await ca.tenant('globex') }
  const as = (certificate: CertificateFiles, ...args: string[]): [string, string[]] => [
    'env',
    [
      'ETCDCTL_API=3',
      'etcdctl',
      `--endpoints=https://127.0.0.1:${port}`,
      `--cacert=${ca.certPath}`,
      `--cert=${certificate.certPath}`,
      `--key=${certificate.keyPath}`,
      ...args,
    ],
  ]
  const etcdctl = async (t: Test, id: keyof typeof certificates, ...args: string[]) => {
    const { code, stdout, stderr } = await runCommand(as(certificates[id], ...args))
    t.equal(code, 0, stderr)
    return stdout.toString().trim()
  }

  await t.test('each tenant has its own values', async t => {
    for (const id of ids as ['acme', 'globex'])
      t.equal(await etcdctl(t, id, 'put', 'greeting', `hello from ${id}`), 'OK')
    for (const id of ids as ['acme', 'globex'])
      t.equal(await etcdctl(t, id, 'get', 'greeting', '--print-value-only'), `hello from ${id}`)
    t.equal(await etcdctl(t, 'acme', 'get', '', '--prefix', '--keys-only'), 'greeting')
  })

  await t.test('a watch sees what its own tenant writes, as it happens', async t => {
    const watch = new Program(t, as(certificates.acme, 'watch', 'news'))
    const wrote = async (): Promise<boolean> => {
      await etcdctl(t, 'globex', 'put', 'news', 'of globex')
      await etcdctl(t, 'acme', 'put', 'news', 'of acme')
      return watch.lines.length > 0
    }
    // It does not say when it listens.
    await readUntil(wrote, seen => seen)
    await watch.line(/^of acme$/)
    t.notOk(watch.lines.includes('of globex'))
    await watch.stop('SIGINT')
  })

  await t.test('a lease is kept alive by messages both ways', async t => {
    const granted = await etcdctl(t, 'acme', 'lease', 'grant', '2')
    const lease = /lease (\w+) granted/.exec(granted)?.[1] ?? ''
    t.match(await etcdctl(t, 'acme', 'lease', 'keep-alive', '--once', lease), /keepalived/)
    t.match(await etcdctl(t, 'acme', 'lease', 'revoke', lease), /revoked/)
  })

  await t.test('who has no certificate of a tenant is refused, as gRPC says it', async t => {
    const stranger = await ca.tenant('nobody')
    const { code, stderr } = await runCommand(
      as(stranger, '--command-timeout=2s', 'get', 'greeting'),
    )
    t.not(code, 0)
    t.match(stderr, /Unauthenticated|no credential, address or name/)
  })

  await t.test('the ledger has the methods as operations', async t => {
    t.equal(await amt.drain(), 0)
    const rows = await readUsage(amt.mixerUrl, ['tenant', 'operation', 'code'])
    const calls = (tenant: string, operation: string, code: string): number =>
      rows
        .filter(row => row.tenant === tenant && row.operation === operation && row.code === code)
        .reduce((sum, row) => sum + Number(row.calls), 0)
    t.equal(calls('acme', 'read', 'grpc-0'), 2)
    t.equal(calls('globex', 'read', 'grpc-0'), 1)
    t.ok(calls('acme', 'put', 'grpc-0') >= 2)
    t.ok(rows.some(row => row.tenant === 'acme' && row.operation === 'watch'))
  })
})
