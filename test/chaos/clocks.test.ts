/**
 * Clocks that jump while traffic goes on: from the worker through its journal, its shipping and the mixer, every call and byte
 * is billed once, under a minute that the clock has shown, and no time is billed that did not pass.
 */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { t as root, type Test, test } from 'tap'
import type { UsageWindow } from '../../src/contracts/usage-query.ts'
import { CountedClient, countedDeployment, serveHttp } from '../support/counted-peers.ts'
import { readUntil, readUsage, startAmt } from '../support/running-amt.ts'
import { startProxy } from '../support/start-proxy.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const KEY = 'the key of acme'
const CALLS = 20
const REQUEST = `GET /x HTTP/1.1\r\nhost: example.com\r\nx-api-key: ${KEY}\r\n\r\n`
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'

root.setTimeout(120_000)

/** What one client has sent and received, over how long, and which minutes its proxy's clock has shown. */
interface Traffic {
  readonly calls: number
  readonly ingress: number
  readonly egress: number
  readonly elapsedMs: number
  readonly minutes: ReadonlySet<number>
}

/** Calls and a tunnel before and after a jump of the clock by `jumpMs`; all usage is in the journal then. */
async function trafficOverJump(t: Test, journal: string, jumpMs: number): Promise<Traffic> {
  let offset = 0
  const clock = { now: () => Date.now() + offset, monotonic: () => performance.now() }
  const begun = performance.now()
  const http = await countedDeployment(
    t,
    serveHttp((_, socket) => socket.write(ANSWER)),
  )
  const config = {
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' },
      { name: 'private', mode: 'private', port: 0, protocol: 'tcp' },
    ],
    tenants: [
      {
        id: 'acme',
        address: '127.0.0.1',
        credentials: [{ apiKey: `sha256:${createHash('sha256').update(KEY).digest('hex')}` }],
        deployment: { endpoints: [`http://127.0.0.1:${http.port}`] },
      },
    ],
    mixer: { token: 'a token for tests only', journal },
  }
  const proxy = await startProxy(config, { clock })
  const minutes = new Set<number>()
  const client = await CountedClient.connect(t, { port: proxy.port('public') })
  const tunnel = await CountedClient.connect(t, { port: proxy.port('private') })
  const see = (): void => {
    const now = clock.now()
    minutes.add(now - (now % MINUTE_MS))
  }
  const use = async (): Promise<void> => {
    see()
    for (let call = 0; call < CALLS; call++) {
      const mark = client.received
      await client.write(REQUEST)
      await client.untilReceived(mark + ANSWER.length)
    }
    const mark = tunnel.received
    // The deployment speaks HTTP, whoever carries it.
    await tunnel.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await tunnel.untilReceived(mark + ANSWER.length)
    see()
  }
  await use()
  offset = jumpMs
  await use()
  for (const each of [client, tunnel]) {
    each.socket.end()
    await each.untilEnd()
  }
  await proxy.close()
  see()
  return {
    calls: 2 * CALLS,
    ingress: client.sent + tunnel.sent,
    egress: client.received + tunnel.received,
    elapsedMs: performance.now() - begun,
    minutes,
  }
}

/** What a start of proxy and mixer makes of the journal in `folder`. */
async function billed(t: Test, folder: string, calls: number): Promise<readonly UsageWindow[]> {
  const amt = await startAmt(t, folder, {
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
  })
  const now = Date.now()
  const read = async (): Promise<readonly UsageWindow[]> =>
    readUsage(amt.mixerUrl, ['minute'], { from: now - 3 * HOUR_MS, to: now + 48 * HOUR_MS })
  await readUntil(read, windows => sumOf(windows, 'calls') >= calls)
  t.equal(await amt.drain(), 0)
  return read()
}

type Sum = 'calls' | 'ingress' | 'egress' | 'connectionMs' | 'callMs'

function sumOf(windows: readonly UsageWindow[], name: Sum): number {
  return windows.reduce((sum, window) => sum + Number(window[name]), 0)
}

const JUMPS = {
  'back by an hour': -HOUR_MS,
  'forward by a day': 24 * HOUR_MS,
  'back by a minute': -MINUTE_MS,
}

for (const [name, jumpMs] of Object.entries(JUMPS)) {
  await test(`a clock that jumps ${name}: all is billed, once`, async t => {
    const folder = t.testdir({})
    const journal = join(folder, 'journal')
    mkdirSync(journal)
    const { elapsedMs, minutes, ...traffic } = await trafficOverJump(t, journal, jumpMs)
    const windows = await billed(t, folder, traffic.calls)
    const { calls, ingress, egress } = traffic
    t.same(
      [sumOf(windows, 'calls'), sumOf(windows, 'ingress'), sumOf(windows, 'egress')],
      [calls, ingress, egress],
    )
    const most = 2 * elapsedMs
    t.ok(
      sumOf(windows, 'connectionMs') <= most,
      `${sumOf(windows, 'connectionMs')} ≤ ${most} ms of connections`,
    )
    t.ok(sumOf(windows, 'callMs') <= most, `${sumOf(windows, 'callMs')} ≤ ${most} ms of calls`)
    t.same(
      windows.map(({ window }) => Date.parse(window ?? '')).filter(window => !minutes.has(window)),
      [],
      'each in a minute that the clock has shown',
    )
  })
}
