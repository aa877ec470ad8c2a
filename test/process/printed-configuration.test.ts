/** What `amt certs` and `amt key` print is pasted into a configuration as it is, checked, and then used by real calls. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Test, t, test } from 'tap'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { amtCommand, runAmt } from '../support/amt.ts'
import { WITHOUT_CURL } from '../support/curl.ts'
import { Program, runCommand } from '../support/program.ts'
import { readyLine } from '../support/running-amt.ts'

t.setTimeout(240_000)

/** With a name that YAML has to quote. */
const DIR = 'my certs, here'

/** The lines that are printed below `heading`, as deep as they are to stand. */
function below(printed: string, heading: string, depth: number): string {
  const lines = printed.split('\n')
  const start = lines.findIndex(line => line.startsWith(heading))
  if (start < 0) throw new Error(`no "${heading}" in:\n${printed}`)
  const rest = lines.slice(start + 1)
  const end = rest.findIndex(line => !line.startsWith('  '))
  return rest
    .slice(0, end)
    .map(line => `${' '.repeat(depth)}${line.slice(2)}\n`)
    .join('')
}

async function amt(t: Test, cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runAmt(args, { cwd })
  t.equal(code, 0, stderr)
  return stdout
}

async function deployment(t: Test): Promise<number> {
  const server = createServer((request, response) => {
    response.end(`tenant ${String(request.headers['x-amt-tenant'])}\n`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

await test('what certs and key print can be pasted, and then certificates, PKCS#12 and keys work', {
  skip: WITHOUT_CURL,
}, async t => {
  const cwd = t.testdir()
  const certs = (...args: string[]): Promise<string> => amt(t, cwd, 'certs', ...args, '--dir', DIR)
  const init = await certs('init')
  const server = await certs('server')
  const acme = await certs('tenant', '--tenant', 'acme')
  const globex = await certs('tenant', '--tenant', 'globex', '--key-type', 'rsa')
  const initech = await certs('tenant', '--tenant', 'initech')
  const list = await certs('revoke', join(DIR, 'initech.crt'))
  const acmeKey = await amt(t, cwd, 'key', '--tenant', 'acme', '--label', 'no', '--expires', '90d')
  const globexKey = await amt(t, cwd, 'key', '--tenant', 'globex')

  const UNDER_TLS = 'Under `tls:`'
  const credentials = (printed: string): string => below(printed, 'Under `credentials:`', 6)
  // One of the two, as the text says.
  const [bySpiffe, byPin] = [0, 1].map(
    line => (printed: string) => `${credentials(printed).split('\n')[line]}\n`,
  ) as [(printed: string) => string, (printed: string) => string]
  const port = await deployment(t)
  const endpoints = `    deployment: { endpoints: [http://127.0.0.1:${port}] }\n`
  await writeFile(
    join(cwd, 'amt.yaml'),
    `listeners:
  - name: public
    mode: shared
    address: 127.0.0.1:0
    tls:
${below(init, UNDER_TLS, 6)}${below(server, UNDER_TLS, 6)}${below(list, UNDER_TLS, 6)}${below(acme, 'and once', 0)}tenants:
  - id: acme
    credentials:
${bySpiffe(acme)}${credentials(acmeKey)}${endpoints}  - id: globex
    credentials:
${byPin(globex)}${credentials(globexKey)}${endpoints}  - id: initech
    credentials:
${bySpiffe(initech)}${endpoints}mixer: { url: http://127.0.0.1:9, token: a token for tests only, journal: journal }
admin: { address: 127.0.0.1:0 }
log: { access: off }
workers: 1
`,
  )
  await amt(t, cwd, 'check', 'amt.yaml')

  const proxy = new Program(t, amtCommand(['proxy', '--config', join(cwd, 'amt.yaml')]))
  const [bound] = (await readyLine(proxy)).bound as readonly BoundAddress[]
  const call = async (...args: string[]): Promise<string> => {
    const url = `https://localhost:${bound?.address.split(':')[1]}/`
    const common = ['--disable', '--silent', '--noproxy', '*', '--cacert', join(DIR, 'ca.crt')]
    const { stdout } = await runCommand(['curl', [...common, ...args, url]], { cwd })
    return stdout.toString()
  }
  for (const tenant of ['acme', 'globex']) {
    const pem = ['--cert', join(DIR, `${tenant}.crt`), '--key', join(DIR, `${tenant}.key`)]
    t.equal(await call(...pem), `tenant ${tenant}\n`, 'with certificate and key')
    const pkcs12 = ['--cert-type', 'P12', '--cert', `${join(DIR, `${tenant}.p12`)}:amt`]
    t.equal(await call(...pkcs12), `tenant ${tenant}\n`, 'with PKCS#12')
  }
  for (const [tenant, printed] of [
    ['acme', acmeKey],
    ['globex', globexKey],
  ] as const) {
    const key = /amt_\w+/.exec(printed)?.[0] ?? ''
    t.equal(await call('-H', `x-api-key: ${key}`), `tenant ${tenant}\n`, 'with the key')
  }
  const revoked = ['--cert', join(DIR, 'initech.crt'), '--key', join(DIR, 'initech.key')]
  t.notMatch(await call(...revoked), 'tenant', 'a certificate that was revoked')
  t.match(await call(), 'about:amt/unroutable', 'without anything')
  t.equal(await proxy.stop(), 0)
})
