/** What the admin server of a real proxy says of API keys: label, expiry, last use; also when a worker has died. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { t, test } from 'tap'
import { newApiKey } from '../../src/cli/commands/key.ts'
import { freePorts } from '../support/free-ports.ts'
import { FIT_FOR_TESTS, launchPart, readUntil, readyLine } from '../support/running-amt.ts'

t.setTimeout(240_000)

/** A new worker, on a machine that may be busy. */
const PATIENCE_MS = 60_000

interface Shown {
  readonly credentials: readonly { readonly label?: string; readonly lastUsed?: string | null }[]
  readonly lastUsedSince: string
}

await test('the admin server shows the keys of a tenant with their last use, which survives a worker', async t => {
  const server = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const [ci, spare, gone] = [newApiKey('acme'), newApiKey('acme'), newApiKey('acme')]
  const inTenDays = new Date(Date.now() + 10 * 86_400_000).toISOString()
  const pin = `sha256:${'ab'.repeat(32)}`
  // A replacement for the only worker would get another one where it is 0.
  const [port] = await freePorts(1)
  const address = `127.0.0.1:${port}`
  const proxy = await launchPart(t, 'proxy', t.testdir(), {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address }],
    authentication: { spiffe: { trustDomain: 'example.org' } },
    tenants: [
      {
        id: 'acme',
        credentials: [
          { apiKey: ci.digest, label: 'ci', expires: inTenDays },
          { apiKey: spare.digest },
          { apiKey: gone.digest, label: 'gone', expires: '2020-01-01T00:00:00Z' },
          { certificate: pin },
          { spiffe: 'spiffe://example.org/tenant/acme' },
        ],
        deployment: { endpoints: [`http://127.0.0.1:${(server.address() as AddressInfo).port}`] },
      },
    ],
    mixer: {
      token: randomBytes(32).toString('hex'),
      journal: 'journal',
      url: 'http://127.0.0.1:9',
    },
    log: { level: 'info', access: 'off' },
    workers: 1,
  })
  const started = Date.now()
  const ready = await readyLine(proxy)
  const call = async ({ key }: { key: string }): Promise<number> =>
    (await fetch(`http://${address}/`, { headers: { 'x-api-key': key } })).status
  const show = async (): Promise<Shown> =>
    (await (await fetch(`http://${String(ready.admin)}/tenants/acme`)).json()) as Shown

  t.equal(await call(ci), 200)
  t.equal(await call(gone), 401)
  const used = (shown: Shown): boolean => typeof shown.credentials[0]?.lastUsed === 'string'
  const shown = await readUntil(show, used)
  t.match(shown.credentials, [
    { kind: 'apiKey', label: 'ci', digest: ci.digest.slice(7, 15), expires: inTenDays },
    {
      kind: 'apiKey',
      label: null,
      digest: spare.digest.slice(7, 15),
      expires: null,
      lastUsed: null,
    },
    { kind: 'apiKey', label: 'gone', expires: '2020-01-01T00:00:00Z', lastUsed: null },
    { kind: 'certificate', digest: 'abababab' },
    { kind: 'spiffe', value: 'spiffe://example.org/tenant/acme' },
  ])
  const lastUsed = Date.parse(String(shown.credentials[0]?.lastUsed))
  t.ok(Math.abs(lastUsed - Date.now()) < 30_000, String(shown.credentials[0]?.lastUsed))
  t.ok(Date.parse(shown.lastUsedSince) <= started + 20_000)

  const pid = String(proxy.pid)
  const [worker] = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ')
  process.kill(Number(worker), 'SIGKILL')
  await proxy.line(/worker died and is replaced/)
  t.same((await show()).credentials, shown.credentials, 'what was reported is kept')
  await readUntil(
    async () => call(spare).catch(() => 0),
    status => status === 200,
    PATIENCE_MS,
  )
  const after = await readUntil(
    show,
    each => typeof each.credentials[1]?.lastUsed === 'string',
    PATIENCE_MS,
  )
  t.type(after.credentials[1]?.lastUsed, 'string', 'the next worker goes on')
  t.equal(after.credentials[0]?.lastUsed, shown.credentials[0]?.lastUsed)

  const metrics = await (await fetch(`http://${String(ready.admin)}/metrics`)).text()
  t.match(metrics, /^amt_api_keys_ending\{state="expiring"\} 1$/m)
  t.match(metrics, /^amt_api_keys_ending\{state="expired"\} 1$/m)
  t.match(metrics, /^amt_api_key_uses_dropped_total 0$/m)
  t.match(JSON.parse(await proxy.line(/API keys expire within 14 days/)) as object, {
    level: 'warn',
    count: 1,
    keys: [{ tenant: 'acme', label: 'ci', expires: inTenDays }],
  })
})
