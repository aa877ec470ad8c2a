/**
 * What HTTP can say, said through the proxy in each mix of versions, by `node:http` and `node:http2` on both ends: what
 * means the same in both comes through, and what has a place in one alone stays there.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { t } from 'tap'
import { type Answer, type Call, valuesOf } from '../support/http2/call.ts'
import type { Http1Client } from '../support/http2/http1-client.ts'
import { answerOf, type Http2Client } from '../support/http2/http2-client.ts'
import { as, mixTest, reportOf } from '../support/http2/mixes.ts'
import { eventually, keyOf } from '../support/proxy-lab.ts'

// Each of them eight times.
t.setTimeout(300_000)

const digest = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex')

await mixTest('methods, targets and the version of either side', async (t, scene) => {
  const client = await scene.client()
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    for (const path of ['/report', '/report?a=b&c=%20d', '/report/%E2%82%AC/..;/x?y=/']) {
      const report = reportOf(await client.call(as('acme', { method, path })))
      t.same([report.method, report.path], [method, path])
      t.equal(report.version, scene.mix.upstream === 2 ? '2.0' : '1.1')
      t.equal(report.from, 'acme')
    }
  }
})

await mixTest('bodies of requests, with a length and without', async (t, scene) => {
  const client = await scene.client()
  const pieces = ['some ', 'data ', 'x'.repeat(300_000)]
  const body = pieces.join('')
  const lengthOf = (answer: Answer): string[] => valuesOf(reportOf(answer).fields, 'content-length')
  const call: Call = { method: 'POST', path: '/report', body: pieces }

  const measured = await client.call(
    as('acme', { ...call, fields: { 'content-length': String(body.length) } }),
  )
  t.same(lengthOf(measured), [String(body.length)], 'a length that is known is passed on')
  const open = await client.call(as('acme', call))
  t.same(lengthOf(open), [], 'and none is made up')
  t.same(
    valuesOf(reportOf(open).fields, 'transfer-encoding'),
    scene.mix.upstream === 1 ? ['chunked'] : [],
  )
  for (const answer of [measured, open]) t.equal(reportOf(answer).bodyDigest, digest(body))
  const none = reportOf(await client.call(as('acme', { method: 'POST', path: '/report' })))
  t.equal(none.bodyOctets, 0)
})

await mixTest('bodies of answers, with a length and without', async (t, scene) => {
  const client = await scene.client()
  for (const octets of [1, 16_384, 16_385, 1_000_000]) {
    const measured = await client.call(as('acme', { path: `/length/${octets}` }))
    t.same(valuesOf(measured.fields, 'content-length'), [String(octets)])
    const open = await client.call(as('acme', { path: `/pieces/${octets}` }))
    t.same(
      valuesOf(open.fields, 'transfer-encoding'),
      scene.mix.downstream === 1 ? ['chunked'] : [],
    )
    for (const { body } of [measured, open]) t.equal(digest(body), digest('x'.repeat(octets)))
  }
  const empty = await client.call(as('acme', { path: '/length/0' }))
  t.same([empty.status, empty.body.length], [200, 0])
})

await mixTest('two megabytes both ways at once, on several calls', async (t, scene) => {
  const clients = await Promise.all([scene.client(), scene.client()])
  const body = Array.from({ length: 32 }, (_, i) => Buffer.alloc(64 * 1024, i))
  const calls = clients.flatMap(client => {
    const call = as('acme', { method: 'POST', path: '/echo', body })
    return client.version === 1 ? [client.call(call)] : [client.call(call), client.call(call)]
  })
  for (const answer of await Promise.all(calls))
    t.equal(digest(answer.body), digest(Buffer.concat(body)))
})

await mixTest('trailers of requests and of answers', async (t, scene) => {
  const client = await scene.client()
  const trailers = { 'x-sum': '4', 'x-other': 'value, with comma' }
  const fields = { trailer: 'x-sum, x-other' }
  const call: Call = { method: 'POST', body: ['ab', 'cd'], trailers, fields }
  const report = reportOf(await client.call(as('acme', { ...call, path: '/report' })))
  t.same(report.trailers, Object.entries(trailers))
  t.equal(report.bodyOctets, 4)
  const echoed = await client.call(as('acme', { ...call, path: '/echo' }))
  t.same(echoed.trailers, Object.entries(trailers))
  t.equal(echoed.body.toString(), 'abcd')
  const own = await client.call(as('acme', { path: '/trailers' }))
  t.equal(own.body.toString(), 'body')
  t.same(own.trailers, [['x-checksum', 'abc']], 'and no word on identity in them')
})

await mixTest('trailers of a request say nothing about identity', async (t, scene) => {
  const client = await scene.client()
  const trailers = { 'x-amt-tenant': 'globex', 'x-forwarded-for': '10.0.0.1', 'x-sum': '1' }
  const call = as('acme', { method: 'POST', path: '/report', body: ['a'], trailers })
  t.same(reportOf(await client.call(call)).trailers, [['x-sum', '1']])
})

await mixTest(
  '100 comes when the deployment asks for the body, and not before',
  async (t, scene) => {
    const { application } = scene.acme
    const fields = { expect: '100-continue', 'content-length': '4' }
    const client = await scene.client()
    const call = as('acme', { method: 'POST', path: '/report', fields })
    const request =
      client.version === 1 ? (client as Http1Client).open(call) : (client as Http2Client).open(call)
    let continued = false
    request.on('continue', () => {
      continued = true
    })
    const expecting = application.expecting()
    if ('flushHeaders' in request) request.flushHeaders()
    const asked = await expecting
    t.equal(asked.request.headers.expect, '100-continue')
    let octets = 0
    asked.request.on('data', (chunk: Buffer) => {
      octets += chunk.length
    })
    // Whoever lets it through ahead of time has had the time for it.
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
    t.same([continued, octets], [false, 0])
    asked.response.writeContinue()
    await once(request, 'continue')
    request.end('body')
    await once(asked.request, 'end')
    t.equal(octets, 4)
    asked.response.end('done')
    const [answer] = await once(request, 'response')
    t.equal(Number(answer.statusCode ?? answer[':status']), 200)
    const stream = (client.version === 1 ? answer : request) as Readable
    stream.resume()
    await once(stream, 'end')
  },
)

await mixTest('a deployment that wants no body answers instead of 100', async (t, scene) => {
  const { application } = scene.acme
  const client = await scene.client()
  const fields = { expect: '100-continue', 'content-length': '4000000' }
  const call = as('acme', { method: 'POST', path: '/report', fields })
  const expecting = application.expecting()
  const request =
    client.version === 1 ? (client as Http1Client).open(call) : (client as Http2Client).open(call)
  if ('flushHeaders' in request) request.flushHeaders()
  const { response } = await expecting
  response.statusCode = 417
  response.end('no')
  const [answer] = await once(request, 'response')
  t.equal(Number(answer.statusCode ?? answer[':status']), 417)
  request.destroy()
  await client.close()
})

await mixTest('103 comes through, without a word on identity', async (t, scene) => {
  const client = await scene.client()
  const { status, interim, body } = await client.call(as('acme', { path: '/hints' }))
  t.same([status, body.toString()], [200, 'hinted'])
  t.equal(interim.length, 1)
  t.equal(interim[0]?.status, 103)
  t.same(valuesOf(interim[0]?.fields ?? [], 'link'), ['</style.css>; rel=preload'])
  t.same(valuesOf(interim[0]?.fields ?? [], 'x-amt-tenant'), [])
})

await mixTest('answers without a body: HEAD, 204 and 304', async (t, scene) => {
  const client = await scene.client()
  for (let round = 0; round < 2; round++) {
    const head = await client.call(as('acme', { method: 'HEAD', path: '/length/1000' }))
    t.same([head.status, head.body.length], [200, 0])
    t.same(valuesOf(head.fields, 'content-length'), ['1000'])
    for (const status of [204, 304]) {
      const answer = await client.call(as('acme', { path: `/status/${status}` }))
      t.same([answer.status, answer.body.length], [status, 0])
    }
    for (const status of [201, 404, 500, 503, 418]) {
      const answer = await client.call(as('acme', { path: `/status/${status}` }))
      t.same([answer.status, valuesOf(answer.fields, 'x-from')], [status, ['acme']])
    }
  }
})

await mixTest(
  'cookies: crumbs are one line for HTTP/1.1, Set-Cookie stays as many',
  async (t, scene) => {
    const client = await scene.client()
    const cookie = client.version === 2 ? ['a=1', 'b=2; c=3', 'd=4'] : 'a=1; b=2; c=3; d=4'
    const report = reportOf(await client.call(as('acme', { path: '/report', fields: { cookie } })))
    const received = valuesOf(report.fields, 'cookie')
    t.equal(received.join('; '), 'a=1; b=2; c=3; d=4')
    if (scene.mix.upstream === 1) t.equal(received.length, 1)
    const { fields } = await client.call(as('acme', { path: '/cookies' }))
    t.same(valuesOf(fields, 'set-cookie'), ['a=1; Path=/', 'b=2; HttpOnly'])
    t.same(valuesOf(fields, 'x-amt-tenant'), [])
  },
)

await mixTest('Host is :authority, and nothing is said twice', async (t, scene) => {
  const client = await scene.client()
  for (const host of ['service.test', 'service.test:8443']) {
    const report = reportOf(await client.call(as('acme', { path: '/report', host })))
    t.equal(report.host, host)
    t.same(valuesOf(report.fields, 'host'), scene.mix.upstream === 1 ? [host] : [])
    if (scene.mix.upstream === 2) t.equal(report.scheme, scene.mix.secure ? 'https' : 'http')
    t.same(valuesOf(report.fields, 'x-forwarded-host'), [host])
  }
})

await mixTest('who calls, from where and through whom', async (t, scene) => {
  const client = await scene.client()
  const report = reportOf(
    await client.call(
      as('acme', {
        path: '/report',
        fields: {
          'x-amt-tenant': 'globex',
          'X-AMT-Other': 'x',
          'x-forwarded-for': '10.0.0.1',
          'x-forwarded-client-cert': 'forged',
          forwarded: 'for=10.0.0.1',
          'x-forwarded-anything': 'x',
          'x-request-id': 'of-the-client',
          via: '1.0 before',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        },
      }),
    ),
  )
  const proto = scene.mix.secure ? 'https' : 'http'
  const values = (name: string): string[] => valuesOf(report.fields, name)
  t.same(values('x-amt-tenant'), ['acme'])
  t.same(values('x-amt-other'), [])
  t.same(values('x-forwarded-for'), ['127.0.0.1'])
  t.same(values('x-forwarded-proto'), [proto])
  t.same(values('x-forwarded-anything'), [])
  t.same(values('x-forwarded-client-cert'), [])
  t.same(values('forwarded'), [`for=127.0.0.1;host="service.test";proto=${proto}`])
  t.same(values('x-request-id'), ['of-the-client'])
  t.same(values('traceparent'), ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'])
  t.same(values('x-api-key'), [], 'the key is for the proxy')
  const via = values('via').join(', ')
  t.match(via, /^1\.0 before, /)
  t.match(via, scene.mix.downstream === 2 ? /, 2(\.0)? [^,]+$/ : /, 1\.1 [^,]+$/, via)
})

await mixTest('what concerns one connection alone stays on it', async (t, scene) => {
  const client = await scene.client()
  const fields =
    client.version === 1
      ? {
          connection: 'keep-alive, x-hop, te',
          'keep-alive': 'timeout=9',
          'x-hop': 'x',
          te: 'trailers, deflate',
          'proxy-connection': 'x',
        }
      : { te: 'trailers' }
  const answer = await client.call(as('acme', { path: '/report', fields }))
  const report = reportOf(answer)
  for (const name of ['keep-alive', 'x-hop', 'proxy-connection', 'upgrade', 'http2-settings'])
    t.same(valuesOf(report.fields, name), [], name)
  t.same(valuesOf(report.fields, 'te'), ['trailers'])
  if (scene.mix.upstream === 2) t.same(valuesOf(report.fields, 'connection'), [])
  if (scene.mix.downstream === 2)
    for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
      t.same(valuesOf(answer.fields, name), [], name)
})

await mixTest('Max-Forwards is counted, and the last hop answers for itself', async (t, scene) => {
  const client = await scene.client()
  const ask = async (hops: string): Promise<Answer> =>
    client.call(
      as('acme', { method: 'OPTIONS', path: '/report', fields: { 'max-forwards': hops } }),
    )
  t.same(valuesOf(reportOf(await ask('7')).fields, 'max-forwards'), ['6'])
  const last = await ask('0')
  t.equal(valuesOf(last.fields, 'x-from').length, 0, 'it did not get to the deployment')
  t.equal(scene.acme.application.calls, 1)
})

await mixTest(
  'calls of two tenants on one connection, each at its own deployment',
  async (t, scene) => {
    const client = await scene.client()
    const calls = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? 'globex' : 'acme'))
    const ask = async (id: string): Promise<void> => {
      const { from, fields } = reportOf(await client.call(as(id, { path: '/report' })))
      if (from !== id || valuesOf(fields, 'x-amt-tenant').join() !== id) t.fail(`${id} got ${from}`)
    }
    if (client.version === 2) await Promise.all(calls.map(ask))
    else for (const id of calls) await ask(id)
    t.same([scene.acme.application.calls, scene.globex.application.calls], [40, 20])
    const by = (id: string): number => scene.proxy.totals(({ tenant }) => tenant === id).calls
    t.same([by('acme'), by('globex')], [40, 20])
  },
)

await mixTest(
  'a deployment that resets before its answer is 502, and others go on',
  async (t, scene) => {
    const client = await scene.client()
    // Of a reused connection it could be tried again; of a POST nobody knows what it did.
    const failed = await client.call(as('acme', { method: 'POST', path: '/reset' }))
    t.equal(failed.status, 502)
    t.match(failed.body.toString(), /about:amt\/upstream_reset/)
    t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
  },
)

await mixTest('a deployment that resets in its answer ends that call alone', async (t, scene) => {
  const client = await scene.client()
  const other =
    client.version === 2 ? (client as Http2Client).open(as('globex', { path: '/open' })) : undefined
  const opened = other === undefined ? undefined : await scene.globex.application.opened()
  await t.rejects(client.call(as('acme', { path: '/half' })))
  if (other !== undefined) {
    opened?.response.end('whole')
    t.equal((await answerOf(other)).body.toString(), 'whole', 'the stream beside it')
  }
  t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
})

await mixTest(
  'a client that gives a call up ends it at the deployment',
  async (t, scene) => {
    const client = await scene.client()
    const open = (path: string): { destroy: () => void } => {
      const call = as('acme', { path })
      if (client.version === 1) {
        const request = (client as Http1Client).open(call)
        request.end()
        return { destroy: () => void request.destroy() }
      }
      const stream = (client as Http2Client).open(call)
      stream.end()
      return { destroy: () => stream.close(8) }
    }
    const opened = scene.acme.application.opened()
    const call = open('/open')
    const { gone } = await opened
    call.destroy()
    t.equal(await gone, scene.mix.upstream === 2 ? 8 : -1, 'CANCEL, or the end of the connection')
    await eventually(() => scene.proxy.totals().calls === 1)
    t.equal(scene.proxy.totals().calls, 1, 'it is counted')
    const next = await scene.client()
    t.equal((await next.call(as('acme', { path: '/report' }))).status, 200)
  },
  {
    // Of HTTP/1.1 the end of a connection is no word on a request that is whole.
    takes: ({ downstream }) => downstream === 2,
  },
)

await mixTest('errors are problems in JSON, and the connection goes on', async (t, scene) => {
  const client = await scene.client()
  const key = keyOf('acme')
  const asks: [Record<string, string>, number, string][] = [
    [{}, 401, 'unroutable'],
    [{ 'x-api-key': `${key.slice(0, -1)}!` }, 401, 'credential_invalid'],
    [{ authorization: 'Bearer a.b.c' }, 401, 'credential_invalid'],
  ]
  for (const [fields, status, code] of asks) {
    const answer = await client.call({ path: '/report', fields })
    t.equal(answer.status, status, code)
    t.same(valuesOf(answer.fields, 'content-type'), ['application/problem+json'])
    t.match(answer.body.toString(), `about:amt/${code}`)
    t.same(valuesOf(answer.fields, 'content-length'), [String(answer.body.length)])
    t.equal(valuesOf(answer.fields, 'x-request-id').length, 1)
  }
  t.equal(scene.acme.application.calls, 0)
  t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
})
