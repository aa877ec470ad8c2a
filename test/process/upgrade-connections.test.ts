/** What is open when `amt proxy --upgrade` is run, by kind: sessions of TLS, HTTP/2, calls of gRPC, tunnels. */
import { once } from 'node:events'
import { status } from '@grpc/grpc-js'
import { t as root, type Test, test } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import { GrpcClient } from '../support/grpc/client.ts'
import { type GrpcDeployment, startGrpc } from '../support/grpc/service.ts'
import { FramePeer } from '../support/http2/frame-peer.ts'
import { outcomeOf, request } from '../support/http2/http2-lab.ts'
import { keyOf, tenant } from '../support/proxy-lab.ts'
import { readUntil } from '../support/running-amt.ts'
import { visit } from '../support/tls-visit.ts'
import { Application, EchoTunnel } from '../support/upgrade-lab.ts'
import { admin, ended, type UpgradeWorld, upgradeWorld } from '../support/upgrade-world.ts'

root.setTimeout(600_000)

const KEY = [['x-api-key', keyOf('acme')]] as const
const HEAD = `host: acme.test\r\nx-api-key: ${keyOf('acme')}\r\n`
const CALL = `GET / HTTP/1.1\r\n${HEAD}connection: close\r\n\r\n`
const NO_ERROR = 0
const LAST_STREAM = 2 ** 31 - 1
const LONG_MS = 60_000

interface SecureWorld extends UpgradeWorld {
  readonly ca: string
  readonly grpc: GrpcDeployment
  /** A connection with `h2` by ALPN. */
  readonly http2: () => Promise<FramePeer>
}

/** The listener speaks TLS; `acme` is the application, `globex` a service of gRPC. */
async function secureWorld(t: Test): Promise<SecureWorld> {
  const authority = await TestAuthority.create(t)
  const { certPath, keyPath } = await authority.server(['acme.test', 'globex.test'])
  const grpc = await startGrpc(t, 'globex')
  const application = await Application.start(t)
  const tls = { certificates: [{ cert: certPath, key: keyPath }] }
  const lab = await upgradeWorld(t, {
    application,
    settings: {
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', tls }],
      // A PING that is left unanswered here must not be the end of a round trip.
      http2: { pingTimeout: '60s' },
      tenants: [
        tenant('acme', application),
        tenant('globex', grpc, { deployment: { endpoints: [grpc.endpoint] } }),
      ],
    },
  })
  const ca = authority.cert
  const http2 = async (): Promise<FramePeer> => {
    const secure = { ca, servername: 'acme.test' }
    const peer = await FramePeer.connect({ host: '127.0.0.1', port: lab.port, tls: secure })
    t.teardown(() => peer.abort('end'))
    return peer
  }
  return { ...lab, ca, grpc, http2 }
}

async function upgraded(t: Test, lab: UpgradeWorld): Promise<number> {
  const before = lab.pid()
  const { code, stderr } = await lab.upgrade()
  t.equal(code, 0, stderr)
  await readUntil(
    async () => lab.pid(),
    pid => pid !== before,
    LONG_MS,
  )
  return before
}

/** Connections of `acme` that the version in charge has. */
async function connectionsOf(lab: UpgradeWorld): Promise<readonly { protocol: string }[]> {
  const answer = await admin(lab, '/connections?tenant=acme')
  return ((await answer.json()) as { connections: { protocol: string }[] }).connections
}

await test('a TLS session of before is resumed by the new version, and by the one after it', async t => {
  const lab = await secureWorld(t)
  const versions = ['TLSv1.2', 'TLSv1.3'] as const
  const come = async (version: (typeof versions)[number], session?: Buffer) =>
    visit(lab.port, {
      call: CALL,
      ca: lab.ca,
      session,
      minVersion: version,
      maxVersion: version,
    })
  const made = await Promise.all(versions.map(async version => come(version)))
  for (const time of ['once', 'twice']) {
    await upgraded(t, lab)
    for (const [index, version] of versions.entries()) {
      const session = made[index]?.session
      t.ok(session, 'a ticket came')
      const again = await come(version, session)
      t.ok(again.resumed, `${version}, upgraded ${time}`)
      t.equal(again.protocol, version)
      t.match(again.text, /^HTTP\/1\.1 200/)
    }
  }
})

await test('HTTP/2 over TLS: GOAWAY in two steps, streams under way end where they are, new connections are those of the new version', async t => {
  const lab = await secureWorld(t)
  const { application } = lab
  const client = await lab.http2()
  client.answersPings = false
  const under = request(client, { path: '/slow', more: KEY })
  await readUntil(
    async () => application.slowOnes,
    count => count === 1,
  )
  const old = await upgraded(t, lab)
  await client.until(() => client.goneAways.length > 0 && client.heldPings.length > 0)
  t.same(client.goneAways, [{ lastStreamId: LAST_STREAM, code: NO_ERROR }])
  const onItsWay = request(client, { path: '/slow', more: KEY })
  await readUntil(
    async () => application.slowOnes,
    count => count === 2,
  )
  t.equal(client.goneAways.length, 1, 'the round trip is not over')

  const count = 12
  const others = await Promise.all(Array.from({ length: count }, lab.http2))
  for (const other of others)
    t.equal(await outcomeOf(request(other, { path: '/', more: KEY })), '200 ok')
  t.equal(others.filter(({ goneAways }) => goneAways.length > 0).length, 0)
  const theirs = await connectionsOf(lab)
  t.equal(theirs.length, count, 'all of them, and not the one of before')
  t.ok(theirs.every(({ protocol }) => protocol === 'h2'))

  client.answerPings()
  await client.until(() => client.goneAways.length > 1)
  t.same(client.goneAways[1], { lastStreamId: onItsWay.id, code: NO_ERROR })
  t.notOk(client.over, 'streams are under way')
  application.answerSlow()
  t.equal(await outcomeOf(under), '200 slow')
  t.equal(await outcomeOf(onItsWay), '200 slow')
  await client.until(() => client.over)
  t.equal((await ended(lab, old)).exitCode, 0)
  const calls = count + 2
  t.equal(application.calls, calls)
  t.equal(await readUntil(lab.ledger, found => found >= calls), calls)
})

await test('a streaming call of gRPC goes on in the old version while the same client calls the new one', async t => {
  const lab = await secureWorld(t)
  const client = new GrpcClient(lab.port, { ca: lab.ca, authority: 'globex.test' })
  t.teardown(() => client.close())
  const fields = { 'x-api-key': keyOf('globex') }
  const { stream, outcome } = client.chat(fields)
  const say = async (text: string): Promise<void> => {
    const echo = once(stream, 'data')
    stream.write(Buffer.from(text))
    t.equal(String((await echo)[0]), text)
  }
  await say('before')
  const old = await upgraded(t, lab)
  await say('after')
  for (let call = 0; call < 3; call += 1) {
    const { code, messages } = await client.unary('new', fields)
    t.equal(code, status.OK)
    t.equal(String(messages[0]), 'new')
  }
  await say('still')
  stream.end()
  const { code, messages } = await outcome
  t.equal(code, status.OK)
  t.same(messages.map(String), ['before', 'after', 'still'])
  t.equal((await ended(lab, old)).exitCode, 0)
  t.equal(await readUntil(lab.ledger, found => found >= 4), 4)
})

await test('a tunnel goes on for drain.tunnels, longer than a call may, and not longer', async t => {
  const tunnelsMs = 6_000
  const lab = await upgradeWorld(t, {
    settings: { timeouts: { drain: '1s' }, drain: { tunnels: `${tunnelsMs}ms` } },
  })
  const tunnel = await EchoTunnel.open(t, lab.port, HEAD)
  await tunnel.echo('before')
  const { code, stderr } = await lab.upgrade()
  t.equal(code, 0, stderr)
  const since = performance.now()
  let echoes = 0
  // By the clock: it is about how long it goes on.
  while (performance.now() - since < tunnelsMs / 2) {
    await tunnel.echo(`echo ${(echoes += 1)}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.ok(echoes > 0, `${echoes} echoes behind the time of calls`)
  await tunnel.ended
  const tookMs = performance.now() - since
  t.ok(tookMs > tunnelsMs - 1_500, `ended after ${Math.round(tookMs)} ms`)
  t.ok(tookMs < tunnelsMs + LONG_MS / 4, `ended after ${Math.round(tookMs)} ms`)
  const next = await EchoTunnel.open(t, lab.port, HEAD)
  await next.echo('the new version has tunnels of its own')
  next.end()
})
