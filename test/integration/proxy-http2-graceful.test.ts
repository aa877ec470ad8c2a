/**
 * How connections of HTTP/2 end without a call that is lost: GOAWAY in two steps, GOAWAY and refusals of deployments, PINGs
 * that find out who has vanished, the age and the number of calls of a connection.
 */
import type { FramePeer } from '../support/http2/frame-peer.ts'
import type { FrameStream } from '../support/http2/frame-stream.ts'
import {
  type FrameDeployment,
  http2Test,
  outcomeOf,
  request,
  respond,
} from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  type ProxyLab,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const LAST_STREAM = 2 ** 31 - 1
const NO_ERROR = 0
const REFUSED_STREAM = 0x7

/** A proxy in front of an HTTP/1.1 deployment that answers at once; `input` is the rest of its configuration. */
async function inFrontOfHttp1(
  lab: ProxyLab,
  input: Record<string, unknown> = {},
  deps: Parameters<ProxyLab['proxy']>[1] = {},
): Promise<RunningProxy> {
  const deployment = await lab.deployment({ serve: answering(ok('ok')) })
  return lab.proxy({ tenants: [tenant('acme', deployment)], ...input }, deps)
}

/** A proxy in front of deployments that speak HTTP/2. */
async function inFrontOf(
  lab: ProxyLab,
  deployments: readonly FrameDeployment[],
  more: { readonly deployment?: object; readonly input?: object } = {},
): Promise<RunningProxy> {
  const endpoints = deployments.map(({ url }) => url)
  const unused = await lab.deployment()
  return lab.proxy({
    tenants: [
      tenant('acme', unused, {
        deployment: { endpoints, ...more.deployment },
      }),
    ],
    ...more.input,
  })
}

/** So many calls, one after the other, each answered. */
async function calls(client: FramePeer, count: number): Promise<void> {
  for (let number = 0; number < count; number++) await outcomeOf(request(client))
}

const gone = (peer: FramePeer): Promise<boolean> => peer.until(() => peer.over)

// === downstream

await http2Test(
  'drain: GOAWAY for no stream first, for the last stream a round trip later, and the connection closes when its streams are over',
  async (t, lab, http2) => {
    const held = await http2.deployment()
    const proxy = await inFrontOf(lab, [held])
    const client = await http2.client(proxy)
    client.answersPings = false
    const first = request(client)
    await held.came(1)
    const drained = proxy.worker.drain()
    await client.until(() => client.goneAways.length > 0 && client.heldPings.length > 0)
    t.same(client.goneAways, [{ lastStreamId: LAST_STREAM, code: NO_ERROR }])
    const onItsWay = request(client)
    await held.came(2)
    t.equal(client.goneAways.length, 1, 'the round trip is not over')
    client.answerPings()
    await client.until(() => client.goneAways.length > 1)
    t.same(client.goneAways[1], { lastStreamId: onItsWay.id, code: NO_ERROR })
    t.notOk(client.over, 'calls are under way')
    for (const { stream } of held.streams) respond(stream, `answer ${stream.id}`)
    t.match(await outcomeOf(first), /^200 answer/)
    t.match(await outcomeOf(onItsWay), /^200 answer/, 'what was on its way was served')
    await gone(client)
    await drained
    t.equal(proxy.totals().calls, 2)
  },
)

await http2Test('drain: an idle connection closes after its round trip', async (t, lab, http2) => {
  const proxy = await inFrontOfHttp1(lab)
  const client = await http2.client(proxy)
  await calls(client, 1)
  const drained = proxy.worker.drain()
  await gone(client)
  await drained
  t.same(
    client.goneAways.map(({ lastStreamId, code }) => [lastStreamId, code]),
    [
      [LAST_STREAM, NO_ERROR],
      [1, NO_ERROR],
    ],
  )
})

await http2Test(
  'drain: who does not answer the PING is told the last stream all the same, after pingTimeout',
  async (t, lab, http2) => {
    const proxy = await inFrontOfHttp1(lab, { http2: { pingTimeout: '1s' } })
    const client = await http2.client(proxy)
    client.answersPings = false
    await calls(client, 1)
    const drained = proxy.worker.drain()
    await gone(client)
    await drained
    t.equal(client.goneAways.length, 2)
    t.equal(client.goneAways[1]?.lastStreamId, 1)
  },
)

await http2Test(
  'keep-alive PINGs: an idle connection that does not answer is closed and counted, one that answers stays',
  async (t, lab, http2) => {
    const proxy = await inFrontOfHttp1(lab, {
      http2: { pingInterval: '1s', pingTimeout: '1s' },
    })
    const vanished = await http2.client(proxy)
    vanished.answersPings = false
    const there = await http2.client(proxy)
    await calls(vanished, 1)
    await calls(there, 1)
    await gone(vanished)
    t.equal(vanished.heldPings.length, 1)
    t.equal(proxy.rejected('ping_timeout'), 1)
    t.ok(there.pings >= 1, 'it was asked')
    await calls(there, 1)
    t.equal(proxy.totals().calls, 3)
    t.equal(there.goneAways.length, 0)
  },
)

await http2Test(
  'keep-alive PINGs: a call under way on a connection that vanished ends with it',
  async (t, lab, http2) => {
    const held = await http2.deployment()
    const proxy = await inFrontOf(lab, [held], {
      input: { http2: { pingInterval: '1s', pingTimeout: '1s' } },
    })
    const client = await http2.client(proxy)
    client.answersPings = false
    request(client)
    await held.came(1)
    await gone(client)
    const [{ stream } = { stream: undefined }] = held.streams
    await stream?.until(() => stream.resetByPeer !== undefined)
    t.equal(stream?.resetByPeer, 8, 'the deployment is told: CANCEL')
    t.equal(proxy.rejected('ping_timeout'), 1)
  },
)

await http2Test(
  'max age: an old connection is told to come again, its calls go on, and it closes when they are over',
  async (t, lab, http2) => {
    const held = await http2.deployment()
    const proxy = await inFrontOf(lab, [held], { input: { http2: { maxConnectionAge: '1s' } } })
    const client = await http2.client(proxy)
    const stream = request(client)
    await held.came(1)
    await client.until(() => client.goneAways.length > 1)
    t.same(
      client.goneAways.map(({ lastStreamId }) => lastStreamId),
      [LAST_STREAM, 1],
    )
    t.notOk(client.over)
    respond(held.streams[0]?.stream as FrameStream)
    t.equal(await outcomeOf(stream), '200 ok')
    await gone(client)
    t.equal(client.goneAways[0]?.code, NO_ERROR)
  },
)

await http2Test(
  'max streams of a connection: with the last one it is told to come again',
  async (t, lab, http2) => {
    const proxy = await inFrontOfHttp1(lab, { http2: { maxConnectionStreams: 100 } })
    const client = await http2.client(proxy)
    await calls(client, 99)
    t.equal(client.goneAways.length, 0)
    t.equal(await outcomeOf(request(client)), '200 ok')
    await gone(client)
    t.same(
      client.goneAways.map(({ lastStreamId }) => lastStreamId),
      [LAST_STREAM, 199],
    )
    t.equal(proxy.totals().calls, 100)
  },
)

// === upstream

await http2Test(
  'max streams of a connection: a deployment gets a new one behind the last',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(stream => respond(stream))
    const proxy = await inFrontOf(lab, [deployment], {
      input: { http2: { maxConnectionStreams: 100 } },
    })
    const client = await lab.client(proxy)
    for (let number = 0; number < 101; number++) {
      await client.send(get())
      t.equal((await readAnswer(client)).body, 'ok')
    }
    t.same(
      deployment.connections.map(({ streams }) => streams.size),
      [100, 1],
    )
    await gone(deployment.connections[0] as FramePeer)
  },
)

await http2Test(
  'max age: a deployment gets a new connection behind the call that finds it old, and no call is lost',
  async (t, lab, http2) => {
    const deployment = await http2.deployment()
    const proxy = await inFrontOf(lab, [deployment], {
      input: { http2: { maxConnectionAge: '1s' } },
    })
    const client = await http2.client(proxy)
    const before = request(client)
    await deployment.came(1)
    const [old] = deployment.connections as [FramePeer]
    // The client's own connection is as old, and is told so.
    await client.until(() => client.goneAways.length > 1)
    // Nothing says that the one to the deployment is: ages differ by a tenth either way.
    await new Promise(resolve => setTimeout(resolve, 300))
    const other = await http2.client(proxy)
    const last = request(other)
    await deployment.came(2)
    const next = request(other)
    await deployment.came(3)
    t.same(
      deployment.streams.map(({ peer }) => peer === old),
      [true, true, false],
    )
    for (const { stream } of deployment.streams) respond(stream)
    for (const stream of [before, last, next]) t.equal(await outcomeOf(stream), '200 ok')
    await gone(old)
  },
)

await http2Test(
  'GOAWAY of a deployment: streams above its last one are tried elsewhere, with the body that was not sent',
  async (t, lab, http2) => {
    // The first connection serves the first stream alone.
    const fleeting = await http2.deployment((stream, peer) => {
      if (peer === fleeting.connections[0]) {
        if (stream.id > 1) peer.goAway(NO_ERROR, 1)
        return
      }
      stream.onData = () => {}
      void stream.until(() => stream.remoteEnded).then(() => respond(stream, 'again'))
    })
    const proxy = await inFrontOf(lab, [fleeting])
    const client = await http2.client(proxy)
    const first = request(client)
    await fleeting.came(1)
    const second = request(client)
    const third = request(client, {
      method: 'POST',
      more: [['content-length', '4']],
      end: false,
    })
    t.equal(await outcomeOf(second), '200 again', 'a call that was not looked at')
    third.write(Buffer.from('body'))
    third.end()
    t.equal(await outcomeOf(third), '200 again', 'also a POST')
    respond(fleeting.streams[0]?.stream as FrameStream, 'first')
    t.equal(await outcomeOf(first), '200 first', 'the stream that it took goes on')
    t.equal(proxy.totals().calls, 3)
  },
)

await http2Test(
  'GOAWAY of a deployment: the connection gets no new streams, and is closed when its last stream is over',
  async (t, lab, http2) => {
    const deployment = await http2.deployment()
    const proxy = await inFrontOf(lab, [deployment])
    const client = await http2.client(proxy)
    const first = request(client)
    await deployment.came(1)
    const [old] = deployment.connections as [FramePeer]
    old.goAway()
    await old.barrier()
    const second = request(client)
    await deployment.came(2)
    t.not(deployment.streams[1]?.peer, old, 'the next call has another connection')
    t.notOk(old.over)
    for (const { stream } of deployment.streams) respond(stream)
    t.equal(await outcomeOf(first), '200 ok')
    t.equal(await outcomeOf(second), '200 ok')
    await gone(old)
    t.notOk(deployment.connections[1]?.over)
  },
)

await http2Test(
  'GOAWAY of an idle deployment closes the connection, and nobody notices',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(stream => respond(stream))
    const proxy = await inFrontOf(lab, [deployment])
    const client = await http2.client(proxy)
    await calls(client, 1)
    const [old] = deployment.connections as [FramePeer]
    old.goAway()
    await gone(old)
    t.equal(await outcomeOf(request(client)), '200 ok')
    t.equal(deployment.connections.length, 2)
    t.equal(proxy.rejected(), 0)
  },
)

await http2Test(
  'REFUSED_STREAM of a deployment is tried again, also a POST whose body was not sent',
  async (t, lab, http2) => {
    let refusals = 1
    const deployment = await http2.deployment(stream => {
      if (refusals-- > 0) stream.reset(REFUSED_STREAM)
      else void stream.until(() => stream.remoteEnded).then(() => respond(stream))
    })
    const proxy = await inFrontOf(lab, [deployment])
    const client = await http2.client(proxy)
    t.equal(await outcomeOf(request(client)), '200 ok')
    refusals = 1
    t.equal(await outcomeOf(request(client, { method: 'POST' })), '200 ok')
    refusals = 1
    const slow = request(client, { method: 'POST', more: [['content-length', '4']], end: false })
    await deployment.came(6)
    slow.write(Buffer.from('body'))
    slow.end()
    t.equal(await outcomeOf(slow), '200 ok')
    t.equal(proxy.totals().calls, 3)
  },
)

await http2Test('REFUSED_STREAM: retries end, and keep to the budget', async (t, lab, http2) => {
  const deployment = await http2.deployment(stream => stream.reset(REFUSED_STREAM))
  const always = await inFrontOf(lab, [deployment])
  const client = await http2.client(always)
  const outcome = await outcomeOf(request(client))
  t.match(outcome, /^50[23] /)
  t.match(codeOf(outcome), /^upstream_/)
  t.ok(deployment.streams.length <= 4, `${deployment.streams.length} tries`)
  const before = deployment.streams.length
  const none = await inFrontOf(lab, [deployment], {
    deployment: { retries: { budget: '0%', minimum: 0 } },
  })
  const other = await http2.client(none)
  t.match(await outcomeOf(request(other)), /^50[23] /)
  t.equal(deployment.streams.length, before + 1, 'without a budget it is tried once')
  t.ok((none.limited().upstream_retries ?? 0) >= 1)
})

await http2Test(
  'a short body that a deployment refuses is sent again whole, with its trailers',
  async (t, lab, http2) => {
    const bodies: string[] = []
    const deployment = await http2.deployment(stream => {
      let body = ''
      stream.onData = bytes => {
        body += bytes.toString()
      }
      void stream
        .until(() => stream.remoteEnded)
        .then(() => {
          bodies.push(`${body} ${JSON.stringify(stream.sections.at(-1)?.at(-1))}`)
          if (bodies.length === 1) stream.reset(REFUSED_STREAM)
          else respond(stream)
        })
    })
    const proxy = await inFrontOf(lab, [deployment])
    const client = await http2.client(proxy)
    const stream = request(client, { method: 'POST', end: false })
    await deployment.came(1)
    stream.write(Buffer.from('half'))
    stream.write(Buffer.from(' and half'))
    stream.end([['x-sum', '1']])
    t.equal(await outcomeOf(stream), '200 ok')
    t.same(bodies, ['half and half ["x-sum","1"]', 'half and half ["x-sum","1"]'])
    t.equal(proxy.totals().calls, 1)
  },
)

await http2Test(
  'a long body of which something was sent is not sent twice',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(stream => {
      let length = 0
      stream.onData = bytes => {
        length += bytes.length
        if (length > 16 * 1024) stream.reset(REFUSED_STREAM)
      }
    })
    const proxy = await inFrontOf(lab, [deployment])
    const client = await http2.client(proxy)
    const stream = request(client, { method: 'POST', end: false })
    await deployment.came(1)
    stream.write(Buffer.alloc(17 * 1024))
    t.match(await outcomeOf(stream), /^50[23] /)
    t.equal(deployment.streams.length, 1)
  },
)

await http2Test(
  'keep-alive PINGs: a deployment that does not answer is let go of, and the next call has a new connection',
  async (t, lab, http2) => {
    const deployment = await http2.deployment((stream, peer) => {
      if (peer !== deployment.connections[0]) respond(stream, 'again')
    })
    const proxy = await inFrontOf(lab, [deployment], {
      input: { http2: { pingInterval: '1s', pingTimeout: '1s' } },
    })
    const client = await lab.client(proxy)
    await client.send(get())
    await deployment.came(1)
    const [vanished] = deployment.connections as [FramePeer]
    vanished.answersPings = false
    const { status, body } = await readAnswer(client)
    t.equal(status, 504)
    t.equal(codeOf(body), 'upstream_timeout')
    await gone(vanished)
    t.equal(proxy.limited().upstream_ping_timeout, 1)
    await eventually(() => vanished.over)
    await client.send(get())
    t.equal((await readAnswer(client)).body, 'again')
  },
)

await http2Test(
  'keep-alive PINGs: a deployment is asked twice at most until it sends something of a call',
  async (t, lab, http2) => {
    const deployment = await http2.deployment()
    const proxy = await inFrontOf(lab, [deployment], {
      input: { http2: { pingInterval: '1s', pingTimeout: '1s' } },
    })
    const client = await http2.client(proxy)
    const stream = request(client)
    await deployment.came(1)
    const [peer] = deployment.connections as [FramePeer]
    await peer.until(() => peer.pings === 2)
    // That nothing comes shows in time alone: two intervals and a half.
    await new Promise(resolve => setTimeout(resolve, 2_500))
    t.equal(peer.pings, 2, 'a server of gRPC would end the connection at the third')
    respond(deployment.streams[0]?.stream as FrameStream)
    t.equal(await outcomeOf(stream), '200 ok')
    await peer.until(() => peer.pings === 3)
    t.notOk(peer.over)
  },
)
