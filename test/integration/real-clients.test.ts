/**
 * The programs that customers have, against one AMT with everything side by side: psql, redis-cli, curl and openssl, by
 * client certificate, by name with TLS ended here or at the tenant, and by address. Each is answered by its own tenant's
 * deployment, is counted to that tenant, and does not get to another's.
 */
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type net from 'node:net'
import { type Test, t, test } from 'tap'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { type CountingRelay, countingRelay } from '../support/counting-relay.ts'
import { WITHOUT_CURL } from '../support/curl.ts'
import { freePorts } from '../support/free-ports.ts'
import { WITHOUT_OPENSSL } from '../support/openssl-authority.ts'
import { startPostgres, WITHOUT_POSTGRES } from '../support/postgres.ts'
import { type CommandResult, runCommand } from '../support/program.ts'
import { psql, WITHOUT_PSQL } from '../support/psql.ts'
import { RedisCli, startRedis, WITHOUT_REDIS } from '../support/redis.ts'
import { type RunningAmt, readUntil, startAmt } from '../support/running-amt.ts'

// Whole servers are started, on a machine that may be busy.
t.setTimeout(240_000)

const SPIFFE = 'spiffe://example.org/tenant/'

interface World {
  readonly amt: RunningAmt
  /** Of the certificate of AMT. */
  readonly ca: TestAuthority
  /** Of a tenant, from the authority that AMT takes client certificates of. */
  readonly certificates: Readonly<Record<string, CertificateFiles>>
}

interface TenantPlan {
  readonly endpoint: string
  readonly address?: string
  readonly passthrough?: boolean
}

/** Tenants with a certificate each, and with the names `ID.test` and `*.ID.test`; one listener with TLS and one private without. */
async function world(t: Test, plans: Readonly<Record<string, TenantPlan>>): Promise<World> {
  const ca = await TestAuthority.create(t)
  const names = Object.keys(plans).flatMap(id => [`${id}.test`, `*.${id}.test`])
  const server = await ca.server(['service.test', ...names], ['127.0.0.1'])
  const certificates: Record<string, CertificateFiles> = {}
  for (const id of Object.keys(plans)) certificates[id] = await ca.tenant(id)
  const amt = await startAmt(t, t.testdir(), {
    listeners: [
      {
        name: 'shared',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: {
          certificates: [{ cert: server.certPath, key: server.keyPath }],
          clientCertificate: 'optional',
          clientCa: ca.certPath,
        },
      },
      { name: 'private', mode: 'private', port: 0, protocol: 'tcp' },
    ],
    authentication: { spiffe: { trustDomain: 'example.org' } },
    tenants: Object.entries(plans).map(([id, { endpoint, address, passthrough = false }]) => ({
      id,
      hosts: [`${id}.test`, `*.${id}.test`],
      ...(address === undefined ? {} : { address }),
      ...(passthrough ? { passthrough } : { credentials: [{ spiffe: `${SPIFFE}${id}` }] }),
      deployment: { endpoints: [endpoint] },
    })),
  })
  return { amt, ca, certificates }
}

function certificateOf({ certificates }: World, id: string): CertificateFiles {
  const found = certificates[id]
  if (found === undefined) throw new Error(`${id} has no certificate`)
  return found
}

/** Ends the proxy; then the ledger holds what has passed the relays in front of the deployments, tenant by tenant. */
async function compareLedger(
  t: Test,
  { amt }: World,
  relays: Readonly<Record<string, CountingRelay>>,
): Promise<void> {
  t.equal(await amt.drain(), 0)
  const expected = Object.entries(relays).map(([id, { sent, received, connections }]) => [
    id,
    { calls: 0, ingress: sent, egress: received, connections },
  ])
  t.same(await amt.ledger(), Object.fromEntries(expected), 'each byte is counted to its tenant')
}

/** How often AMT has refused for these reasons, as soon as there are `count` of all. */
async function refusals({ amt }: World, count: number): Promise<Record<string, number>> {
  const sum = (now: Record<string, number>): number =>
    Object.values(now).reduce((all, each) => all + each, 0)
  return readUntil(amt.rejected, now => sum(now) >= count)
}

await test('psql', { skip: WITHOUT_POSTGRES || WITHOUT_PSQL }, async t => {
  const theirs = await TestAuthority.create(t)
  const [acme, globex, own] = await Promise.all([
    startPostgres(t, '-c', 'cluster_name=acme'),
    startPostgres(t, '-c', 'cluster_name=globex'),
    startWithTls(t, await theirs.server(['own.test'])),
  ])
  const relays = {
    acme: await countingRelay(t, { path: acme.socket }),
    globex: await countingRelay(t, { path: globex.socket }),
    own: await countingRelay(t, { port: own }),
  }
  const endpoint = (id: keyof typeof relays): string => `tcp://127.0.0.1:${relays[id].port}`
  const here = await world(t, {
    acme: { endpoint: endpoint('acme'), address: '127.0.8.1' },
    globex: { endpoint: endpoint('globex'), address: '127.0.8.2' },
    own: { endpoint: endpoint('own'), passthrough: true },
  })
  const { port } = here.amt.address('shared')
  const shared = {
    hostaddr: '127.0.0.1',
    port,
    sslmode: 'verify-full',
    sslrootcert: here.ca.certPath,
  }
  const as = (id: string): Record<string, string> => ({
    sslcert: certificateOf(here, id).certPath,
    sslkey: certificateOf(here, id).keyPath,
  })
  const asks = async (
    t: Test,
    settings: Record<string, string | number>,
    who: string,
  ): Promise<void> => {
    const { code, stdout, stderr } = await psql(settings, 'show cluster_name')
    t.equal(stdout.toString().trim(), who, stderr)
    t.equal(code, 0)
  }

  await t.test('with a client certificate through a listener with TLS', async t => {
    for (const id of ['acme', 'globex'])
      await asks(t, { ...shared, host: 'service.test', ...as(id) }, id)
    const rows = await psql(
      { ...shared, host: 'service.test', ...as('acme') },
      'select count(*), sum(i) from generate_series(1, 100000) i',
    )
    t.equal(rows.stdout.toString().trim(), '100000|5000050000')
  })

  await t.test('by the name that it asks for', async t => {
    for (const id of ['acme', 'globex'])
      await asks(t, { ...shared, host: `db.${id}.test`, sslcert: '/none' }, id)
    await asks(t, { ...shared, host: 'acme.test', ...as('acme') }, 'acme')
  })

  await t.test('to a tenant that ends TLS itself', async t => {
    const settings = { ...shared, host: 'own.test', sslcert: '/none', sslrootcert: theirs.certPath }
    await asks(t, settings, 'own')
    const { stdout } = await psql(
      settings,
      'select ssl, version from pg_stat_ssl where pid = pg_backend_pid()',
    )
    t.match(stdout.toString(), /^t\|TLSv1\.3/, 'TLS reaches from psql to PostgreSQL')
  })

  await t.test('at the address of its tenant, in plain', async t => {
    for (const id of ['acme', 'globex']) {
      const { host, port: ownPort } = here.amt.address('private', id)
      for (const sslmode of ['disable', 'prefer'])
        await asks(t, { host, port: ownPort, sslmode, gssencmode: 'disable' }, id)
    }
  })

  await t.test('not to another tenant', async t => {
    const before = { ...relays.acme, connections: relays.acme.connections }
    const wrong: readonly Record<string, string | number>[] = [
      { ...shared, host: 'acme.test', ...as('globex') },
      { ...shared, host: 'service.test', sslcert: '/none' },
      { ...shared, host: 'service.test', sslmode: 'disable' },
    ]
    for (const settings of wrong) t.not((await psql(settings, 'show cluster_name')).code, 0)
    t.equal(relays.acme.connections, before.connections)
    t.match(await refusals(here, 3), { tenant_mismatch: 1, unroutable: 1, tls_handshake_failed: 1 })
  })

  await compareLedger(t, here, relays)
})

/** A server that ends TLS itself, which PostgreSQL does on no Unix socket; its port. */
async function startWithTls(t: Test, { certPath, keyPath }: CertificateFiles): Promise<number> {
  const [port = 0] = await freePorts(1)
  const settings = ['cluster_name=own', 'listen_addresses=127.0.0.1']
  const options = settings.flatMap(each => ['-c', each])
  const server = await startPostgres(t, ...options, '-p', String(port))
  const { cert, key } = server.installCertificate(certPath, keyPath)
  // A setting of the system may stand in no transaction, and so alone.
  for (const setting of [`ssl_cert_file = '${cert}'`, `ssl_key_file = '${key}'`, 'ssl = on'])
    await server.query('postgres', `ALTER SYSTEM SET ${setting}`)
  await server.query('postgres', 'SELECT pg_reload_conf()')
  const isOn = ([row]: readonly Record<string, unknown>[]): boolean => row?.['ssl'] === 'on'
  await readUntil(async () => server.query('postgres', 'SHOW ssl'), isOn)
  return port
}

await test('redis-cli', { skip: WITHOUT_REDIS }, async t => {
  const sockets = await Promise.all([startRedis(t), startRedis(t)])
  const relays = {
    acme: await countingRelay(t, { path: sockets[0] }),
    globex: await countingRelay(t, { path: sockets[1] }),
  }
  const here = await world(t, {
    acme: { endpoint: `tcp://127.0.0.1:${relays.acme.port}` },
    globex: { endpoint: `tcp://127.0.0.1:${relays.globex.port}` },
  })
  const { host, port } = here.amt.address('shared')
  const cli = (...more: string[]): RedisCli =>
    new RedisCli(['-h', host, '-p', String(port), '--tls', '--cacert', here.ca.certPath, ...more])
  const certificate = (id: string): string[] => {
    const { certPath, keyPath } = certificateOf(here, id)
    return ['--cert', certPath, '--key', keyPath]
  }

  await t.test('by certificate and by name', async t => {
    for (const id of ['acme', 'globex']) {
      t.equal(await cli(...certificate(id)).ask('set', 'who', id), 'OK')
      t.equal(await cli('--sni', `${id}.test`).ask('get', 'who'), id)
      t.equal(await cli('--sni', `CACHE.${id}.test`, ...certificate(id)).ask('get', 'who'), id)
    }
  })

  await t.test('not to another tenant', async t => {
    for (const args of [
      ['--sni', 'acme.test', ...certificate('globex')],
      ['--sni', 'nobody.test'],
      [],
    ]) {
      const { stdout } = await cli(...args).run(['get', 'who'])
      t.notMatch(stdout.toString(), /acme|globex/)
    }
    t.same(await refusals(here, 3), { tenant_mismatch: 1, unroutable: 2 })
  })

  await compareLedger(t, here, relays)
})

/** An HTTP server that says whose it is, and which protocol its TLS has agreed on, if it ends it. */
async function web(t: Test, id: string, own?: CertificateFiles): Promise<number> {
  const serve: http.RequestListener = ({ headers, socket }, response) => {
    const inside = (socket as { alpnProtocol?: string | false }).alpnProtocol
    response.end(
      `${id} ${String(headers['x-amt-tenant'] ?? '-')} ${inside === undefined ? '-' : inside}`,
    )
  }
  const server =
    own === undefined
      ? http.createServer(serve)
      : https.createServer({ cert: own.cert, key: own.key, ALPNProtocols: ['http/1.1'] }, serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as net.AddressInfo).port
}

async function webWorld(t: Test): Promise<World & { readonly theirs: TestAuthority }> {
  const theirs = await TestAuthority.create(t)
  const own = await web(t, 'own', await theirs.server(['own.test', '*.own.test']))
  const here = await world(t, {
    acme: { endpoint: `http://127.0.0.1:${await web(t, 'acme')}` },
    globex: { endpoint: `http://127.0.0.1:${await web(t, 'globex')}` },
    own: { endpoint: `tcp://127.0.0.1:${own}`, passthrough: true },
  })
  return { ...here, theirs }
}

await test('curl', { skip: WITHOUT_CURL }, async t => {
  const here = await webWorld(t)
  const { port } = here.amt.address('shared')
  const get = (name: string, args: readonly string[] = [], ca = here.ca): Promise<CommandResult> =>
    runCommand([
      'curl',
      [
        '--disable',
        '--silent',
        '--noproxy',
        '*',
        '--cacert',
        ca.certPath,
        '--resolve',
        `${name}:${port}:127.0.0.1`,
        '-w',
        ' %{http_code}',
        ...args,
        `https://${name}:${port}/`,
      ],
    ])
  const certificate = (id: string): string[] => {
    const { certPath, keyPath } = certificateOf(here, id)
    return ['--cert', certPath, '--key', keyPath]
  }

  await t.test(
    'by certificate, by name, by a wildcard, and to a tenant that ends TLS itself',
    async t => {
      for (const id of ['acme', 'globex']) {
        for (const [name, args] of [
          ['service.test', certificate(id)],
          [`${id}.test`, []],
          [`www.${id}.test`, []],
        ] as const)
          t.equal((await get(name, args)).stdout.toString(), `${id} ${id} - 200`, name)
      }
      for (const name of ['own.test', 'www.own.test'])
        t.equal((await get(name, [], here.theirs)).stdout.toString(), 'own - http/1.1 200', name)
    },
  )

  await t.test('not to another tenant', async t => {
    for (const [name, args, status] of [
      ['globex.test', certificate('acme'), 403],
      ['acme.test', ['-H', 'host: globex.test'], 421],
      ['service.test', ['-H', 'host: own.test'], 421],
      ['service.test', [], 401],
    ] as const) {
      const { stdout } = await get(name, args)
      t.match(stdout.toString(), new RegExp(` ${status}$`), `${name} ${args.join(' ')}`)
      t.notMatch(stdout.toString(), /^(acme|globex|own) /)
    }
    t.not((await get('own.test')).code, 0, 'our certificate is not shown for own.test')
    t.same(await refusals(here, 4), { tenant_mismatch: 1, misdirected_request: 2, unroutable: 1 })
  })

  t.equal(await here.amt.drain(), 0)
  t.match(await here.amt.ledger(), {
    acme: { calls: 3 },
    globex: { calls: 3 },
    own: { calls: 0, connections: 3 },
  })
})

await test('openssl s_client', { skip: WITHOUT_OPENSSL }, async t => {
  const here = await webWorld(t)
  const { port } = here.amt.address('shared')
  const connect = (args: readonly string[], host: string): Promise<CommandResult> =>
    runCommand(['openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args]], {
      input: `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`,
    })
  const trust = ['-verify_return_error', '-CAfile']
  const ours = [...trust, here.ca.certPath]

  for (const id of ['acme', 'globex']) {
    const { stdout } = await connect(
      [...ours, '-servername', `${id}.test`, '-alpn', 'http/1.1'],
      `${id}.test`,
    )
    t.match(stdout.toString(), 'ALPN protocol: http/1.1')
    t.match(stdout.toString(), `${id} ${id} -`)
    const { certPath, keyPath } = certificateOf(here, id)
    const mutual = await connect(
      [...ours, '-noservername', '-cert', certPath, '-key', keyPath],
      'any.test',
    )
    t.match(mutual.stdout.toString(), `${id} ${id} -`, 'by certificate')
  }
  const theirs = [...trust, here.theirs.certPath, '-servername', 'OWN.test', '-alpn', 'http/1.1']
  const passed = (await connect(theirs, 'own.test')).stdout.toString()
  t.match(passed, 'ALPN protocol: http/1.1')
  t.match(passed, 'own - http/1.1')
  const fronted = await connect([...ours, '-servername', 'acme.test'], 'globex.test')
  t.match(fronted.stdout.toString(), 'HTTP/1.1 421 Misdirected Request')

  t.equal(await here.amt.drain(), 0)
  t.match(await here.amt.ledger(), {
    acme: { calls: 2 },
    globex: { calls: 2 },
    own: { calls: 0, connections: 1 },
  })
})
