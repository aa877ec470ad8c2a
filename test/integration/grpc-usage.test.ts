/** gRPC in the books, end to end: methods as operations, statuses as codes, and each message once, by `/v1/usage`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, t } from 'tap'
import { GrpcClient } from '../support/grpc/client.ts'
import { type GrpcDeployment, startGrpc } from '../support/grpc/service.ts'
import { FramePeer } from '../support/http2/frame-peer.ts'
import type { Fields, FrameStream } from '../support/http2/frame-stream.ts'
import {
  type HeldCall,
  type HeldDeployment,
  heldDeployment,
} from '../support/http2/held-deployment.ts'
import { type RunningAmt, readUntil, readUsage, startAmt } from '../support/running-amt.ts'

t.setTimeout(120_000)

const GRPC: Fields = [['content-type', 'application/grpc']]
const NO_SECRET = { cert: '', key: '' }

/** What a call adds to the ledger, by code: calls, messages of the request, messages of the answer. */
type Books = Readonly<Record<string, readonly [number, number, number]>>

interface Scenario {
  readonly fields?: Fields
  readonly run: (
    client: FrameStream,
    call: () => Promise<HeldCall>,
    peer: FramePeer,
  ) => Promise<void>
  readonly books: Books
}

function messages(count: number, length = 10): Buffer {
  const one = Buffer.alloc(5 + length, 0xff)
  one.writeUIntBE(length, 0, 5)
  return Buffer.concat(Array.from({ length: count }, () => one))
}
const HALF = messages(1, 100).subarray(0, 50)

function ended(status: string): Fields {
  return [['grpc-status', status]]
}

/** The client has sent all, and the deployment answers with so many messages; they have arrived, and are counted. */
async function answered(client: FrameStream, call: HeldCall, count: number): Promise<void> {
  await call.until(() => call.ended)
  call.answer(GRPC)
  call.data(messages(count))
  await client.until(() => client.dataReceived === messages(count).length)
}

/** The client sends `request`, the deployment so many messages, and then it ends. */
function exchange(
  request: Buffer,
  answers: number,
  end: (call: HeldCall) => void,
): Scenario['run'] {
  return async (client, call) => {
    client.write(request, { frame: 7 })
    client.end()
    const held = await call()
    await answered(client, held, answers)
    end(held)
    await client.until(() => client.over)
  }
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  ManyAnswers: {
    books: { 'grpc-0': [1, 1, 500] },
    run: exchange(messages(1), 500, call => call.end(ended('0'))),
  },
  ManyRequests: {
    books: { 'grpc-0': [1, 500, 1] },
    run: exchange(messages(500), 1, call => call.end(ended('0'))),
  },
  EmptyMessages: {
    books: { 'grpc-0': [1, 3, 2] },
    async run(client, call) {
      client.write(messages(3, 0))
      client.end()
      const held = await call()
      await held.until(() => held.ended)
      held.answer(GRPC)
      held.data(messages(2, 0))
      held.end(ended('0'))
      await client.until(() => client.over)
    },
  },
  FailsLate: {
    books: { 'grpc-0': [0, 1, 2], 'grpc-13': [1, 0, 0] },
    run: exchange(messages(1), 2, call => call.end(ended('13'))),
  },
  SaysNothing: {
    books: { 'grpc-0': [0, 1, 1], 'grpc-2': [1, 0, 0] },
    run: exchange(messages(1), 1, call => call.end()),
  },
  SaysNonsense: {
    books: { 'grpc-0': [0, 1, 1], 'grpc-2': [1, 0, 0] },
    run: exchange(messages(1), 1, call => call.end(ended('99'))),
  },
  NotGrpcInside: {
    books: { 'grpc-0': [1, 0, 1] },
    run: exchange(Buffer.from('this is no message, it only says so'), 1, call =>
      call.end(ended('0')),
    ),
  },
  ResetByDeployment: {
    books: { 'grpc-0': [0, 1, 2], 'grpc-14': [1, 0, 0] },
    async run(client, call) {
      client.write(messages(1))
      client.end()
      const held = await call()
      await answered(client, held, 2)
      held.data(HALF)
      await client.until(() => client.dataReceived === messages(2).length + HALF.length)
      held.reset()
      await client.until(() => client.over)
    },
  },
  ResetByClient: {
    books: { 'grpc-0': [0, 2, 1], 'grpc-1': [1, 0, 0] },
    async run(client, call, peer) {
      client.write(Buffer.concat([messages(2), HALF]))
      const held = await call()
      await held.until(() => held.received === messages(2).length + HALF.length)
      held.answer(GRPC)
      held.data(messages(1))
      await client.until(() => client.dataReceived === messages(1).length)
      await peer.barrier()
      client.reset()
      await held.until(() => held.aborted)
    },
  },
  ResetUnanswered: {
    books: { 'grpc-1': [1, 1, 0] },
    async run(client, call) {
      client.write(messages(1))
      const held = await call()
      await held.until(() => held.received === messages(1).length)
      client.reset()
      await held.until(() => held.aborted)
    },
  },
  /** Long before its own deadline. */
  ResetInTime: {
    fields: [['grpc-timeout', '1M']],
    books: { 'grpc-1': [1, 1, 0] },
    async run(client, call) {
      client.write(messages(1))
      const held = await call()
      await held.until(() => held.received === messages(1).length)
      client.reset()
      await held.until(() => held.aborted)
    },
  },
  /** By its own clock, whose reset comes a moment before the deadline is over here. */
  ResetAtDeadline: {
    fields: [['grpc-timeout', '500m']],
    books: { 'grpc-4': [1, 1, 0] },
    async run(client, call) {
      const due = new Promise(resolve => {
        setTimeout(resolve, 470)
      })
      client.write(messages(1))
      const held = await call()
      await held.until(() => held.received === messages(1).length)
      await due
      client.reset()
      await held.until(() => held.aborted)
    },
  },
  /** It is malformed, and nobody has cancelled it (RFC 9113 §8.1.1). */
  MoreThanItsLength: {
    fields: [['content-length', '5']],
    books: { 'grpc-13': [1, 0, 0] },
    async run(client, call) {
      const held = await call()
      client.write(messages(1))
      await held.until(() => held.aborted)
    },
  },
  TooLate: {
    fields: [['grpc-timeout', '300m']],
    books: { 'grpc-4': [1, 1, 0] },
    async run(client, call) {
      client.write(messages(1))
      client.end()
      await call()
      await client.until(() => client.over)
    },
  },
}

interface LoggedLine {
  readonly kind: string
  readonly code: string
  readonly path: string
  readonly grpcStatus?: number
}

interface Place {
  readonly amt: RunningAmt
  readonly held: HeldDeployment
  /** One of HTTP/1.1. */
  readonly old: HeldDeployment
  readonly service: GrpcDeployment
  readonly port: number
  /** The access log. */
  readonly log: string
}

async function place(t: Test): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'amt-grpc-'))
  t.teardown(async () => rm(folder, { recursive: true, force: true }))
  const held = await heldDeployment(t, 'h2c', NO_SECRET)
  const old = await heldDeployment(t, 'http', NO_SECRET)
  const service = await startGrpc(t, 'real')
  const method = (name: string): object => ({ name, match: `grpc orders.Orders/${name}` })
  const amt = await startAmt(t, folder, {
    service: {
      name: 'orders',
      operations: [
        ...[
          ...Object.keys(SCENARIOS),
          'Open',
          'Web',
          'Refused',
          'Lost',
          'Old',
          'Slow',
          'Slower',
        ].map(method),
        { name: 'Echo', match: 'grpc amt.test.Echo/*' },
      ],
    },
    log: { access: 'access.log' },
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: [
      { id: 'held', hosts: ['held.test'], deployment: { endpoints: [held.url] } },
      { id: 'old', hosts: ['old.test'], deployment: { endpoints: [old.url] } },
      { id: 'real', hosts: ['real.test'], deployment: { endpoints: [service.endpoint] } },
    ],
    workers: 1,
  })
  return {
    amt,
    held,
    old,
    service,
    port: amt.address('public').port,
    log: join(folder, 'access.log'),
  }
}

/** A line an operation and code: its calls, messages of requests, messages of answers. */
function linesOf(books: Readonly<Record<string, Books>>): string[] {
  const lines = Object.entries(books).flatMap(([operation, codes]) =>
    Object.entries(codes).map(([code, counts]) => `${operation} ${code} ${counts.join(' ')}`),
  )
  return lines.toSorted()
}

/** The same out of the ledger, of these operations. */
async function ledgerLines({ amt }: Place, operations: readonly string[]): Promise<string[]> {
  const windows = await readUsage(amt.mixerUrl, ['operation', 'code'])
  return windows
    .filter(({ operation = '' }) => operations.includes(operation))
    .map(window => {
      const { operation, code, calls, requestMessages, responseMessages } = window
      return [operation, code, calls, requestMessages, responseMessages].join(' ')
    })
    .toSorted()
}

async function expectBooks(t: Test, place: Place, books: Record<string, Books>): Promise<void> {
  const wanted = linesOf(books)
  const found = await readUntil(
    async () => ledgerLines(place, Object.keys(books)),
    lines => lines.join() === wanted.join(),
  )
  t.same(found, wanted)
}

function requestOf(name: string, { host = 'held.test', type = 'application/grpc' } = {}): Fields {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', host],
    [':path', `/orders.Orders/${name}`],
    ['te', 'trailers'],
    ['content-type', type],
  ]
}

await t.test('gRPC in the books', async t => {
  const here = await place(t)
  const peer = await FramePeer.connect({ host: '127.0.0.1', port: here.port })

  await t.test('whatever way a call ends, its messages and its code are exact', async t => {
    // One after the other: each takes the next call that reaches the deployment.
    for (const [name, { fields = [], run }] of Object.entries(SCENARIOS)) {
      const client = peer.request([...requestOf(name), ...fields])
      await run(client, () => here.held.next(), peer)
    }
    const books = Object.entries(SCENARIOS).map(([name, scenario]) => [name, scenario.books])
    await expectBooks(t, here, Object.fromEntries(books))
  })

  await t.test('a stream that stays open is counted as it goes', async t => {
    const client = peer.request(requestOf('Open'))
    client.write(messages(1))
    const held = await here.held.next()
    held.answer(GRPC)
    for (let count = 1; count <= 3; count++) {
      held.data(messages(1))
      await client.until(() => client.dataReceived === messages(count).length)
      client.write(messages(1))
      await held.until(() => held.received === messages(count + 1).length)
    }
    await expectBooks(t, here, { Open: { 'grpc-0': [0, 4, 3] } })
    client.end('frame')
    held.end(ended('7'))
    await client.until(() => client.over)
    await expectBooks(t, here, { Open: { 'grpc-0': [0, 4, 3], 'grpc-7': [1, 0, 0] } })
  })

  await t.test('a client that is lost half way has cancelled', async t => {
    const other = await FramePeer.connect({ host: '127.0.0.1', port: here.port })
    const client = other.request(requestOf('Lost'))
    client.write(messages(2))
    const held = await here.held.next()
    await held.until(() => held.received === messages(2).length)
    held.answer(GRPC)
    held.data(Buffer.concat([messages(1), HALF]))
    await client.until(() => client.dataReceived === messages(1).length + HALF.length)
    other.abort('reset')
    await held.until(() => held.aborted)
    await expectBooks(t, here, { Lost: { 'grpc-0': [0, 2, 1], 'grpc-1': [1, 0, 0] } })
  })

  await t.test('what the windows of a client hold back is not counted', async t => {
    const place = { host: '127.0.0.1', port: here.port }
    const slow = await FramePeer.connect(place, { window: 100, granting: 'never' })
    // The first never takes the rest; the second does at last.
    for (const name of ['Slow', 'Slower']) {
      const client = slow.request(requestOf(name))
      client.write(messages(1))
      client.end()
      const held = await here.held.next()
      await held.until(() => held.ended)
      held.answer(GRPC)
      held.data(messages(10))
      held.end(ended('0'))
      await client.until(() => client.dataReceived === 100)
      if (name === 'Slow') client.reset()
      else client.grant(50)
      await client.until(() => client.over)
    }
    const cut = await readUntil(
      async () => ledgerLines(here, ['Slow', 'Slower']),
      lines => lines.length === 3,
    )
    // Of 150 octets 100 were let out, 15 a message.
    t.same(cut, ['Slow grpc-0 0 1 6', 'Slow grpc-1 1 0 0', 'Slower grpc-0 1 1 10'])
    await slow.close()
  })

  await t.test('a deployment of HTTP/1.1 says the status in its trailers, too', async t => {
    const client = peer.request(requestOf('Old', { host: 'old.test' }))
    client.write(messages(3))
    client.end()
    const held = await here.old.next()
    await answered(client, held, 2)
    held.end(ended('9'))
    await client.until(() => client.over)
    await expectBooks(t, here, { Old: { 'grpc-0': [0, 3, 2], 'grpc-9': [1, 0, 0] } })
  })

  await t.test('what is no gRPC has no messages, whatever it looks like', async t => {
    for (const type of ['application/grpc-web+proto', 'application/json']) {
      const client = peer.request(requestOf('Web', { type }))
      client.write(messages(3))
      client.end()
      const held = await here.held.next()
      await answered(client, held, 2)
      held.end(ended('0'))
      await client.until(() => client.over)
    }
    await expectBooks(t, here, { Web: { '2xx': [2, 0, 0] } })
  })

  await t.test('a call that is refused has its status, and is no usage', async t => {
    const client = peer.request(requestOf('Refused', { host: 'nobody.test' }))
    client.write(messages(3))
    client.end()
    await client.until(() => client.over)
    t.match([client.status, client.header('grpc-status')], [200, '16'])
  })

  await t.test('all four kinds of call of a real service', async t => {
    const client = new GrpcClient(here.port, { authority: 'real.test' })
    t.equal((await client.unary('hello', {})).code, 0)
    const pieces = Array.from({ length: 20 }, (_, index) => Buffer.from(`${index}`))
    t.equal((await client.collect(pieces, {})).code, 0)
    t.equal((await client.repeat(Buffer.of(30), {})).messages.length, 30)
    const chat = client.chat({})
    for (const piece of pieces) {
      chat.stream.write(piece)
      await new Promise(resolve => chat.stream.once('data', resolve))
    }
    chat.stream.end()
    t.equal((await chat.outcome).code, 0)
    for (const code of [3, 16]) {
      const failed = await client.call('fail', JSON.stringify({ code, details: 'no' }), {})
      t.equal(failed.code, code)
    }
    client.close()
    await expectBooks(t, here, {
      Echo: {
        'grpc-0': [4, 1 + 20 + 1 + 20, 1 + 1 + 30 + 20],
        'grpc-3': [1, 1, 0],
        'grpc-16': [1, 1, 0],
      },
    })
  })

  await t.test('the access log has the status of each call', async t => {
    await peer.close()
    t.equal(await here.amt.drain(), 0)
    t.same(await ledgerLines(here, ['Refused']), [])
    const lines = (await readFile(here.log, 'utf8')).trimEnd().split('\n')
    const logged = lines
      .map(line => JSON.parse(line) as LoggedLine)
      .filter(({ kind }) => kind === 'call')
    const ends = Object.entries(SCENARIOS).map(([name, { books }]) => {
      const [code] = Object.entries(books).find(([, [calls]]) => calls === 1) ?? []
      return `/orders.Orders/${name} ${code}`
    })
    t.same(
      logged.slice(0, ends.length).map(({ path, grpcStatus }) => `${path} grpc-${grpcStatus}`),
      ends,
    )
    const codes = ['ResetInTime', 'ResetAtDeadline', 'MoreThanItsLength'].map(
      name => logged.find(({ path }) => path.endsWith(`/${name}`))?.code,
    )
    t.same(codes, ['client_closed', 'call_timeout', 'http2_invalid'])
    const of = (name: string): unknown[] =>
      logged.filter(({ path }) => path.endsWith(`/${name}`)).map(({ grpcStatus }) => grpcStatus)
    t.same([of('Open'), of('Web'), of('Refused')], [[7], [undefined, undefined], [16]])
  })
})
