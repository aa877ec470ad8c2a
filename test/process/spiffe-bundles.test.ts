/** The authorities of trust domains in a whole proxy: their files are followed while it runs, in all of its workers. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t as file, type Test, test } from 'tap'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { TestAuthority } from '../support/certificates.ts'
import { authority, type Issued, svid } from '../support/custom-certificate.ts'
import { FIT_FOR_TESTS, launchPart, MIXER, readUntil, readyLine } from '../support/running-amt.ts'
import { visit } from '../support/tls-visit.ts'

file.setTimeout(120_000)

const IN_USE = 'changed TLS files are in use'
const REFUSED = 'changed TLS files cannot be used; the former ones stay'
const [rootA, rootB, newB] = await Promise.all([authority('A'), authority('B'), authority('B')])
const ID_A = 'spiffe://a.example/x'
const ID_B = 'spiffe://b.example/x'

interface Proxy {
  /** Writes a bundle; resolves with the line of the log that says what became of it. */
  readonly replace: (name: string, text: string, outcome: string) => Promise<string>
  /** How often each answer came from all workers: its status, or `closed`. */
  readonly answers: (leaf: Issued) => Promise<readonly string[]>
}

async function start(t: Test): Promise<Proxy> {
  const ca = await TestAuthority.create(t)
  const server = await ca.server(['acme.test'])
  const folder = t.testdir({ 'a.crt': rootA.cert, 'b.crt': rootB.cert })
  const trustDomains = ['a', 'b'].map(name => ({ name: `${name}.example`, ca: `${name}.crt` }))
  const tls = {
    certificates: [{ cert: server.certPath, key: server.keyPath }],
    clientCertificate: 'required',
  }
  const program = await launchPart(t, 'proxy', folder, {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http', tls }],
    authentication: { spiffe: { trustDomains } },
    tenants: [
      {
        id: 'acme',
        credentials: [{ spiffe: 'spiffe://a.example/*' }, { spiffe: 'spiffe://b.example/*' }],
        deployment: { endpoints: ['http://127.0.0.1:9'] },
      },
    ],
    mixer: { ...MIXER, url: 'http://127.0.0.1:9' },
  })
  const [bound] = (await readyLine(program)).bound as readonly BoundAddress[]
  const port = Number(bound?.address.split(':')[1])
  return {
    async replace(name, text, outcome) {
      const from = program.lines.length
      writeFileSync(join(folder, 'new'), text)
      renameSync(join(folder, 'new'), join(folder, name))
      const look = async (): Promise<string | undefined> =>
        program.lines.slice(from).find(line => line.includes(outcome))
      return (await readUntil(look, found => found !== undefined)) ?? 'no such line'
    },
    async answers({ cert, key }) {
      const seen = new Set<string>()
      // Enough of them to have been at both workers, almost surely.
      for (let count = 0; count < 10; count++) {
        const { text } = await visit(port, { ca: ca.cert, cert, key })
        seen.add(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 'closed')
      }
      return [...seen]
    },
  }
}

/** Routed: there is no deployment that could answer. */
const ROUTED = ['503']

await test('an authority that is replaced counts for new handshakes, and the former one no more', async t => {
  const proxy = await start(t)
  const [ofA, ofB, ofNewB] = [
    await svid(ID_A, rootA),
    await svid(ID_B, rootB),
    await svid(ID_B, newB),
  ]
  t.same(await proxy.answers(ofB), ROUTED)
  t.same(await proxy.answers(ofNewB), ['closed'], 'nobody knows that authority yet')
  t.match(await proxy.replace('b.crt', `${rootB.cert}${newB.cert}`, IN_USE), IN_USE)
  // The workers are told one after the other.
  await readUntil(
    async () => proxy.answers(ofNewB),
    seen => seen.join() === '503',
  )
  for (const leaf of [ofA, ofB, ofNewB]) t.same(await proxy.answers(leaf), ROUTED)
  t.match(await proxy.replace('b.crt', newB.cert, IN_USE), IN_USE)
  await readUntil(
    async () => proxy.answers(ofB),
    seen => seen.join() === 'closed',
  )
  t.same(await proxy.answers(ofB), ['closed'], 'also a certificate that was known')
  for (const leaf of [ofA, ofNewB]) t.same(await proxy.answers(leaf), ROUTED)
  t.same(
    await proxy.answers(await svid(ID_A, newB)),
    ['401'],
    'it speaks for its own trust domain only',
  )
})

await test('a bundle that would give an authority to two trust domains changes nothing', async t => {
  const proxy = await start(t)
  const line = await proxy.replace('b.crt', `${rootB.cert}${rootA.cert}`, REFUSED)
  t.match(line, /would speak for the trust domains a\.example and b\.example/)
  t.same(await proxy.answers(await svid(ID_A, rootA)), ROUTED)
  t.same(await proxy.answers(await svid(ID_B, rootA)), ['401'])
})
