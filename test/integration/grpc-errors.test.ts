/**
 * What a gRPC call is told where it fails in the proxy or at the deployment: every row of the error table that one can meet,
 * as trailers alone, seen by a client that shows each field and by `@grpc/grpc-js`.
 */

import { once } from 'node:events'
import net from 'node:net'
import { status } from '@grpc/grpc-js'
import { type Test, t, test } from 'tap'
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts'
import type { QuotaAsk } from '../../src/proxy/ipc.ts'
import { DnsLookup } from '../../src/runtime/names/dns-lookup.ts'
import { TestAuthority } from '../support/certificates.ts'
import { dnsServer } from '../support/dns-server.ts'
import { FailingDisk } from '../support/failing-disk.ts'
import { freePorts } from '../support/free-ports.ts'
import { fullBacklog } from '../support/full-backlog.ts'
import { GrpcClient, type GrpcFields } from '../support/grpc/client.ts'
import { grpcStatusOf } from '../support/grpc/grpc-status.ts'
import { type RunningDeployment, startDeployment } from '../support/http2/deployment.ts'
import { answerOf, Http2Client } from '../support/http2/http2-client.ts'
import { LogLines } from '../support/log-lines.ts'
import { eventually, keyOf, ProxyLab, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy, startProxy } from '../support/start-proxy.ts'
import { ec, ISSUER, NOW, OTHER, token } from '../support/token-attacks/parties.ts'

t.setTimeout(120_000)

const GRPC = { 'content-type': 'application/grpc', te: 'trailers' }
const KEY = { 'x-api-key': keyOf('acme') }
/** Of the admin server. */
const NO_CALLS = new Set([
  'host_not_allowed',
  'configuration_refused',
  'profile_in_progress',
  'profile_failed',
])
/** Their deployment sees the head, if not more. */
const GETS_THERE = new Set<ErrorCode>(['call_timeout', 'body_too_large'])
const QUOTA = { name: 'calls', of: 'calls', amount: 1, per: 'minute' }

interface Scene {
  readonly proxy: RunningProxy
  readonly deployment: RunningDeployment
  readonly client: Http2Client
}

/** How a row of the table comes about. */
interface Row {
  readonly code: ErrorCode
  /** Of the call that meets it. */
  readonly fields?: GrpcFields | ((scene: Scene) => Promise<GrpcFields>)
  readonly host?: string
  readonly path?: string
  /** One message of so many octets. */
  readonly octets?: number
  /** Of tenant acme. */
  readonly acme?: Record<string, unknown>
  /** Of its deployment, in place of the one that there is. */
  readonly endpoint?: (t: Test, lab: ProxyLab) => Promise<string>
  readonly deployment?: Record<string, unknown>
  readonly config?: Record<string, unknown>
  readonly deps?: (t: Test, scene: () => Scene) => Promise<Parameters<typeof startProxy>[1]>
  /** What happens before. */
  readonly before?: (scene: Scene, lab: ProxyLab) => Promise<void>
}

/** A call that stays open, at the deployment. */
async function openCall({ client, deployment }: Scene): Promise<void> {
  const opened = deployment.application.opened()
  client.open({ method: 'POST', path: '/open', fields: { ...GRPC, ...KEY } })
  await opened
}

async function oneCall({ client }: Scene): Promise<void> {
  await client.call({ method: 'POST', path: '/report', fields: { ...GRPC, ...KEY } })
}

const bearer = (claims: Record<string, unknown>): GrpcFields => ({
  authorization: `Bearer ${token({ claims })}`,
})

async function closedPort(): Promise<string> {
  const [port] = await freePorts(1)
  return `h2c://127.0.0.1:${port}`
}

/** Says this to whoever says anything. */
async function saying(t: Test, text: string): Promise<number> {
  const sockets: net.Socket[] = []
  const server = net.createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => socket.write(text))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as net.AddressInfo).port
}

async function overHttp1(t: Test): Promise<string> {
  const deployment = await startDeployment(t, 'old', { version: 1 })
  return deployment.endpoint
}

function quotaAnswers(answer: object) {
  return (_t: Test, scene: () => Scene): Promise<Parameters<typeof startProxy>[1]> =>
    Promise.resolve({
      askQuota: (asks: readonly QuotaAsk[]) =>
        scene().proxy.worker.quotaAnswers(
          asks.map(
            ({ id }) =>
              ({ id, ...answer }) as Parameters<RunningProxy['worker']['quotaAnswers']>[0][0],
          ),
        ),
    })
}

const ROWS: readonly Row[] = [
  {
    code: 'tenant_draining',
    fields: KEY,
    before: async ({ proxy }) =>
      proxy.worker.drainTenant({ tenant: 'acme', callsMs: 60_000, tunnelsMs: 60_000 }),
  },
  { code: 'unroutable' },
  { code: 'credential_invalid', fields: { 'x-api-key': `${keyOf('acme').slice(0, -1)}!` } },
  { code: 'credential_expired', fields: bearer({ exp: NOW - 3_600 }) },
  { code: 'credential_ambiguous', fields: { 'x-api-key': [keyOf('acme'), keyOf('acme')] } },
  { code: 'credential_check_unavailable', fields: bearer({ iss: OTHER }) },
  { code: 'tenant_mismatch', fields: { 'x-api-key': keyOf('globex') }, host: 'acme.test' },
  { code: 'tenant_disabled', fields: KEY, acme: { disabled: true } },
  {
    code: 'loop_detected',
    fields: async ({ client }) => {
      const { body } = await client.call({ path: '/report', fields: KEY })
      const via = /"via","([^"]*)"/.exec(body.toString())?.[1] ?? ''
      return { ...KEY, via }
    },
  },
  {
    code: 'rate_limited',
    fields: KEY,
    acme: { limits: { requests: '1/m', burst: 1 } },
    before: oneCall,
  },
  {
    code: 'tenant_overloaded',
    fields: KEY,
    acme: { limits: { concurrency: 1 } },
    before: openCall,
  },
  {
    code: 'too_many_connections',
    fields: KEY,
    acme: { limits: { connections: 1 } },
    before: async ({ proxy }, lab) => {
      const other = await Http2Client.connect(proxy.port('public'))
      lab.closing(async () => other.close())
      await other.call({ path: '/report', fields: KEY })
    },
  },
  { code: 'body_too_large', fields: KEY, acme: { limits: { body: '10B' } }, octets: 1_000 },
  {
    code: 'quota_exhausted',
    fields: KEY,
    acme: { quotas: [QUOTA] },
    deps: quotaAnswers({
      granted: 0,
      remaining: 0,
      resetAt: Date.now() + 30_000,
      resetInMs: 30_000,
    }),
    before: async scene => {
      await oneCall(scene)
      await eventually(() => scene.proxy.totals().calls === 1)
    },
  },
  {
    code: 'quota_unavailable',
    fields: KEY,
    acme: { quotas: [QUOTA] },
    config: { mixer: { quotaFailure: 'closed' } },
    deps: quotaAnswers({ failed: 'away' }),
    before: oneCall,
  },
  { code: 'upstream_connect', fields: KEY, endpoint: closedPort },
  {
    code: 'upstream_unresolved',
    fields: KEY,
    endpoint: () => Promise.resolve('h2c://nowhere.test:80'),
    deps: async t => {
      const { address } = await dnsServer(t, {})
      return { lookup: new DnsLookup({ servers: [address], timeoutMs: 200 }) }
    },
  },
  {
    code: 'upstream_connect_timeout',
    fields: KEY,
    endpoint: async t => {
      const deployment = await fullBacklog()
      t.teardown(() => deployment.close())
      return `h2c://127.0.0.1:${deployment.port}`
    },
    config: { timeouts: { connect: '200ms' } },
  },
  {
    code: 'upstream_tls',
    fields: KEY,
    endpoint: async t => {
      const stranger = await TestAuthority.create(t)
      const certificate = await stranger.server(['127.0.0.1'], ['127.0.0.1'])
      return (await startDeployment(t, 'acme', { version: 2, certificate })).endpoint
    },
  },
  {
    code: 'upstream_queue_full',
    fields: KEY,
    endpoint: overHttp1,
    deployment: { maxConnections: 1, queue: { calls: 0 } },
    path: '/open',
    before: async ({ client }) => {
      client.open({ method: 'POST', path: '/open', fields: { ...GRPC, ...KEY } })
      await client.call({ path: '/report' })
    },
  },
  {
    code: 'upstream_queue_timeout',
    fields: KEY,
    endpoint: overHttp1,
    deployment: { maxConnections: 1, queue: { calls: 5, timeout: '100ms' } },
    path: '/open',
    before: async ({ client }) => {
      client.open({ method: 'POST', path: '/open', fields: { ...GRPC, ...KEY } })
      await client.call({ path: '/report' })
    },
  },
  {
    code: 'upstream_timeout',
    fields: KEY,
    path: '/open',
    config: { timeouts: { response: '200ms' } },
  },
  { code: 'upstream_reset', fields: KEY, path: '/reset/2' },
  {
    code: 'upstream_protocol',
    fields: KEY,
    endpoint: async t => `h2c://127.0.0.1:${await saying(t, 'HTTP/1.1 400 Bad Request\r\n\r\n')}`,
  },
  {
    code: 'upstream_malformed',
    fields: KEY,
    endpoint: async t => `http://127.0.0.1:${await saying(t, 'HTTP/1.1 nonsense\r\n\r\n')}`,
  },
  { code: 'unsafe_path', fields: KEY, path: '/a%2fb', config: { http1: { path: 'reject' } } },
  {
    code: 'target_too_long',
    fields: KEY,
    path: `/${'x'.repeat(2_000)}`,
    config: { http1: { maxTarget: '1KiB' } },
  },
  { code: 'unsupported_expectation', fields: { ...KEY, expect: 'wonders' } },
  { code: 'call_timeout', fields: KEY, path: '/open', config: { timeouts: { call: '200ms' } } },
  {
    code: 'journal_unavailable',
    fields: KEY,
    config: { mixer: { journalFailure: 'refuse' } },
    deps: () => {
      const disk = new FailingDisk()
      disk.room = 0
      return Promise.resolve({ disk, logger: new LogLines('worker').logger })
    },
    before: oneCall,
  },
]

/** Rows that are met elsewhere, that no call of gRPC meets, or that nobody is there to be told. */
const OTHERS: Readonly<Partial<Record<ErrorCode, string>>> = {
  malformed_request: 'the stream is reset',
  malformed_target: 'the stream is reset',
  malformed_field: 'the stream is reset',
  malformed_chunk: 'HTTP/1.1 alone',
  ambiguous_framing: 'HTTP/1.1 alone',
  invalid_host: 'the stream is reset',
  unsupported_version: 'HTTP/1.1 alone',
  unsupported_coding: 'HTTP/1.1 alone',
  unsupported_method: 'gRPC is POST',
  http2_invalid: 'the connection ends',
  http2_flood: 'the connection ends',
  proxy_protocol_invalid: 'there is no call',
  proxy_protocol_untrusted: 'there is no call',
  tls_handshake_failed: 'there is no call',
  head_too_large: 'answered with 431 before anything of the call is known',
  too_many_fields: 'as head_too_large',
  ping_timeout: 'the connection is cut',
  upgrade_unsupported: 'tunnels alone',
  trailers_too_large: 'the stream is reset',
  too_many_pipelined: 'HTTP/1.1 alone',
  chunk_extensions_too_large: 'HTTP/1.1 alone',
  header_timeout: 'there is no call',
  overloaded: 'test/integration/overload.test.ts',
  source_connections: 'there is no call',
  source_connection_rate: 'there is no call',
  source_handshakes: 'there is no call',
  source_handshake_rate: 'there is no call',
  source_credentials: 'tokens alone: test/integration/jwt-floods.test.ts',
  body_timeout: 'a test of its own below',
  body_too_slow: 'as body_timeout',
  read_too_slow: 'the stream is cut',
  idle_timeout: 'tunnels alone',
  client_closed: 'nobody is there',
  misdirected_request: 'a test of its own below',
  svid_invalid: 'as svid_untrusted',
  svid_untrusted: 'a test of its own below',
  draining: 'streams that come late are refused',
  internal_error: 'not to be brought about',
}

await test('there is a row for each error that a call can meet', t => {
  const known = new Set<string>([...ROWS.map(({ code }) => code), ...Object.keys(OTHERS)])
  for (const [code, { source }] of Object.entries(ERRORS))
    t.ok(known.has(code) || source === 'mixer' || NO_CALLS.has(code), code)
  t.end()
})

for (const row of ROWS) {
  const { grpc, title } = ERRORS[row.code]
  await test(`${row.code} is ${grpc}, ${status[grpc]}`, async t => {
    const lab = new ProxyLab()
    try {
      await meet(t, lab, row, { grpc, title })
    } finally {
      await lab.close(t)
    }
  })
}

async function meet(
  t: Test,
  lab: ProxyLab,
  row: Row,
  { grpc, title }: { grpc: number; title: string },
): Promise<void> {
  const { path = '/report', host = 'service.test', octets = 0 } = row
  const scene = await start(t, lab, row)
  await row.before?.(scene, lab)
  const fields = typeof row.fields === 'function' ? await row.fields(scene) : (row.fields ?? {})
  const calls = scene.deployment.application.calls

  const stream = scene.client.open({
    method: 'POST',
    path,
    host,
    fields: { ...GRPC, ...(fields as Record<string, string | readonly string[]>) },
  })
  const answer = answerOf(stream)
  stream.end(Buffer.alloc(5 + octets))
  const seen = grpcStatusOf(await answer)
  t.same(seen, { status: grpc, message: title, trailersOnly: true })

  const grpcClient = new GrpcClient(scene.proxy.port('public'), { authority: host })
  lab.closing(async () => grpcClient.close())
  const outcome = await grpcClient.at(path, Buffer.alloc(octets), fields)
  t.same([outcome.code, outcome.details], [grpc, title])
  if (ERRORS[row.code].source !== 'upstream' && !GETS_THERE.has(row.code))
    t.equal(scene.deployment.application.calls, calls, 'it did not get there')
  if (row.code !== 'call_timeout') t.ok(scene.proxy.rejected() + scene.proxy.totals().calls > 0)
}

async function start(t: Test, lab: ProxyLab, row: Row): Promise<Scene> {
  const deployment = await startDeployment(t, 'acme', { version: 2 })
  const [nowhere] = await freePorts(1)
  const folder = t.testdir({ 'jwks.json': JSON.stringify({ keys: [ec.jwk] }) })
  const endpoint = (await row.endpoint?.(t, lab)) ?? deployment.endpoint
  const at = (more = {}): Record<string, unknown> => ({
    deployment: { endpoints: [endpoint], ...more },
  })
  const made: { scene?: Scene } = {}
  const sceneOf = (): Scene => made.scene as Scene
  const proxy = await lab.proxy(
    {
      authentication: {
        jwt: [
          { issuer: ISSUER, audiences: ['orders'], jwks: `${folder}/jwks.json` },
          { issuer: OTHER, audiences: ['orders'], jwks: `http://127.0.0.1:${nowhere}/jwks` },
        ],
      },
      tenants: [
        tenant('acme', deployment, { ...at(row.deployment), ...row.acme }),
        tenant('globex', deployment, at()),
      ],
      ...row.config,
    },
    await row.deps?.(t, sceneOf),
  )
  const client = await Http2Client.connect(proxy.port('public'))
  lab.closing(async () => client.close())
  made.scene = { proxy, deployment, client }
  return made.scene
}

await test('a message that stops arriving', async t => {
  const lab = new ProxyLab()
  const row: Row = { code: 'body_timeout', config: { timeouts: { body: '200ms' } } }
  const { client } = await start(t, lab, row)
  const stream = client.open({ method: 'POST', path: '/report', fields: { ...GRPC, ...KEY } })
  const answer = answerOf(stream)
  stream.write(Buffer.of(0, 0, 0, 0, 9, 1))
  const seen = grpcStatusOf(await answer)
  t.same([seen.status, seen.trailersOnly], [ERRORS.body_timeout.grpc, true])
  await lab.close(t)
})

await test('over TLS: a name of another tenant, and a certificate of nobody', async t => {
  const lab = new ProxyLab()
  const ca = await TestAuthority.create(t)
  const names = ['service.test', 'acme.test', 'globex.test']
  const { certPath: cert, keyPath: key } = await ca.server(names, ['127.0.0.1'])
  const tls = {
    certificates: [{ cert, key }],
    clientCertificate: 'optional',
    clientCa: ca.certPath,
  }
  const { proxy } = await start(t, lab, {
    code: 'misdirected_request',
    config: {
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0' },
        { name: 'tls', mode: 'shared', address: '127.0.0.1:0', tls },
      ],
      authentication: { spiffe: { trustDomain: 'other.example' } },
    },
  })
  const ask = async (options: object, host: string): Promise<object> => {
    const client = await Http2Client.connect(proxy.port('tls'), { ca: ca.cert, ...options })
    lab.closing(async () => client.close())
    return grpcStatusOf(await client.call({ method: 'POST', path: '/report', host, fields: GRPC }))
  }
  const refusal = (code: ErrorCode): object => ({
    status: ERRORS[code].grpc,
    message: ERRORS[code].title,
    trailersOnly: true,
  })
  t.same(await ask({ servername: 'acme.test' }, 'globex.test'), refusal('misdirected_request'))
  const { cert: own, key: ownKey } = await ca.tenant('acme')
  const stranger = { servername: 'service.test', cert: own, key: ownKey }
  t.same(await ask(stranger, 'service.test'), refusal('svid_untrusted'))
  await lab.close(t)
})
