/** The loads over HTTP/2 are what stands between a proxy that answers wrongly and a figure for it. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { type Test, test } from 'tap'
import { answerTo } from '../../../bench/deployments/deployment.ts'
import { grpcMessage, UNARY_REQUEST } from '../../../bench/harness/http2-call.ts'
import { Http2Probe } from '../../../bench/harness/http2-probe.ts'
import type { Work } from '../../../bench/harness/work.ts'
import { grpcMessages, grpcUnary, http2TenStreams } from '../../../bench/lanes/http2-lanes.ts'
import type { Lane } from '../../../bench/lanes/lane.ts'
import { grpcStreaming } from '../../../bench/loads/grpc-streaming.ts'
import { http2Calls } from '../../../bench/loads/http2.ts'
import type { Load, Outcome } from '../../../bench/loads/load.ts'

const SECONDS = 0.05

function workOf(lane: Lane): Work {
  return {
    lane,
    folder: '',
    path: '/v1/orders/1',
    field: 'x-api-key',
    tenants: ['1', '2', '3'].map(n => ({ id: `t-${n}`, credential: `key-${n}` })),
    foreignCredential: 'key-of-nobody',
    credentialFile: '',
    jwt: undefined,
    tls: undefined,
  }
}

type OnCall = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

async function serve(t: Test, onCall: OnCall): Promise<number> {
  const server = createServer()
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {})
    onCall(stream, headers)
  })
  server.on('session', session => t.teardown(() => session.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}

/** One connection with two streams. */
async function load(t: Test, lane: Lane, onCall: OnCall): Promise<Outcome> {
  const port = await serve(t, onCall)
  return loadOf(lane)({ work: workOf(lane), port, seconds: SECONDS, rate: 0 })
}

function loadOf(lane: Lane): Load {
  const options = { connections: 1, streams: 2 }
  return lane === grpcMessages ? grpcStreaming(options) : http2Calls(options)
}

const tenantOf = (headers: IncomingHttpHeaders): string =>
  String(headers['x-api-key']).replace('key', 't')

function plain(body: (headers: IncomingHttpHeaders) => string, status = 200): OnCall {
  return (stream, headers) => {
    stream.respond({ ':status': status })
    stream.end(body(headers))
  }
}

const rightPlain = plain(headers => answerTo(tenantOf(headers), ''))

interface GrpcAnswer {
  readonly body?: (headers: IncomingHttpHeaders) => string
  readonly status?: string
  readonly trailers?: boolean
}

function unary({ body, status = '0', trailers = true }: GrpcAnswer): OnCall {
  return (stream, headers) => {
    const text = body ? body(headers) : answerTo(tenantOf(headers), '')
    stream.resume()
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: trailers })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }))
    stream.end(grpcMessage(Buffer.from(text)))
  }
}

function talk(change: (message: Buffer) => Buffer, options: GrpcAnswer = {}): OnCall {
  return (stream, headers) => {
    const whose = options.body ? options.body(headers) : tenantOf(headers)
    stream.respond({ 'x-tenant': whose }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': options.status ?? '0' }))
    stream.on('data', (piece: Buffer) => stream.write(change(piece)))
    stream.on('end', () => stream.end())
  }
}

await test('right answers are counted, and each call is made as the next tenant', async t => {
  const keys: string[] = []
  const outcome = await load(t, http2TenStreams, (stream, headers) => {
    keys.push(String(headers['x-api-key']))
    rightPlain(stream, headers)
  })
  t.equal(outcome.units, keys.length)
  t.equal(outcome.calls, keys.length)
  t.ok(keys.length >= 2)
  t.same(
    keys,
    keys.map((_, at) => `key-${(at % 3) + 1}`),
  )
})

await test('at most so many streams of a connection are open at once', async t => {
  let open = 0
  let most = 0
  await load(t, http2TenStreams, (stream, headers) => {
    open += 1
    most = Math.max(most, open)
    stream.on('close', () => {
      open -= 1
    })
    setImmediate(() => rightPlain(stream, headers))
  })
  t.equal(most, 2)
})

await test('a unary call of gRPC sends its message, and is right with its message and status 0', async t => {
  const bodies: Buffer[] = []
  const outcome = await load(t, grpcUnary, (stream, headers) => {
    const pieces: Buffer[] = []
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => bodies.push(Buffer.concat(pieces)))
    t.match(headers, {
      ':method': 'POST',
      te: 'trailers',
      'content-type': 'application/grpc',
    })
    unary({})(stream, headers)
  })
  t.equal(outcome.units, bodies.length)
  t.ok(bodies.every(body => body.equals(UNARY_REQUEST)))
})

await test('messages of a stream are counted there and back, and streams end with status 0', async t => {
  let messages = 0
  const outcome = await load(
    t,
    grpcMessages,
    talk(message => {
      messages += 1
      return message
    }),
  )
  t.equal(outcome.units, messages)
  t.equal(outcome.calls, 2)
})

await test('every way in which a call over HTTP/2 can be answered wrongly is an error', async t => {
  const cases: Record<string, OnCall> = {
    'the answer of another tenant': plain(() => answerTo('t-9', '')),
    'a credential that reached the deployment': plain(headers =>
      answerTo(tenantOf(headers), String(headers['x-api-key'])),
    ),
    'another status': plain(headers => answerTo(tenantOf(headers), ''), 206),
    'a body that was cut': plain(headers => answerTo(tenantOf(headers), '').slice(0, -1)),
    'a body that is too long': plain(headers => `${answerTo(tenantOf(headers), '')} `),
    'no body': stream => stream.respond({}, { endStream: true }),
    'a stream that is reset': stream => stream.close(2),
    'a connection that is cut': stream => stream.session?.destroy(),
    'a proxy that goes away': stream => stream.session?.goaway(0),
  }
  for (const [name, onCall] of Object.entries(cases))
    await t.rejects(load(t, http2TenStreams, onCall), { name: 'WrongAnswer' }, name)
})

await test('every way in which a unary call of gRPC can be answered wrongly is an error', async t => {
  const cases: Record<string, OnCall> = {
    'the message of another tenant': unary({ body: () => answerTo('t-9', '') }),
    'another status': unary({ status: '2' }),
    'no trailers': unary({ trailers: false }),
    'trailers alone': stream => stream.respond({ 'grpc-status': '0' }, { endStream: true }),
  }
  for (const [name, onCall] of Object.entries(cases))
    await t.rejects(load(t, grpcUnary, onCall), { name: 'WrongAnswer' }, name)
})

await test('every way in which a stream of gRPC can go wrong is an error', async t => {
  const cases: Record<string, OnCall> = {
    'the stream of another tenant': talk(message => message, { body: () => 't-9' }),
    'another message': talk(message => Buffer.alloc(message.length)),
    'a message twice': talk(message => Buffer.concat([message, message])),
    'another status': talk(message => message, { status: '2' }),
    'an early end': (stream, headers) => unary({ body: () => '' })(stream, headers),
    'a stream that is reset': stream => stream.close(8),
  }
  for (const [name, onCall] of Object.entries(cases))
    await t.rejects(load(t, grpcMessages, onCall), { name: 'WrongAnswer' }, name)
})

await test('a probe finds out a proxy that lets a stranger in, or answers a tenant wrongly', async t => {
  const probe = async (lane: Lane, onCall: OnCall): Promise<Http2Probe> => {
    const made = await Http2Probe.open(workOf(lane), await serve(t, onCall))
    t.teardown(async () => made.close())
    return made
  }
  await (await probe(http2TenStreams, rightPlain)).all()
  await (
    await probe(
      http2TenStreams,
      plain(() => '', 401),
    )
  ).refused()
  await (await probe(grpcUnary, unary({}))).all()
  await (await probe(grpcUnary, unary({ status: '16' }))).refused()
  await (
    await probe(
      grpcUnary,
      plain(() => '', 401),
    )
  ).refused()
  const wrong = { name: 'WrongAnswer' }
  await t.rejects(
    (
      await probe(
        http2TenStreams,
        plain(() => answerTo('t-9', '')),
      )
    ).all(),
    wrong,
  )
  await t.rejects(
    (await probe(http2TenStreams, rightPlain)).refused(),
    /foreign credential got 200/,
  )
  await t.rejects((await probe(grpcUnary, unary({ status: '2' }))).all(), wrong)
  await t.rejects((await probe(grpcUnary, unary({}))).refused(), wrong)
})
