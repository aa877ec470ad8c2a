/**
 * `limits.buffered`: with more than that waiting for slow peers of a tenant no further call of it begins, until they have
 * taken it, or are gone. Each place where something may wait has its test; in each another tenant notices nothing.
 */
import type { Test } from 'tap'
import { http2Test, outcomeOf, request, respond } from '../support/http2/http2-lab.ts'
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  type ProxyLab,
  post,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const MIB = 1024 * 1024
/** More than the kernel keeps of a connection on this machine. */
const FLOOD = 32 * MIB
const limits = { buffered: '1KiB' }

/** What a small call is told on a connection of its own. */
async function told(lab: ProxyLab, proxy: RunningProxy, host = 'acme.test'): Promise<string> {
  const client = await lab.client(proxy)
  await client.send(get('/small', 'connection: close\r\n').replace('acme.test', host))
  const { status, body } = await readAnswer(client)
  return `${status} ${codeOf(body)}`.trim()
}

/** Asks until small calls are told `wanted`. */
async function becomes(t: Test, lab: ProxyLab, proxy: RunningProxy, wanted: string): Promise<void> {
  let last = ''
  for (let tries = 0; tries < 200 && last !== wanted; tries += 1) last = await told(lab, proxy)
  t.equal(last, wanted)
}

async function isFull(t: Test, lab: ProxyLab, proxy: RunningProxy): Promise<void> {
  await becomes(t, lab, proxy, '503 tenant_overloaded')
  t.ok((proxy.limited().buffered ?? 0) > 0, 'counted')
  t.equal(await told(lab, proxy, 'globex.test'), '200', 'another tenant notices nothing')
}

/** Serves small calls, and with `slow` all others; `globex` has the same without a limit. */
async function started(
  lab: ProxyLab,
  slow: (peer: Peer, head: string) => Promise<void>,
): Promise<{ proxy: RunningProxy; deployment: ManualDeployment }> {
  const deployment = await lab.deployment({
    serve: async peer => {
      try {
        for (;;) {
          const head = await peer.readHead()
          if (head.includes(' /small ')) await peer.send(ok())
          else await slow(peer, head)
        }
      } catch {
        // Closed by the proxy.
      }
    },
  })
  const tenants = [tenant('acme', deployment, { limits }), tenant('globex', deployment)]
  return { deployment, proxy: await lab.proxy({ tenants }) }
}

function flood(peer: Peer): Promise<void> {
  peer.socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${FLOOD}\r\n\r\n`)
  peer.socket.write(Buffer.alloc(FLOOD, 'f'))
  return Promise.resolve()
}

await proxyTest('an answer that its client does not read, until it does', async (t, lab) => {
  const { proxy } = await started(lab, flood)
  const slow = await lab.client(proxy)
  slow.socket.pause()
  await slow.send(get('/large'))
  await isFull(t, lab, proxy)
  slow.socket.resume()
  await becomes(t, lab, proxy, '200')
})

await proxyTest('an answer that its client does not read, until it is gone', async (t, lab) => {
  const { proxy } = await started(lab, flood)
  const slow = await lab.client(proxy)
  slow.socket.pause()
  await slow.send(get('/large'))
  await isFull(t, lab, proxy)
  slow.reset()
  await becomes(t, lab, proxy, '200')
})

await proxyTest('a body that its deployment does not read', async (t, lab) => {
  const { proxy, deployment } = await started(lab, async peer => {
    peer.socket.pause()
    await new Promise(resolve => peer.socket.once('close', resolve))
  })
  const client = await lab.client(proxy)
  client.socket.write(post('', `content-length: ${FLOOD}\r\n`))
  client.socket.write(Buffer.alloc(FLOOD, 'f'))
  const upstream = await deployment.next()
  await isFull(t, lab, proxy)
  upstream.reset()
  await becomes(t, lab, proxy, '200')
})

await proxyTest('a body that waits for a connection to its deployment', async (t, lab) => {
  const deployment = await lab.deployment()
  const limited = { ...limits, upstreamConnections: 1 }
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { limits: limited })] })
  const [running, waiting] = [await lab.client(proxy), await lab.client(proxy)]
  await running.send(get('/1'))
  const upstream = await deployment.next()
  await upstream.readHead()
  await waiting.send(post('x'.repeat(4_000)))
  await becomes(t, lab, proxy, '503 tenant_overloaded')
  await upstream.send(ok('y'))
  t.equal((await readAnswer(running)).body, 'y')
  await upstream.readHead()
  await upstream.readBytes(4_000)
  await upstream.send(ok('z'))
  t.equal((await readAnswer(waiting)).body, 'z')
  const next = await lab.client(proxy)
  await next.send(get('/3'))
  await upstream.readHead()
  await upstream.send(ok('n'))
  t.equal((await readAnswer(next)).body, 'n')
})

await http2Test('over HTTP/2: an answer that its client gives no window', async (t, lab, h2) => {
  const deployment = await h2.deployment(stream => {
    const path = stream.sections[0]?.find(([name]) => name === ':path')?.[1]
    respond(stream, path === '/large' ? 'x'.repeat(MIB) : 'ok')
  })
  const endpoints = [deployment.url]
  const of = (id: string, more: object): object => ({
    id,
    hosts: [`${id}.test`],
    deployment: { endpoints },
    ...more,
  })
  const proxy = await lab.proxy({ tenants: [of('acme', { limits }), of('globex', {})] })
  const client = await h2.client(proxy, undefined, 'public', { granting: 'never' })
  for (const end of ['taken', 'reset'] as const) {
    const slow = request(client, { path: '/large' })
    await slow.until(() => slow.sections.length > 0)
    await isFull(t, lab, proxy)
    t.match(await outcomeOf(request(client)), /^503 .*tenant_overloaded/)
    if (end === 'reset') slow.reset()
    else {
      slow.onData = bytes => slow.grant(bytes.length)
      slow.grant(MIB)
    }
    await becomes(t, lab, proxy, '200')
  }
})

await http2Test(
  'over HTTP/2: a body that waits for a connection to its deployment',
  async (t, lab, h2) => {
    const deployment = await lab.deployment()
    const limited = { ...limits, upstreamConnections: 1 }
    const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { limits: limited })] })
    const client = await h2.client(proxy)
    const running = request(client)
    const upstream = await deployment.next()
    await upstream.readHead()
    const waiting = request(client, {
      method: 'POST',
      more: [['content-length', '4000']],
      end: false,
    })
    waiting.write(Buffer.alloc(4_000, 'x'))
    waiting.end()
    await becomes(t, lab, proxy, '503 tenant_overloaded')
    await upstream.send(ok('y'))
    t.equal(await outcomeOf(running), '200 y')
    await upstream.readHead()
    await upstream.readBytes(4_000)
    await upstream.send(ok('z'))
    t.equal(await outcomeOf(waiting), '200 z')
    const next = request(client)
    await upstream.readHead()
    await upstream.send(ok('n'))
    t.equal(await outcomeOf(next), '200 n')
  },
)

await proxyTest('a tunnel whose client does not read: no further one begins', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering('x'.repeat(8)) })
  const own = { name: 'own', mode: 'private', port: 0, protocol: 'tcp' }
  const proxy = await lab.proxy({
    listeners: [own],
    tenants: [tenant('acme', deployment, { address: '127.0.0.1', limits })],
  })
  const slow = await lab.client(proxy, 'own')
  const upstream = await deployment.next()
  slow.socket.pause()
  upstream.socket.write(Buffer.alloc(FLOOD, 'f'))
  const begins = async (): Promise<boolean> => {
    const peer = await lab.client(proxy, 'own')
    await peer.send('GET / HTTP/1.1\r\n\r\n')
    await eventually(() => peer.bytes.length > 0 || peer.closed || peer.ended)
    return peer.bytes.length > 0
  }
  let tries = 0
  while ((await begins()) && tries < 200) tries += 1
  t.ok((proxy.limited().buffered ?? 0) > 0)
  t.notOk(await begins())
  slow.reset()
  tries = 0
  while (!(await begins()) && tries < 200) tries += 1
  t.ok(await begins())
})
