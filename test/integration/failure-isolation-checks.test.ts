/**
 * Failure isolation beside the traffic: DNS that hangs for the names of one tenant, health checks of its deployment that hang,
 * and log lines about it in masses hold nothing that another tenant needs.
 */
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { WorkerReport } from '../../src/proxy/ipc.ts'
import { DnsLookup } from '../../src/runtime/names/dns-lookup.ts'
import { TestAuthority } from '../support/certificates.ts'
import { dnsServer, type Zone } from '../support/dns-server.ts'
import { LogLines } from '../support/log-lines.ts'
import { answering } from '../support/manual-deployment.ts'
import {
  eventually,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const NAMES = 200

/** A call of the tenant `id`, which nobody waits for. */
async function begin(lab: ProxyLab, proxy: RunningProxy, id: string): Promise<void> {
  const client = await lab.client(proxy)
  await client.send(`GET / HTTP/1.1\r\nhost: ${id}.test\r\n\r\n`)
}

async function call(lab: ProxyLab, proxy: RunningProxy, id: string): Promise<string> {
  const client = await lab.client(proxy)
  await client.send(`GET / HTTP/1.1\r\nhost: ${id}.test\r\n\r\n`)
  const { status, body } = await readAnswer(client)
  client.reset()
  return `${status} ${body}`
}

/** Each of these hangs, or takes until its promise is settled, in a thread of the system. */
interface HangingSystem {
  readonly asked: string[]
  readonly system: (name: string) => Promise<string[]>
  letGo(): void
}

function hangingSystem(): HangingSystem {
  const asked: string[] = []
  const held: (() => void)[] = []
  return {
    asked,
    system: name => {
      asked.push(name)
      return name.includes('hung')
        ? new Promise((_, reject) => held.push(() => reject(new Error('EAI_AGAIN'))))
        : Promise.resolve(['127.0.0.2'])
    },
    letGo: () => {
      for (const end of held) end()
    },
  }
}

for (const [name, how] of Object.entries({ hangs: 'silent', fails: 'broken' } as const)) {
  await proxyTest(
    `DNS that ${name} for one tenant’s names, and a system that hangs for them, keep no name of another one waiting`,
    async (t, lab) => {
      const quiet = await lab.deployment({ host: '127.0.0.2', serve: answering(ok('quiet')) })
      const names = Array.from({ length: NAMES }, (_, index) => `hung-${index}.test`)
      const zone: Zone = {
        'dns.test': ['127.0.0.2'],
        ...Object.fromEntries(names.map(each => [each, how])),
      }
      const dns = await dnsServer(t, zone)
      const hanging = hangingSystem()
      const lookup = new DnsLookup({
        servers: [dns.address],
        timeoutMs: 200,
        system: hanging.system,
      })
      const at = (host: string): Record<string, unknown> => ({
        deployment: { endpoints: [`http://${host}:${quiet.port}`] },
      })
      const noisy = { endpoints: names.map(each => `http://${each}:9`) }
      const proxy = await lab.proxy(
        {
          tenants: [
            tenant('noisy', quiet, { deployment: noisy }),
            tenant('by-dns', quiet, at('dns.test')),
            tenant('by-system', quiet, at('short')),
            tenant('by-hosts-file', quiet, at('web.localhost')),
          ],
        },
        { lookup },
      )
      await begin(lab, proxy, 'noisy')
      await eventually(() => hanging.asked.length > 0)
      t.match(hanging.asked, [/^hung/], 'one of its names hangs in the system')
      t.equal(await call(lab, proxy, 'by-dns'), '200 quiet')
      t.equal(await call(lab, proxy, 'by-system'), '200 quiet')
      t.equal(await call(lab, proxy, 'by-hosts-file'), '200 quiet')
      t.equal(hanging.asked.filter(each => each.startsWith('hung')).length, 1)
      const asked = new Set(dns.questions.filter(question => question.startsWith('A hung')))
      t.ok(asked.size >= 16, `${asked.size} of its names were asked for`)
      hanging.letGo()
    },
  )
}

/** A server that takes connections and says nothing. */
async function silentServer(
  t: Test,
): Promise<{ port: number; open: Set<Socket>; came: () => number }> {
  const open = new Set<Socket>()
  let came = 0
  const server = net.createServer(socket => {
    came += 1
    open.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => {})
    socket.on('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, open, came: () => came }
}

function endpointsOf(
  proxy: RunningProxy,
  id: string,
): WorkerReport['endpoints'][number] | undefined {
  proxy.worker.reportNow()
  return proxy
    .reports()
    .flatMap(report => report.endpoints)
    .findLast(each => each.tenant === id)
}

/** How a check may hang: as a request, or before that, in its handshake. */
const HANGING = {
  'of HTTP/1.1 that hang': { scheme: 'http', health: { path: '/' } },
  'of HTTP/1.1 that hang in their TLS handshake': { scheme: 'https', health: { path: '/' } },
  'of HTTP/2 that hang': { scheme: 'h2c', health: { path: '/' } },
  'of HTTP/2 that hang in their TLS handshake': { scheme: 'h2', health: { path: '/' } },
  'of gRPC that hang': { scheme: 'h2c', health: { grpc: '' } },
  'by a connection that hang in their TLS handshake': { scheme: 'tls', health: {} },
}

for (const [name, { scheme, health }] of Object.entries(HANGING)) {
  await proxyTest(
    `health checks ${name} are sixteen at once, leave nothing, and keep no other tenant’s waiting`,
    async (t, lab) => {
      const authority = await TestAuthority.create(t)
      const silent = await silentServer(t)
      const quiet = await lab.deployment({ serve: answering(ok('quiet')) })
      const away = await lab.deployment()
      await away.close()
      const checks = { interval: '50ms', timeout: '300ms' }
      const urls = Array.from({ length: 40 }, () => `${scheme}://127.0.0.1:${silent.port}`)
      const proxy = await lab.proxy({
        tenants: [
          tenant('noisy', quiet, {
            deployment: {
              endpoints: urls,
              health: { ...checks, ...health },
              tls: { ca: authority.certPath },
              maxConnections: 1,
            },
          }),
          tenant('quiet', quiet, {
            deployment: {
              endpoints: [quiet, away].map(({ port }) => `http://127.0.0.1:${port}`),
              health: { ...checks, path: '/' },
            },
          }),
        ],
      })
      await begin(lab, proxy, 'noisy')
      let most = 0
      await eventually(() => {
        most = Math.max(most, silent.open.size)
        return silent.came() > 60
      })
      t.ok(silent.came() > 60, `${silent.came()} connections came`)
      // One of the call itself; those that end are still here when the next ones come.
      t.ok(most <= 2 * 16 + 1, `${most} were open at once`)
      t.equal(await call(lab, proxy, 'quiet'), '200 quiet')
      await eventually(() => endpointsOf(proxy, 'quiet')?.ejected === 1)
      t.match(endpointsOf(proxy, 'quiet'), { healthy: 1, ejected: 1 })
      await proxy.change([], {} as never, 2)
      await eventually(() => silent.open.size <= 1)
      t.ok(silent.open.size <= 1, 'without the tenant there are no checks')
    },
  )
}

await proxyTest(
  'a health check that is answered with 1xx without an end is given up',
  async (t, lab) => {
    let most = 0
    const flooding = await lab.deployment({
      serve: async peer => {
        await peer.readHead()
        peer.flood(Buffer.from('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1_000)))
        peer.socket.on('close', () => {
          most = Math.max(most, peer.socket.bytesWritten)
        })
      },
    })
    const other = await lab.deployment({ serve: answering(ok('other')) })
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', other, {
          deployment: {
            endpoints: [other, flooding].map(({ port }) => `http://127.0.0.1:${port}`),
            health: { path: '/', interval: '50ms', timeout: '60s', fall: 1 },
            ejection: { failures: 1_000 },
          },
        }),
      ],
    })
    await begin(lab, proxy, 'acme')
    await eventually(() => endpointsOf(proxy, 'acme')?.ejected === 1)
    t.match(endpointsOf(proxy, 'acme'), { ejected: 1 }, 'long before its timeout')
  },
)

await proxyTest(
  'log lines of one tenant in masses are bounded and counted, and another one’s are written',
  async (t, lab) => {
    const log = new LogLines()
    const away = await lab.deployment()
    await away.close()
    const ejection = { failures: 1, base: '1ms', max: '1ms' }
    const deployment = {
      endpoints: Array.from({ length: 50 }, () => `http://127.0.0.1:${away.port}`),
      ejection,
    }
    const proxy = await lab.proxy(
      {
        tenants: [tenant('noisy', away, { deployment }), tenant('quiet', away, { deployment })],
        log: { level: 'warn', access: 'off' },
      },
      { logger: log.logger },
    )
    for (let index = 0; index < 200; index += 1) await call(lab, proxy, 'noisy')
    const linesOf = (id: string): number => log.lines.filter(line => line['tenant'] === id).length
    t.ok(linesOf('noisy') >= 60, `${linesOf('noisy')} lines`)
    t.ok(linesOf('noisy') < 100, `${linesOf('noisy')} lines`)
    t.ok((proxy.limited()['log_lines'] ?? 0) > 100)
    const before = linesOf('quiet')
    await call(lab, proxy, 'quiet')
    t.ok(linesOf('quiet') > before)
  },
)
