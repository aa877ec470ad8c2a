/** Who calls, by the certificate of the workload; and the mixer over TLS. */
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect as connectOverTls, type TLSSocket } from 'node:tls'
import { type Test, t } from 'tap'
import { followTlsFiles, readTlsFiles } from '../../src/mixer/http/tls-files.ts'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { TestAuthority } from '../support/certificates.ts'
import { authority, type CertificateParts, svid, uri } from '../support/custom-certificate.ts'
import { startDeployment } from '../support/identity/deployment.ts'
import { lies } from '../support/identity/lies.ts'
import { register } from '../support/identity/register.ts'
import { LogLines } from '../support/log-lines.ts'
import { tenant } from '../support/registry/registrations.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

t.setTimeout(120_000)

const DAY_MS = 86_400_000
const AS_ACME = { tenant: 'acme', deployment: 'notes/acme', recoveredBy: 'certificate' }
const NOBODY = { type: 'about:amt/unidentified_source', status: 403 }

function spiffe(id: string): { spiffe: string[] } {
  return { spiffe: [`spiffe://example.org/tenant/${id}`] }
}

async function lab(t: Test, now?: () => number) {
  const ours = await TestAuthority.create(t)
  const workloads = await TestAuthority.create(t)
  const { certPath: cert, keyPath: key } = await ours.server(['localhost'], ['127.0.0.1'])
  const mixer = await startMixer(t, {
    tls: { cert, key, clientCa: workloads.certPath },
    ...(now === undefined ? {} : { now }),
  })
  const common = { url: `${mixer.url}/v1/whoami`, ca: ours.certPath }
  const withCertificate = async (id: string, authority = workloads) => {
    const issued = await authority.tenant(id)
    return { ...common, cert: issued.certPath, key: issued.keyPath }
  }
  return {
    ours,
    workloads,
    mixer,
    common,
    withCertificate,
    access: { url: mixer.url, ca: ours.certPath },
  }
}

await t.test('a workload is known by the SPIFFE id in its certificate', async t => {
  const { mixer, access, common, withCertificate, ours } = await lab(t)
  await register(access, [tenant('acme', spiffe('acme')), tenant('beta', spiffe('beta'))])
  const asAcme = await withCertificate('acme')
  const caller = await startDeployment(t)
  t.same(await caller.call(asAcme), { status: 200, body: AS_ACME })
  for (const { name, headers, query = '' } of lies('beta'))
    t.same(
      await caller.call({ ...asAcme, headers, url: common.url + query }),
      { status: 200, body: AS_ACME },
      name,
    )

  const refused = async (name: string, call: Parameters<typeof caller.call>[0]): Promise<void> => {
    const another = await startDeployment(t)
    t.match(await another.call(call), { status: 403, body: NOBODY }, name)
    await another.stop()
  }
  await refused('no certificate', common)
  await refused('an id that nobody has', await withCertificate('gamma'))
  await refused('a certificate of another authority', await withCertificate('acme', ours))
  t.match(mixer.log(), /"reason":"certificate_invalid"/)
  t.notMatch(mixer.log(), /PRIVATE KEY/)
})

await t.test('a certificate with an id that is no X.509-SVID is worth nothing', async t => {
  const ca = await authority('workloads')
  const ours = await TestAuthority.create(t)
  const { certPath: cert, keyPath: key } = await ours.server(['localhost'], ['127.0.0.1'])
  const folder = mkdtempSync(join(tmpdir(), 'amt-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'ca.crt'), ca.cert)
  const mixer = await startMixer(t, { tls: { cert, key, clientCa: join(folder, 'ca.crt') } })
  await register({ url: mixer.url, ca: ours.certPath }, [tenant('acme', spiffe('acme'))])
  const id = 'spiffe://example.org/tenant/acme'
  const call = async (parts: CertificateParts): Promise<unknown> => {
    const issued = await svid(id, ca, parts)
    const files = { cert: join(folder, 'leaf.crt'), key: join(folder, 'leaf.key') }
    writeFileSync(files.cert, issued.cert)
    writeFileSync(files.key, issued.key)
    const caller = await startDeployment(t)
    const answer = await caller.call({ url: `${mixer.url}/v1/whoami`, ca: ours.certPath, ...files })
    await caller.stop()
    return answer
  }
  t.match(await call({}), { status: 200, body: AS_ACME })
  for (const parts of [
    { altNames: [uri(id), uri(id)] },
    { altNames: [uri(`${id}/`)] },
    { keyUsage: 'absent' },
  ] satisfies CertificateParts[])
    t.match(await call(parts), { status: 403, body: NOBODY })
  t.match(mixer.log(), /"reason":"certificate_invalid"/)
})

await t.test('a certificate that has expired is worth nothing', async t => {
  const { mixer, access, withCertificate } = await lab(t, () => Date.now() + 400 * DAY_MS)
  await register(access, [tenant('acme', spiffe('acme'))])
  const caller = await startDeployment(t)
  t.match(await caller.call(await withCertificate('acme')), { status: 403, body: NOBODY })
  t.match(mixer.log(), /"reason":"certificate_invalid"/)
})

await t.test('certificate and process must not contradict each other', async t => {
  const { mixer, access, common, withCertificate } = await lab(t)
  const process = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  const endpoints = [`http://127.0.0.1:${process.ports[0]}`]
  const asAcme = await withCertificate('acme')

  await register(access, [tenant('acme', { ...spiffe('acme'), endpoints })])
  t.match(await process.call(asAcme), { status: 200, body: AS_ACME }, 'both say the same')

  const other = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  await register(access, [
    tenant('acme', spiffe('acme')),
    tenant('beta', { endpoints: [`http://127.0.0.1:${other.ports[0]}`] }),
  ])
  t.match(
    await other.call(asAcme),
    { status: 403, body: NOBODY },
    "acme's certificate, beta's process",
  )
  t.match(mixer.log(), /"reason":"conflict"/)

  const third = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  const ofThird = [`http://127.0.0.1:${third.ports[0]}`]
  const asStranger = await withCertificate('stranger')
  await register(access, [tenant('acme', { ...spiffe('acme'), endpoints: ofThird })])
  t.match(await third.call(asStranger), { status: 403, body: NOBODY }, 'another id than its own')
  await register(access, [tenant('acme', { endpoints: ofThird })])
  t.match(await third.call(asStranger), { body: { recoveredBy: 'process' } }, 'it has none')
  const without = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  await register(access, [
    tenant('acme', { ...spiffe('acme'), endpoints: [`http://127.0.0.1:${without.ports[0]}`] }),
  ])
  t.match(await without.call(common), { body: { recoveredBy: 'process' } }, 'it shows none')
})

await t.test('one id of two deployments shows neither', async t => {
  const { access, withCertificate } = await lab(t)
  await register(access, [tenant('acme', spiffe('acme')), tenant('beta', spiffe('acme'))])
  const caller = await startDeployment(t)
  t.match(await caller.call(await withCertificate('acme')), { status: 403, body: NOBODY })
})

await t.test('proxies and operators reach the mixer over TLS, and verify it', async t => {
  const { mixer, access } = await lab(t)
  const client = createMixerClient({ ...access, token: TOKEN })
  t.match(await client.usage({}), { ok: true })
  const blind = createMixerClient({ url: mixer.url, token: TOKEN })
  t.match(await blind.usage({}), { ok: false, reason: 'unreachable', detail: /certificate/ })
  await Promise.all([client.close(), blind.close()])
})

await t.test('what speaks no TLS is closed, and the mixer goes on', async t => {
  const { mixer, access } = await lab(t)
  for (const bytes of [
    'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n',
    '\x16\x03\x01\x00\x05hello',
    '\x00'.repeat(100),
  ]) {
    const socket = connect(mixer.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.end(bytes)
    t.notMatch(await text(socket).catch(() => ''), /HTTP\/1\.1 200/)
  }
  const client = createMixerClient({ ...access, token: TOKEN })
  t.match(await client.usage({}), { ok: true })
  await client.close()
})

await t.test('a certificate that is replaced is used from then on', async t => {
  const authority = await TestAuthority.create(t)
  const [first, second] = [await authority.server(['first']), await authority.server(['second'])]
  const folder = t.testdir({})
  const files = { cert: join(folder, 'mixer.crt'), key: join(folder, 'mixer.key') }
  copyFileSync(first.certPath, files.cert)
  copyFileSync(first.keyPath, files.key)
  const current = readTlsFiles(files)
  const server = createServer(current).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const log = new LogLines()
  const stop = followTlsFiles(server, { files, current, logger: log.logger, lookMs: 5 })
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => {
    stop()
    clearInterval(alive)
    server.close()
  })
  const names = async (): Promise<string | undefined> => {
    const { port } = server.address() as AddressInfo
    const socket: TLSSocket = connectOverTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const name = socket.getPeerX509Certificate()?.subjectAltName
    socket.destroy()
    return name
  }
  t.equal(await names(), 'DNS:first')
  copyFileSync(second.certPath, files.cert)
  await log.first('the new certificate cannot be used; the old one is')
  t.equal(await names(), 'DNS:first', 'while certificate and key do not fit')
  copyFileSync(second.keyPath, files.key)
  await log.first('the certificate of the mixer has changed')
  t.equal(await names(), 'DNS:second')
})
