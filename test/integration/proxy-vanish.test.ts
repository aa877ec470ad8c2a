/** Peers that vanish at every byte of a call: no half answer looks whole, nothing leaks, the counters stay right. */

import type { ManualDeployment } from '../support/manual-deployment.ts'
import {
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
import { readStrictAnswer } from '../support/strict-http1.ts'

/** One call at a time: the next one shows whether the last one gave back its place. */
function onePlace(lab: ProxyLab, deployment: ManualDeployment): Promise<RunningProxy> {
  return lab.proxy({ tenants: [tenant('acme', deployment, { limits: { concurrency: 1 } })] })
}

const ANSWERS: Record<string, string> = {
  'a length': ok('hello world', 'x-a: b\r\n'),
  chunks:
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-t: 1\r\n\r\n',
  'an interim answer': `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${ok('hello world')}`,
}
for (const how of ['ends', 'resets'] as const) {
  for (const [name, answer] of Object.entries(ANSWERS)) {
    await proxyTest(
      `a deployment that ${how} at any byte of its answer with ${name} never seems to have finished`,
      async (t, lab) => {
        const deployment = await lab.deployment()
        const proxy = await onePlace(lab, deployment)
        let whole = 0
        for (let sent = 0; sent < answer.length; sent++) {
          const client = await lab.client(proxy)
          await client.send(post('x'))
          const upstream = await deployment.next()
          await upstream.read('\r\n\r\nx')
          await upstream.send(answer.slice(0, sent))
          if (how === 'ends') upstream.destroy()
          else upstream.reset()
          await client.until(
            () =>
              client.ended ||
              client.closed ||
              /HTTP\/1\.1 5\d\d .*\r\n\r\n\{.*\}$/s.test(client.text),
            'the outcome',
          )
          const received = withoutInterim(client.bytes)
          const result = readStrictAnswer(received, {
            method: 'POST',
            closed: client.closed || client.ended,
          })
          if (result.kind === 'message') {
            if (result.message.status === 200) whole++
            else t.equal(result.message.status, 502, `${sent} bytes`)
          } else t.equal(result.kind, 'incomplete', `${sent} bytes`)
          client.reset()
        }
        t.equal(whole, 0, 'no answer looks whole')
        const client = await lab.client(proxy)
        await client.send(get())
        const upstream = await deployment.next()
        await upstream.readHead()
        await upstream.send(answer)
        t.match(await client.readHead(), / (200|103) /, 'the place was given back each time')
        t.equal(proxy.rejected(), 0)
        const { calls } = proxy.totals(record => record.operation === 'other')
        t.ok(calls === answer.length + 1 || calls === answer.length, `${calls} calls counted`)
      },
    )
  }
}

function withoutInterim(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  return text.startsWith('HTTP/1.1 103') ? bytes.subarray(text.indexOf('\r\n\r\n') + 4) : bytes
}

const REQUESTS: Record<string, string> = {
  'a length': post('hello world'),
  chunks: post(
    '5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-t: 1\r\n\r\n',
    'transfer-encoding: chunked\r\n',
  ),
}
for (const how of ['ends', 'resets'] as const) {
  for (const [name, request] of Object.entries(REQUESTS)) {
    await proxyTest(
      `a client that ${how} at any byte of its request with ${name} leaves nothing behind`,
      async (t, lab) => {
        const deployment = await lab.deployment()
        const proxy = await onePlace(lab, deployment)
        for (let sent = 0; sent < request.length; sent++) {
          const client = await lab.client(proxy)
          const before = deployment.peers.length
          await client.send(request.slice(0, sent))
          const headSent = request.slice(0, sent).includes('\r\n\r\n')
          if (headSent) await deployment.next()
          if (how === 'ends') client.end()
          else client.reset()
          await eventually(() => proxy.worker.openConnections === 0)
          t.equal(proxy.worker.openConnections, 0, `${sent} bytes`)
          const upstream = deployment.peers[before]
          if (upstream === undefined) continue
          await eventually(() => upstream.ended || upstream.closed)
          t.ok(upstream.ended || upstream.closed, 'the deployment gets to know')
        }
        const client = await lab.client(proxy)
        await client.send(request)
        const upstream = await deployment.next()
        await upstream.readHead()
        await upstream.send(ok())
        t.equal((await readAnswer(client)).status, 200, 'the place was given back each time')
      },
    )
  }
}

await proxyTest(
  'a client that resets at any byte of the answer ends the call at the deployment',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await onePlace(lab, deployment)
    const answer =
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n'
    let calls = 0
    for (let sent = 0; sent < answer.length; sent++) {
      const client = await lab.client(proxy)
      await client.send(get())
      const upstream = await deployment.next()
      await upstream.readHead()
      await upstream.send(answer.slice(0, sent))
      if (sent > 50) await client.until(() => client.total > 0, 'some of the answer')
      client.reset()
      calls++
      await eventually(() => upstream.ended || upstream.closed)
      t.ok(upstream.ended || upstream.closed, `${sent} bytes`)
    }
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.totals().calls, calls, 'each call is counted once')
  },
)

await proxyTest(
  'a client that vanishes while it waits ends the call no later than the answer',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await onePlace(lab, deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    client.destroy()
    await upstream.send(ok())
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)
