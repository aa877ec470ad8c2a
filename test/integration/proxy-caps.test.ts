/** Caps of `http1:` as peers meet them: each with its error, and the deployment sees nothing of what is refused. */
import type { Test } from 'tap'
import type { ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  get,
  ok,
  type ProxyLab,
  post,
  proxyTest,
  readAnswer,
} from '../support/proxy-lab.ts'

const HTTP1 = {
  maxTarget: '1KiB',
  maxHead: '4KiB',
  maxFields: 10,
  maxTrailers: '1KiB',
  maxChunkExtensions: '1KiB',
}
const CHUNKED = 'transfer-encoding: chunked\r\n'

async function capped(lab: ProxyLab): Promise<{ client: Peer; deployment: ManualDeployment }> {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { http1: HTTP1 })
  return { client: await lab.client(proxy), deployment }
}

async function refused(t: Test, client: Peer, status: number, code: string): Promise<void> {
  const answer = await readAnswer(client)
  t.same({ status: answer.status, code: codeOf(answer.body) }, { status, code })
  t.match(answer.head, 'connection: close\r\n')
  await client.readToEnd()
}

const HEADS: readonly (readonly [code: string, status: number, request: string])[] = [
  ['target_too_long', 414, get(`/${'a'.repeat(1_024)}`)],
  ['head_too_large', 431, get('/', `a: ${'b'.repeat(4_096)}\r\n`)],
  ['too_many_fields', 431, get('/', 'a: b\r\n'.repeat(10))],
]
for (const [code, status, request] of HEADS) {
  await proxyTest(`a head beyond its cap is ${status} ${code}`, async (t, lab) => {
    const { client, deployment } = await capped(lab)
    await client.send(request)
    await refused(t, client, status, code)
    t.equal(deployment.peers.length, 0)
  })
}

const BODIES: readonly (readonly [code: string, status: number, chunk: string])[] = [
  ['chunk_extensions_too_large', 413, `1;${'a'.repeat(1_025)}\r\nx\r\n`],
  ['trailers_too_large', 431, `0\r\na: ${'b'.repeat(1_024)}\r\n\r\n`],
]
for (const [code, status, chunk] of BODIES) {
  await proxyTest(`a chunked body beyond its cap is ${status} ${code}`, async (t, lab) => {
    const { client, deployment } = await capped(lab)
    await client.send(post('3\r\nabc\r\n', CHUNKED))
    const upstream = await deployment.next()
    await upstream.read('abc\r\n')
    await client.send(chunk)
    await refused(t, client, status, code)
    await upstream.until(() => upstream.ended || upstream.closed, 'the close')
    t.notMatch(upstream.text, '\r\n0\r\n\r\n', 'no end of the body')
  })
}

const ANSWERS: Record<string, string> = {
  'too large a head': ok('x', `a: ${'b'.repeat(4_096)}\r\n`),
  'too many fields': ok('x', 'a: b\r\n'.repeat(10)),
}
for (const [name, answer] of Object.entries(ANSWERS)) {
  await proxyTest(`an answer with ${name} is an error of the deployment`, async (t, lab) => {
    const { client, deployment } = await capped(lab)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(answer)
    const { status, body } = await readAnswer(client)
    t.same([status, codeOf(body)], [502, 'upstream_malformed'])
  })
}

await proxyTest(
  'an answer with too large trailers or extensions is cut before its end',
  async (t, lab) => {
    const { client, deployment } = await capped(lab)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(`HTTP/1.1 200 OK\r\n${CHUNKED}\r\n1\r\nx\r\n`)
    await client.readHead()
    await client.read('1\r\nx\r\n')
    await upstream.send(`0\r\na: ${'b'.repeat(1_024)}\r\n\r\n`)
    await client.gone()
    t.notMatch(client.text, '0\r\n\r\n')
  },
)

await proxyTest('a head of the largest size that can be configured is read', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { http1: { maxHead: '256KiB', maxFields: 1_000 } })
  const client = await lab.client(proxy)
  const value = 'b'.repeat(255 * 1_024)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok())
  await readAnswer(client)
  await client.send(get('/', `a: ${value}\r\n`))
  t.ok((await upstream.readHead()).includes(value))
  await upstream.send(ok())
  t.equal((await readAnswer(client)).status, 200)
})

await proxyTest(
  'paths go on as they came, unless they are to be in normal form',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const forwarded = async (path: string, target: string): Promise<string> => {
      const proxy = await lab.forOne(deployment, {
        http1: { path },
        service: { operations: [{ name: 'read', match: 'GET /b' }] },
      })
      const client = await lab.client(proxy)
      await client.send(get(target))
      const upstream = await deployment.next()
      const line = (await upstream.readHead()).split('\r\n')[0] as string
      await upstream.send(ok())
      await readAnswer(client)
      const operation = proxy.usage().find(record => record.calls > 0)?.operation
      return `${line.split(' ')[1]} is ${operation}`
    }
    t.equal(await forwarded('as-is', '/a/../b?c=//'), '/a/../b?c=// is other')
    t.equal(await forwarded('normalize', '/a/../b?c=//'), '/b?c=// is read')
    t.equal(await forwarded('reject', '/b?c=//'), '/b?c=// is read')
  },
)

await proxyTest('a path that is not in the form that it must have is 400', async (t, lab) => {
  const deployment = await lab.deployment()
  for (const [path, target] of [
    ['normalize', '/a%2fb'],
    ['reject', '/a/../b'],
  ] as const) {
    const client = await lab.client(await lab.forOne(deployment, { http1: { path } }))
    await client.send(get(target))
    await refused(t, client, 400, 'unsafe_path')
  }
  t.equal(deployment.peers.length, 0)
})
