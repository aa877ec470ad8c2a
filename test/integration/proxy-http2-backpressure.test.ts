/**
 * Who is slow stops who sends to it, on its own stream, and nobody else: not the other streams of its connection, not those
 * that share its deployment's. What the proxy keeps meanwhile is bounded by the windows that it gives.
 */
import type { Test } from 'tap'
import { INITIAL_WINDOW_SIZE } from '../../src/codec/http2/settings.ts'
import type { FrameStream } from '../support/http2/frame-stream.ts'
import { frame, uint32 } from '../support/http2/frames.ts'
import {
  type FrameDeployment,
  type Http2Lab,
  http2Test,
  request,
  respond,
} from '../support/http2/http2-lab.ts'
import type { Peer } from '../support/peer.ts'
import { get, ok, type ProxyLab, readAnswer } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** What `http2.streamWindow` is by default, and what is read at once. */
const WINDOW = 64 * KIB
const READ = 64 * KIB
/** Nobody can see what lies in the sockets of this machine: buffers grow up to it. */
const SOCKETS = 24 * MIB
/** More than the window of a connection has room for at once. */
const SLOW = 24
/** Of those whose kernel buffers fill first. */
const FEW = 3
const FLOOD = Buffer.alloc(4 * MIB, 'f')

function forEndpoint(lab: ProxyLab, url: string): Promise<RunningProxy> {
  return lab.proxy({
    tenants: [{ id: 'acme', hosts: ['acme.test'], deployment: { endpoints: [url] } }],
  })
}

/** Waits until nothing moves any more, and says how much did. */
async function settled(moved: () => number): Promise<number> {
  let [before, quiet] = [-1, 0]
  while (quiet < 10) {
    quiet = moved() === before ? quiet + 1 : 0
    before = moved()
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return before
}

function sum(streams: readonly { readonly dataSent: number }[]): number {
  return streams.reduce((all, { dataSent }) => all + dataSent, 0)
}

/** Takes all that comes on a stream as it comes, and lets as much again be sent. */
function takeAll(stream: FrameStream): FrameStream {
  stream.onData = bytes => stream.grant(bytes.length)
  return stream
}

function pathOf(stream: FrameStream): string {
  return stream.sections[0]?.find(([name]) => name === ':path')?.[1] ?? ''
}

/** Answers `/slow…` without an end, and all else with 1 MiB. */
function flooding(http2: Http2Lab): Promise<FrameDeployment> {
  return http2.deployment(stream => {
    if (!pathOf(stream).startsWith('/slow')) {
      respond(stream, 'x'.repeat(MIB))
      return
    }
    stream.section([[':status', '200']])
    stream.write(FLOOD)
  })
}

/** Never takes more than a first window of `/slow…`, and all of everything else, which it answers. */
function picky(http2: Http2Lab): Promise<FrameDeployment> {
  return http2.deployment(
    stream => {
      if (pathOf(stream).startsWith('/slow')) return
      takeAll(stream)
      void stream.until(() => stream.remoteEnded).then(() => respond(stream))
    },
    () => {},
    { granting: 'never' },
  )
}

/** That the streams of a deployment were stopped where the windows end. */
function stopped(t: Test, streams: readonly { readonly dataSent: number }[]): void {
  for (const { dataSent } of streams)
    if (dataSent < 65_535 || dataSent > 65_535 + WINDOW + READ)
      t.fail(`${dataSent} were sent on a stream that nobody reads`)
}

/** Whether a call of 1 MiB was served whole. */
async function served(t: Test, stream: FrameStream): Promise<void> {
  await stream.until(() => stream.over)
  t.equal(stream.status, 200)
  t.equal(stream.dataReceived, MIB)
}

/** A client that has no windows in its way. */
const WIDE = {
  granting: 'never',
  settings: [[INITIAL_WINDOW_SIZE, 2 ** 31 - 1]],
} as const

await http2Test(
  'an upload that ends at its deployment leaves the connection of an HTTP/1.1 client as it was',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(
      stream => {
        if (stream.remoteEnded) respond(stream)
      },
      () => {},
      { granting: 'never' },
    )
    const proxy = await forEndpoint(lab, deployment.url)
    const client = await lab.client(proxy)
    const body = 'b'.repeat(100 * KIB)
    await client.send(
      `POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    await deployment.came(1)
    const [first] = deployment.streams
    await first?.stream.until(() => first.stream.dataReceived === 65_535)
    first?.stream.reset(2)
    t.equal((await readAnswer(client)).status, 502)
    await client.send(get())
    t.equal((await readAnswer(client)).body, 'ok')
  },
)

await http2Test(
  'slow streams of a client stop their own streams at the deployment, and no other (HTTP/2 to HTTP/2)',
  async (t, lab, http2) => {
    const deployment = await flooding(http2)
    const proxy = await forEndpoint(lab, deployment.url)
    const client = await http2.client(proxy, undefined, 'public', { granting: 'never' })
    for (let call = 0; call < SLOW; call++) request(client, { path: `/slow/${call}` })
    await deployment.came(SLOW)
    const slow = deployment.streams.map(({ stream }) => stream)
    await settled(() => sum(slow))
    stopped(t, slow)
    t.equal(deployment.connections.length, 1)
    await served(t, takeAll(request(client, { path: '/fast' })))
    // And the slow ones go on where they stopped.
    const [first] = [...client.streams.values()]
    if (first !== undefined) takeAll(first).grant(WINDOW)
    await first?.until(() => first.dataReceived === FLOOD.length)
    t.equal(first?.dataReceived, FLOOD.length)
  },
)

await http2Test(
  'slow streams of a client stop their own deployments, and no other (HTTP/2 to HTTP/1.1)',
  async (t, lab, http2) => {
    const floods: Peer[] = []
    const deployment = await lab.deployment({
      serve: async peer => {
        const head = await peer.readHead()
        if (!head.startsWith('GET /slow')) {
          await peer.send(ok('x'.repeat(MIB)))
          return
        }
        await peer.send(`HTTP/1.1 200 OK\r\ncontent-length: ${1024 * MIB}\r\n\r\n`)
        floods.push(peer)
        peer.flood(Buffer.alloc(64 * KIB, 'f'), 1024 * MIB)
      },
    })
    const proxy = await forEndpoint(lab, `http://127.0.0.1:${deployment.port}`)
    const client = await http2.client(proxy, undefined, 'public', { granting: 'never' })
    for (let call = 0; call < 4; call++) request(client, { path: `/slow/${call}` })
    await client.until(() => [...client.streams.values()].every(each => each.dataReceived > 65_000))
    await settled(() => floods.reduce((all, { socket }) => all + socket.bytesWritten, 0))
    for (const { socket } of floods)
      t.ok(socket.bytesWritten < SOCKETS, `${socket.bytesWritten} and no more were sent`)
    await served(t, takeAll(request(client, { path: '/fast' })))
    client.abort('reset')
  },
)

await http2Test(
  'a client that does not read stops its stream at the deployment, and no other (HTTP/1.1 to HTTP/2)',
  async (t, lab, http2) => {
    const deployment = await flooding(http2)
    const proxy = await forEndpoint(lab, deployment.url)
    const slow: Peer[] = []
    for (let call = 0; call < FEW; call++) {
      const client = await lab.client(proxy)
      client.socket.pause()
      await client.send(get(`/slow/${call}`))
      slow.push(client)
    }
    await deployment.came(FEW)
    for (const { stream } of deployment.streams)
      for (let piece = 0; piece < 10; piece++) stream.write(FLOOD)
    const streams = deployment.streams.map(({ stream }) => stream)
    const sent = await settled(() => sum(streams))
    t.ok(sent < FEW * SOCKETS, `${sent} and no more were sent`)
    t.ok(streams.every(({ unsent }) => unsent > 0))
    const client = await lab.client(proxy)
    await client.send(get('/fast'))
    t.equal((await readAnswer(client)).body.length, MIB)
    t.equal(deployment.connections.length, 1)
  },
)

await http2Test(
  'what is kept for a client with huge windows that does not read is bounded, and others go on',
  async (t, lab, http2) => {
    const deployment = await flooding(http2)
    const proxy = await forEndpoint(lab, deployment.url)
    const client = await http2.client(proxy, undefined, 'public', WIDE)
    client.connection(frame(8, 0, uint32(2 ** 31 - 1 - 2 * MIB)))
    await client.barrier()
    client.socket.pause()
    const other = await http2.client(proxy)
    for (let call = 0; call < SLOW; call++) request(client, { path: `/slow/${call}` })
    await deployment.came(SLOW)
    const streams = deployment.streams.map(({ stream }) => stream)
    for (const stream of streams) for (let piece = 0; piece < 4; piece++) stream.write(FLOOD)
    const sent = await settled(() => sum(streams))
    t.ok(sent < SOCKETS + SLOW * 2 * WINDOW, `${sent} and no more were sent`)
    await served(t, request(other, { path: '/fast' }))
  },
)

await http2Test(
  'what is kept for a tenant is bounded by its calls at once, over all of its connections',
  async (t, lab, http2) => {
    const deployment = await flooding(http2)
    const proxy = await lab.proxy({
      tenants: [
        {
          id: 'acme',
          hosts: ['acme.test'],
          limits: { concurrency: FEW },
          deployment: { endpoints: [deployment.url] },
        },
      ],
    })
    const calls: FrameStream[] = []
    for (let connection = 0; connection < FEW; connection++) {
      const client = await http2.client(proxy, undefined, 'public', { granting: 'never' })
      for (let call = 0; call < FEW; call++) calls.push(request(client, { path: '/slow' }))
    }
    for (const call of calls) await call.until(() => call.status !== 0)
    t.equal(calls.filter(({ status }) => status === 200).length, FEW)
    const streams = deployment.streams.map(({ stream }) => stream)
    t.equal(streams.length, FEW)
    await settled(() => sum(streams))
    stopped(t, streams)
  },
)

await http2Test(
  'a client with no window for the rest of a refusal does not keep its stream for it',
  async (t, lab, http2) => {
    const proxy = await lab.proxy({
      minimumRate: { request: '1KiB/s', response: '1KiB/s', window: '200ms' },
    })
    const client = await http2.client(proxy, undefined, 'public', { granting: 'never', window: 2 })
    const refused = request(client, { authority: 'nobody.test' })
    await refused.until(() => refused.over)
    t.equal(refused.status, 401)
    t.equal(refused.dataReceived, 2)
    t.equal(refused.resetByPeer, 2)
    t.equal(proxy.rejected('read_too_slow'), 1)
  },
)

for (const [from, version] of [
  ['HTTP/2', 2],
  ['HTTP/1.1', 1],
] as const)
  await http2Test(
    `a deployment that does not take uploads stops those, and no other (${from} to HTTP/2)`,
    async (t, lab, http2) => {
      const deployment = await picky(http2)
      const proxy = await forEndpoint(lab, deployment.url)
      const client = await http2.client(proxy)
      const slow: { readonly dataSent: number }[] = []
      const calls = version === 2 ? SLOW : FEW
      for (let call = 0; call < calls; call++)
        slow.push(version === 2 ? slowUpload(client, call) : await slowUpload1(lab, proxy))
      await deployment.came(calls)
      await settled(() => sum(slow))
      t.ok(deployment.streams.every(({ stream }) => stream.dataReceived === 65_535))
      if (version === 2) stopped(t, slow)
      else t.ok(sum(slow) < calls * SOCKETS)
      // The windows of the connection, on both sides, are open to the rest.
      const fast = request(client, { method: 'POST', path: '/fast', end: false })
      fast.write(FLOOD)
      fast.end()
      await fast.until(() => fast.over)
      t.equal(fast.status, 200)
      t.equal(deployment.connections.length, 1)
    },
  )

function slowUpload(client: Parameters<typeof request>[0], call: number): FrameStream {
  const stream = request(client, { method: 'POST', path: `/slow/${call}`, end: false })
  stream.write(FLOOD)
  return stream
}

async function slowUpload1(
  lab: ProxyLab,
  proxy: RunningProxy,
): Promise<{ readonly dataSent: number }> {
  const client = await lab.client(proxy)
  const length = 200 * MIB
  await client.send(`POST /slow HTTP/1.1\r\nhost: acme.test\r\ncontent-length: ${length}\r\n\r\n`)
  client.flood(Buffer.alloc(64 * KIB, 'y'), length)
  return {
    get dataSent() {
      return client.socket.bytesWritten
    },
  }
}

await http2Test(
  'a deployment that does not read stops its upload, and no other (HTTP/2 to HTTP/1.1)',
  async (t, lab, http2) => {
    const deployment = await lab.deployment({
      serve: async peer => {
        const head = await peer.readHead()
        if (head.startsWith('POST /slow')) peer.socket.pause()
        else {
          await peer.readBytes(FLOOD.length)
          await peer.send(ok())
        }
      },
    })
    const proxy = await forEndpoint(lab, `http://127.0.0.1:${deployment.port}`)
    const client = await http2.client(proxy)
    const slow = Array.from({ length: FEW }, (_, call) => slowUpload(client, call))
    for (const stream of slow) for (let piece = 0; piece < 10; piece++) stream.write(FLOOD)
    const sent = await settled(() => sum(slow))
    t.ok(sent < FEW * SOCKETS, `${sent} and no more were sent`)
    t.ok(slow.every(({ unsent }) => unsent > 0))
    const more = [['content-length', String(FLOOD.length)]] as const
    const fast = request(client, { method: 'POST', path: '/fast', more, end: false })
    fast.write(FLOOD)
    fast.end()
    await fast.until(() => fast.over)
    t.equal(fast.status, 200)
    // It ends its side in the middle of its uploads, and nothing of them is left.
    client.abort('end')
  },
)
