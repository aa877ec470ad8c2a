/**
 * Streams that end half way, in each phase of a call and from either side. What is billed is all that the client wrote on the
 * stream, its reset too, and all that came back; and nothing at all where no deployment has seen the call.
 */
import type { Test } from 'tap'
import type { FramePeer } from './frame-peer.ts'
import type { FrameStream } from './frame-stream.ts'
import { type Actors, type Billed, costOf, NOTHING, plus, type Story } from './usage-lab.ts'

const HALF = 5_000

/** The tenant has one place: it is free again if another call gets an answer. */
async function anotherCall(t: Test, actors: Actors, client: FramePeer): Promise<Billed> {
  const stream = client.request(actors.head('GET'), { end: true })
  const call = await actors.deployment.next()
  call.answer([['content-length', '2']])
  call.data(Buffer.from('ok'))
  call.end()
  await stream.until(() => stream.over)
  t.equal(stream.status, 200, 'the place of the call is free again')
  return costOf(t, stream)
}

/** The client resets, and the deployment hears it; the cost of this and of another call. */
async function resetByClient(
  t: Test,
  actors: Actors,
  { client, stream }: { client: FramePeer; stream: FrameStream },
): Promise<Billed> {
  const call = actors.deployment.calls[0]
  stream.reset()
  await client.barrier()
  await call?.until(() => false)
  t.equal(call?.aborted, true, 'the deployment hears of it')
  return plus(costOf(t, stream), await anotherCall(t, actors, client))
}

/** The deployment resets, and the client gets `status`, or no end of its answer. */
async function resetByDeployment(
  t: Test,
  actors: Actors,
  { client, stream, status }: { client: FramePeer; stream: FrameStream; status: number },
): Promise<Billed> {
  actors.deployment.calls[0]?.reset()
  await stream.until(() => stream.remoteEnded || stream.resetByPeer !== undefined)
  t.equal(stream.status, status)
  t.equal(stream.remoteEnded, status === 502, 'an answer that was cut is not whole')
  // What is left of the request is of no use; where the proxy has said so, the reset was its.
  if (!stream.over) await stream.until(() => stream.over)
  await client.barrier()
  return plus(costOfAnswered(t, stream), await anotherCall(t, actors, client))
}

/** We have sent nothing since the answer began: all of it was before. */
function costOfAnswered(t: Test, stream: FrameStream): Billed {
  t.equal(stream.resetByUs, undefined)
  return { calls: 1, ingress: stream.sent, egress: stream.received }
}

async function halfRequest(actors: Actors): Promise<{ client: FramePeer; stream: FrameStream }> {
  const client = await actors.connect()
  const stream = client.request(actors.head('POST', [['content-length', `${2 * HALF}`]]))
  stream.write(Buffer.alloc(HALF, 'q'))
  const call = await actors.deployment.next()
  await call.until(() => call.received === HALF)
  return { client, stream }
}

async function halfAnswer(
  actors: Actors,
  octets: number,
): Promise<{ client: FramePeer; stream: FrameStream }> {
  const client = await actors.connect()
  const stream = client.request(actors.head('GET', [['te', 'trailers']]), { end: true })
  const call = await actors.deployment.next()
  call.answer()
  call.data(Buffer.alloc(octets, 'a'))
  await stream.until(() => stream.dataReceived === octets)
  return { client, stream }
}

/** Reset in the same write as it begins, or later, and never seen by anybody: no usage, however often. */
async function resetUnseen(
  t: Test,
  { connect, head }: Actors,
  { proof, waits }: { proof: 'key' | 'token'; waits: boolean },
): Promise<Billed> {
  const client = await connect()
  for (let times = 0; times < 2; times++) {
    const stream = client.request(head('POST', [], proof))
    stream.write(Buffer.alloc(100))
    if (waits) await client.barrier()
    stream.reset()
    await client.barrier()
    t.equal(stream.received, 0, 'nothing came back')
  }
  return NOTHING
}

export const RESETS: readonly Story[] = [
  {
    name: 'the client resets before the verdict',
    play: async (t, actors) => {
      const cost = await resetUnseen(t, actors, { proof: 'token', waits: false })
      const client = await actors.connect()
      t.equal(actors.deployment.calls.length, 0, 'the deployment has not heard of it')
      return plus(cost, await anotherCall(t, actors, client))
    },
  },
  {
    name: 'the client resets while the call waits for a deployment',
    deployment: 'never accepts',
    play: async (t, actors) => resetUnseen(t, actors, { proof: 'key', waits: true }),
  },
  {
    name: 'the deployment cannot be reached',
    deployment: 'refuses',
    play: async (t, { connect, head }) => {
      const client = await connect()
      for (let times = 0; times < 2; times++) {
        const stream = client.request(head('GET'), { end: true })
        await stream.until(() => stream.over)
        t.equal(stream.status, 503)
      }
      return NOTHING
    },
  },
  {
    name: 'the client resets in the middle of its body',
    play: async (t, actors) => resetByClient(t, actors, await halfRequest(actors)),
  },
  {
    name: 'the client resets between its last data and its trailers',
    play: async (t, actors) => {
      const client = await actors.connect()
      const stream = client.request(actors.head('POST'))
      stream.write(Buffer.alloc(HALF, 'q'))
      const call = await actors.deployment.next()
      await call.until(() => call.received === HALF)
      return resetByClient(t, actors, { client, stream })
    },
  },
  {
    name: 'the client resets while it waits for an answer',
    play: async (t, actors) => {
      const client = await actors.connect()
      const stream = client.request(actors.head('GET'), { end: true })
      await actors.deployment.next()
      return resetByClient(t, actors, { client, stream })
    },
  },
  {
    name: 'the client resets in the middle of the answer',
    play: async (t, actors) => resetByClient(t, actors, await halfAnswer(actors, HALF)),
  },
  {
    name: 'the client resets an answer that has more than its window takes',
    play: async (t, actors) => {
      const client = await actors.connect({ window: HALF, granting: 'never' })
      const stream = client.request(actors.head('GET'), { end: true })
      const call = await actors.deployment.next()
      call.answer([['content-length', `${100 * HALF}`]])
      call.data(Buffer.alloc(100 * HALF, 'a'))
      await stream.until(() => stream.dataReceived === HALF)
      return resetByClient(t, actors, { client, stream })
    },
  },
  {
    name: 'the client resets between the last data and the trailers of the answer',
    play: async (t, actors) => {
      const client = await actors.connect()
      const stream = client.request(actors.head('GET', [['te', 'trailers']]), { end: true })
      const call = await actors.deployment.next()
      call.answer([['trailer', 'x-sum']])
      call.data(Buffer.alloc(HALF, 'a'))
      await stream.until(() => stream.dataReceived === HALF)
      return resetByClient(t, actors, { client, stream })
    },
  },
  {
    name: 'the deployment resets in the middle of the request',
    play: async (t, actors) =>
      resetByDeployment(t, actors, { ...(await halfRequest(actors)), status: 502 }),
  },
  {
    name: 'the deployment resets instead of an answer',
    play: async (t, actors) => {
      const client = await actors.connect()
      const stream = client.request(actors.head('POST'))
      stream.write(Buffer.alloc(HALF, 'q'))
      stream.end()
      const call = await actors.deployment.next()
      await call.until(() => call.ended)
      return resetByDeployment(t, actors, { client, stream, status: 502 })
    },
  },
  {
    name: 'the deployment resets, and the client has no window for the error',
    play: async (t, actors) => {
      const client = await actors.connect({ window: 0, granting: 'never' })
      const stream = client.request(actors.head('GET'), { end: true })
      const call = await actors.deployment.next()
      call.reset()
      await stream.until(() => stream.status === 502)
      stream.grant(10)
      await stream.until(() => stream.dataReceived === 10)
      stream.grant(1_000)
      await stream.until(() => stream.over)
      await client.barrier()
      const other = await actors.connect()
      return plus(costOf(t, stream), await anotherCall(t, actors, other))
    },
  },
  {
    name: 'the deployment answers before it has read the request',
    play: async (t, actors) => {
      const { client, stream } = await halfRequest(actors)
      const call = actors.deployment.calls[0]
      call?.answer([['content-length', '3']], 413)
      call?.data(Buffer.from('big'))
      call?.end()
      await stream.until(() => stream.over)
      t.equal(stream.status, 413)
      t.ok(stream.remoteEnded, 'the answer is whole')
      t.equal(stream.resetByPeer, 0, 'and the rest of the request is not wanted')
      await client.barrier()
      return plus(costOfAnswered(t, stream), await anotherCall(t, actors, client))
    },
  },
  {
    name: 'the deployment resets in the middle of its answer',
    play: async (t, actors) =>
      resetByDeployment(t, actors, { ...(await halfAnswer(actors, HALF)), status: 200 }),
  },
  {
    name: 'the deployment resets between its last data and its trailers',
    play: async (t, actors) => {
      const client = await actors.connect()
      const stream = client.request(actors.head('GET', [['te', 'trailers']]), { end: true })
      const call = await actors.deployment.next()
      call.answer([['trailer', 'x-sum']])
      call.data(Buffer.alloc(HALF, 'a'))
      await stream.until(() => stream.dataReceived === HALF)
      return resetByDeployment(t, actors, { client, stream, status: 200 })
    },
  },
]
