/** Certificates, authorities and session tickets of a whole proxy: changed while it runs, the same in all of its workers. */
import { once } from 'node:events'
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'
import { t as file, type Test, test } from 'tap'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { certificateDigest } from '../../src/runtime/certificates/issue.ts'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { OpensslAuthority, WITHOUT_OPENSSL } from '../support/openssl-authority.ts'
import type { Program } from '../support/program.ts'
import { FIT_FOR_TESTS, launchPart, MIXER, readUntil, readyLine } from '../support/running-amt.ts'
import { visit } from '../support/tls-visit.ts'

// Nine proxies, one after the other.
file.setTimeout(300_000)

const IN_USE = 'changed TLS files are in use'
const REFUSED = 'changed TLS files cannot be used; the former ones stay'
const ACME_ID = 'spiffe://example.org/tenant/acme'

interface Proxy {
  readonly folder: string
  readonly port: number
  readonly admin: string
  readonly program: Program
  /** Writes the configuration with these settings of TLS; it is not reloaded by that. */
  readonly configure: (settings: Record<string, unknown>) => void
  readonly metrics: () => Promise<string>
}

function config(tlsSettings: Record<string, unknown>): Record<string, unknown> {
  const listener = {
    name: 'public',
    mode: 'shared',
    address: '127.0.0.1:0',
    protocol: 'http',
    tls: tlsSettings,
  }
  return {
    ...FIT_FOR_TESTS,
    listeners: [listener],
    authentication: { spiffe: { trustDomain: 'example.org' } },
    tenants: [
      {
        id: 'acme',
        credentials: [{ spiffe: ACME_ID }],
        deployment: { endpoints: ['http://127.0.0.1:9'] },
      },
    ],
    mixer: { ...MIXER, url: 'http://127.0.0.1:9' },
  }
}

async function start(t: Test, folder: string, settings: Record<string, unknown>): Promise<Proxy> {
  const program = await launchPart(t, 'proxy', folder, config(settings))
  const ready = await readyLine(program)
  const [bound] = ready.bound as readonly BoundAddress[]
  const admin = `http://${String(ready.admin)}`
  return {
    folder,
    port: Number(bound?.address.split(':')[1]),
    admin,
    program,
    configure: next => writeFileSync(join(folder, 'proxy.yaml'), JSON.stringify(config(next))),
    metrics: async () => (await fetch(`${admin}/metrics`)).text(),
  }
}

/** Files `server.crt` and `server.key` in a folder of the test. */
function folderWith(
  t: Test,
  { cert, key }: { readonly cert: string; readonly key: string },
): string {
  return t.testdir({ 'server.crt': cert, 'server.key': key })
}

const SERVER = { certificates: [{ cert: 'server.crt', key: 'server.key' }] } as const

function replace(folder: string, name: string, text: string): void {
  writeFileSync(join(folder, `${name}.new`), text)
  renameSync(join(folder, `${name}.new`), join(folder, name))
}

async function served({ port }: Proxy, ca: TestAuthority): Promise<string> {
  const seen = await visit(port, { ca: ca.cert })
  return seen.serverCertificate && certificateDigest(seen.serverCertificate)
}

/** The first line with this text from now on. */
async function nextLine({ lines }: Program, text: string): Promise<string> {
  const from = lines.length
  const look = async (): Promise<string | undefined> =>
    lines.slice(from).find(line => line.includes(text))
  return (await readUntil(look, found => found !== undefined)) ?? 'no such line'
}

/** As many visits as it takes to have been at both workers, almost surely. */
const MANY = 8

await test('a certificate that is replaced serves new handshakes; connections that are open live on', async t => {
  const ca = await TestAuthority.create(t)
  const [first, second] = [await ca.server(['acme.test']), await ca.server(['acme.test'])]
  const proxy = await start(t, folderWith(t, first), SERVER)
  const open = tls.connect({
    port: proxy.port,
    host: '127.0.0.1',
    ca: ca.cert,
    servername: 'acme.test',
  })
  await once(open, 'secureConnect')
  const used = nextLine(proxy.program, IN_USE)
  replace(proxy.folder, 'server.crt', second.cert)
  replace(proxy.folder, 'server.key', second.key)
  await used
  for (let count = 0; count < MANY; count++)
    t.equal(await served(proxy, ca), certificateDigest(second.cert))
  open.write('GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n')
  const [answer] = (await once(open, 'data')) as [Buffer]
  t.match(String(answer), /^HTTP\/1\.1 401/, 'the one from before is served')
  open.destroy()
})

await test('a certificate without its key changes nothing until the key is there', async t => {
  const ca = await TestAuthority.create(t)
  const [first, second] = [await ca.server(['acme.test']), await ca.server(['acme.test'])]
  const proxy = await start(t, folderWith(t, first), SERVER)
  const refused = nextLine(proxy.program, REFUSED)
  replace(proxy.folder, 'server.crt', second.cert)
  t.match(await refused, 'server.crt and')
  t.equal(await served(proxy, ca), certificateDigest(first.cert))
  t.match(await proxy.metrics(), /^amt_certificate_errors_total\{listener="public"\} 1$/m)
  const used = nextLine(proxy.program, IN_USE)
  replace(proxy.folder, 'server.key', second.key)
  await used
  await readUntil(
    async () => served(proxy, ca),
    seen => seen === certificateDigest(second.cert),
  )
  t.equal(await served(proxy, ca), certificateDigest(second.cert))
})

await test('files that are no certificates, or half of one, keep the former ones', async t => {
  const ca = await TestAuthority.create(t)
  const server = await ca.server(['acme.test'])
  const proxy = await start(t, folderWith(t, server), SERVER)
  for (const text of ['', 'nonsense', server.cert.slice(0, 300)]) {
    const refused = nextLine(proxy.program, REFUSED)
    replace(proxy.folder, 'server.crt', text)
    await refused
    t.equal(await served(proxy, ca), certificateDigest(server.cert))
  }
})

await test('a mounted secret of Kubernetes is followed when its link turns', async t => {
  const ca = await TestAuthority.create(t)
  const [first, second] = [await ca.server(['acme.test']), await ca.server(['acme.test'])]
  const folder = t.testdir({})
  const fill = (name: string, { cert, key }: CertificateFiles): void => {
    mkdirSync(join(folder, name))
    writeFileSync(join(folder, name, 'server.crt'), cert)
    writeFileSync(join(folder, name, 'server.key'), key)
  }
  fill('..one', first)
  symlinkSync('..one', join(folder, '..data'))
  for (const name of ['server.crt', 'server.key'])
    symlinkSync(join('..data', name), join(folder, name))
  const proxy = await start(t, folder, SERVER)
  t.equal(await served(proxy, ca), certificateDigest(first.cert))
  fill('..two', second)
  const used = nextLine(proxy.program, IN_USE)
  symlinkSync('..two', join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  await used
  await readUntil(
    async () => served(proxy, ca),
    seen => seen === certificateDigest(second.cert),
  )
  t.equal(await served(proxy, ca), certificateDigest(second.cert))
})

await test('POST /reload and SIGHUP take other certificates and authorities; the address stays for a restart', async t => {
  const [ca, other] = [await TestAuthority.create(t), await TestAuthority.create(t)]
  const [first, second] = [await ca.server(['acme.test']), await ca.server(['acme.test'])]
  const proxy = await start(t, folderWith(t, first), SERVER)
  const certificates = [{ cert: second.certPath, key: second.keyPath }]
  const required = { clientCertificate: 'required', clientCa: [ca.certPath] }
  proxy.configure({ certificates, ...required })
  const answer = await fetch(`${proxy.admin}/reload`, { method: 'POST' })
  t.same(await answer.json(), { generation: 2, changed: true })
  const { cert, key } = await ca.tenant('acme')
  const known = { ca: ca.cert, cert, key }
  for (let count = 0; count < MANY; count++) {
    const seen = await visit(proxy.port, known)
    t.equal(certificateDigest(seen.serverCertificate), certificateDigest(second.cert))
    t.match(
      seen.text,
      /^HTTP\/1\.1 50[23]/,
      'it is routed to the tenant, whose deployment is not there',
    )
    t.equal((await visit(proxy.port, { ca: ca.cert })).text, '')
  }
  proxy.configure({ certificates, ...required, clientCa: [other.certPath] })
  const used = nextLine(proxy.program, IN_USE)
  process.kill(proxy.program.pid as number, 'SIGHUP')
  await used
  t.equal((await visit(proxy.port, known)).text, '', 'its authority is gone')
  proxy.configure({ certificates: [{ cert: 'not-there.crt', key: 'server.key' }] })
  const refused = await fetch(`${proxy.admin}/reload`, { method: 'POST' })
  t.equal(refused.status, 422)
  t.equal(
    (await visit(proxy.port, { ca: ca.cert })).text,
    '',
    'and a certificate is still required',
  )
})

await test('a certificate that cannot be used ends the start with 2', async t => {
  const ca = await TestAuthority.create(t)
  const [first, second] = [await ca.server(['acme.test']), await ca.server(['acme.test'])]
  const folder = t.testdir({ 'server.crt': first.cert, 'server.key': second.key })
  await t.rejects(start(t, folder, SERVER), /key values mismatch|cannot be used/)
})

await test('session tickets are those of all workers, also of one that replaces another', async t => {
  const ca = await TestAuthority.create(t)
  const proxy = await start(t, folderWith(t, await ca.server(['acme.test'])), SERVER)
  let { session } = await visit(proxy.port, { ca: ca.cert })
  const comeBack = async (what: string): Promise<void> => {
    for (let count = 0; count < MANY; count++) {
      const seen = await visit(proxy.port, { ca: ca.cert, session })
      t.ok(seen.resumed, what)
      t.ok(seen.session, 'and gives another ticket')
      session = seen.session ?? session
    }
  }
  await comeBack('whichever of the two it was')
  const replaced = nextLine(proxy.program, 'worker died and is replaced')
  const [worker] = childrenOf(proxy.program.pid as number)
  process.kill(worker as number, 'SIGKILL')
  await replaced
  await readUntil(
    async () =>
      (await (await fetch(`${proxy.admin}/readyz`)).json()) as { workers: { ready: number } },
    ({ workers }) => workers.ready === 2,
  )
  await comeBack('the new one among them')
  const text = await readUntil(proxy.metrics, found => /session="resumed"\} [1-9]/.test(found))
  t.match(text, /^amt_tls_handshakes_total\{listener="public",session="resumed"\} \d+$/m)
})

await test('the key of the tickets changes in all workers, and the one before is still taken', async t => {
  const ca = await TestAuthority.create(t)
  const settings = { ...SERVER, tickets: { rotate: '2s' } }
  const proxy = await start(t, folderWith(t, await ca.server(['acme.test'])), settings)
  const { session } = await visit(proxy.port, { ca: ca.cert })
  t.ok((await visit(proxy.port, { ca: ca.cert, session })).resumed)
  // Two changes later nobody takes it any more; how long that takes is for the timers.
  const last = await readUntil(
    async () => (await visit(proxy.port, { ca: ca.cert, session })).resumed,
    resumed => !resumed,
  )
  t.notOk(last)
  const { session: next } = await visit(proxy.port, { ca: ca.cert })
  t.ok((await visit(proxy.port, { ca: ca.cert, session: next })).resumed)
})

await test('a revocation list that is replaced keeps the revoked one out, also by its ticket', async t => {
  if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
  const ca = OpensslAuthority.root(t)
  const folder = folderWith(t, ca.server(['acme.test']))
  writeFileSync(join(folder, 'ca.crt'), ca.cert)
  replace(folder, 'ca.crl', readFileSync(ca.revocationList([]), 'utf8'))
  const client = ca.client('acme', `subjectAltName=URI:${ACME_ID}\nextendedKeyUsage=clientAuth`)
  const proxy = await start(t, folder, {
    ...SERVER,
    clientCertificate: 'optional',
    clientCa: 'ca.crt',
    crl: ['ca.crl'],
  })
  const options = { ca: ca.cert, cert: client.cert, key: client.key }
  const { session } = await visit(proxy.port, options)
  t.ok((await visit(proxy.port, { ...options, session })).resumed)
  const used = nextLine(proxy.program, IN_USE)
  replace(folder, 'ca.crl', readFileSync(ca.revocationList([client]), 'utf8'))
  await used
  const seen = await readUntil(
    async () => visit(proxy.port, { ...options, session }),
    ({ text }) => text === '',
  )
  t.equal(seen.text, '')
  const text = await readUntil(proxy.metrics, found => found.includes('certificate_revoked'))
  t.match(
    text,
    /^amt_tls_handshake_failures_total\{reason="certificate_revoked",listener="public"\} [1-9]/m,
  )
  t.match(
    text,
    /^amt_certificate_expiry_seconds\{listener="public",kind="revocation_list",name="CN=root",serial=""\} \d+$/m,
  )
})

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
}
