/** Active checks over HTTP/2, in cleartext and over TLS: for a path, and by gRPC's health protocol. */
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import {
  Server as GrpcServer,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { type Test, test } from 'tap'
import { Endpoint } from '../../src/proxy/pool/endpoint.ts'
import { acceptsConnection, answersHttp, servesGrpc } from '../../src/proxy/pool/health-probe.ts'
import { TestAuthority } from '../support/certificates.ts'
import { eventually, get, proxyTest, tenant } from '../support/proxy-lab.ts'

const PATIENCE_MS = 5_000
const SHORT_MS = 150
/** `HealthCheckResponse` with SERVING and NOT_SERVING, as a message of gRPC. */
const SERVING = Buffer.from('00000000020801', 'hex')
const NOT_SERVING = Buffer.from('00000000020802', 'hex')

type Serve = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void

/** A deployment by `node:http2`, in cleartext or with a certificate; its URL. */
async function deployment(
  t: Test,
  serve: Serve,
  tls?: { readonly cert: string; readonly key: string },
): Promise<string> {
  const server = tls === undefined ? http2.createServer() : http2.createSecureServer(tls)
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', session => {
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on('error', () => {})
    serve(stream, headers)
  })
  server.on('error', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  const { port } = server.address() as net.AddressInfo
  return `${tls === undefined ? 'h2c' : 'h2'}://127.0.0.1:${port}`
}

function answering(code: number, body = 'well'): Serve {
  return stream => {
    stream.respond({ ':status': code })
    stream.end(body)
  }
}

/** A whole answer of gRPC: its body, and its status in the trailers. */
function grpcAnswer(body: Buffer, grpcStatus = '0', type = 'application/grpc+proto'): Serve {
  return stream => {
    stream.respond({ ':status': 200, 'content-type': type }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': grpcStatus }))
    stream.end(body)
  }
}

function trailersOnly(grpcStatus: number): Serve {
  return stream => {
    const fields = { 'content-type': 'application/grpc', 'grpc-status': String(grpcStatus) }
    stream.respond({ ':status': 200, ...fields }, { endStream: true })
  }
}

await test('a path is asked for by HTTP/2, under the name of the endpoint', async t => {
  const asked: http2.IncomingHttpHeaders[] = []
  const url = await deployment(t, (stream, headers) => {
    asked.push(headers)
    answering(200)(stream, headers)
  })
  t.equal(await answersHttp(new Endpoint(url), '/healthz?deep=1', PATIENCE_MS), true)
  t.match(asked[0], {
    ':method': 'GET',
    ':scheme': 'http',
    ':authority': new URL(url).host,
    ':path': '/healthz?deep=1',
  })
})

await test('2xx and 3xx are well, and nothing else', async t => {
  for (const [code, well] of [
    [200, true],
    [204, true],
    [302, true],
    [404, false],
    [500, false],
  ] as const) {
    const url = await deployment(t, answering(code, code === 204 ? '' : 'body'))
    t.equal(await answersHttp(new Endpoint(url), '/', PATIENCE_MS), well, String(code))
  }
})

await test('an interim answer is none, and a long body is not read to its end', async t => {
  const early = await deployment(t, stream => {
    stream.additionalHeaders({ ':status': 103 })
    stream.respond({ ':status': 500 }, { endStream: true })
  })
  t.equal(await answersHttp(new Endpoint(early), '/', PATIENCE_MS), false)
  const long = await deployment(t, stream => {
    stream.respond({ ':status': 200 })
    stream.write(Buffer.alloc(1024 * 1024))
  })
  t.equal(await answersHttp(new Endpoint(long), '/', PATIENCE_MS), true)
})

await test('no whole answer in time is not well', async t => {
  const silent = await deployment(t, () => {})
  t.equal(await answersHttp(new Endpoint(silent), '/', SHORT_MS), false, 'nothing')
  const half = await deployment(t, stream => {
    stream.respond({ ':status': 200 })
    stream.write('half')
  })
  t.equal(await answersHttp(new Endpoint(half), '/', SHORT_MS), false, 'half')
  const reset = await deployment(t, stream => stream.close(http2.constants.NGHTTP2_REFUSED_STREAM))
  t.equal(await answersHttp(new Endpoint(reset), '/', PATIENCE_MS), false, 'reset')
  const away = await deployment(t, stream => stream.session?.goaway(0, 0))
  t.equal(await answersHttp(new Endpoint(away), '/', PATIENCE_MS), false, 'gone away')
  const cut = await deployment(t, stream => stream.session?.destroy())
  t.equal(await answersHttp(new Endpoint(cut), '/', PATIENCE_MS), false, 'cut off')
})

await test('what speaks something else is not well', async t => {
  const server = net.createServer(socket => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as net.AddressInfo
  t.equal(await answersHttp(new Endpoint(`h2c://127.0.0.1:${port}`), '/', PATIENCE_MS), false)
  t.equal(await servesGrpc(new Endpoint(`h2c://127.0.0.1:${port}`), '', PATIENCE_MS), false)
})

await test('over TLS the certificate is verified, with a path and without', async t => {
  const ca = await TestAuthority.create(t)
  const url = await deployment(t, answering(200), await ca.server(['fit.test'], ['127.0.0.1']))
  const trusted = new Endpoint(url, { tls: { ca: ca.cert } })
  t.equal(await answersHttp(trusted, '/', PATIENCE_MS), true)
  t.equal(await acceptsConnection(trusted, PATIENCE_MS), true)
  const unknown = new Endpoint(url)
  t.equal(await answersHttp(unknown, '/', PATIENCE_MS), false)
  t.equal(await acceptsConnection(unknown, PATIENCE_MS), false)
})

await test('gRPC: the service is asked for, with a deadline', async t => {
  const asked: http2.IncomingHttpHeaders[] = []
  const bodies: string[] = []
  const url = await deployment(t, (stream, headers) => {
    asked.push(headers)
    stream.on('data', (chunk: Buffer) => bodies.push(chunk.toString('hex')))
    stream.on('end', () => grpcAnswer(SERVING)(stream, headers))
  })
  t.equal(await servesGrpc(new Endpoint(url), 'a.B', 2_000), true)
  t.match(asked[0], {
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-timeout': '2000m',
  })
  t.same(bodies, ['00000000050a03612e42'])
})

await test('gRPC: SERVING is well, and nothing else', async t => {
  const cases: Record<string, readonly [Serve, boolean]> = {
    SERVING: [grpcAnswer(SERVING), true],
    NOT_SERVING: [grpcAnswer(NOT_SERVING), false],
    UNKNOWN: [grpcAnswer(Buffer.alloc(5)), false],
    UNIMPLEMENTED: [trailersOnly(12), false],
    NOT_FOUND: [trailersOnly(5), false],
    'SERVING, and then a failure': [grpcAnswer(SERVING, '13'), false],
    'no message': [grpcAnswer(Buffer.alloc(0)), false],
    'OK without a message': [trailersOnly(0), false],
    'two messages': [grpcAnswer(Buffer.concat([SERVING, SERVING])), false],
    'half a message': [grpcAnswer(SERVING.subarray(0, 6)), false],
    'a message without an end': [grpcAnswer(Buffer.alloc(100_000, 0x10)), false],
    'no gRPC': [grpcAnswer(SERVING, '0', 'text/html'), false],
    'another status of HTTP': [answering(404), false],
  }
  for (const [name, [serve, well]] of Object.entries(cases)) {
    const url = await deployment(t, serve)
    t.equal(await servesGrpc(new Endpoint(url), '', PATIENCE_MS), well, name)
  }
  const silent = await deployment(t, () => {})
  t.equal(await servesGrpc(new Endpoint(silent), '', SHORT_MS), false, 'no answer in time')
})

await test('gRPC: a server of @grpc/grpc-js is asked for what it serves', async t => {
  const known = new Map([
    ['', SERVING],
    ['orders.v1.Orders', SERVING],
    ['orders.v1.Old', NOT_SERVING],
  ])
  const definition = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (message: Buffer) => message,
    requestDeserialize: (message: Buffer) => message,
    responseSerialize: (message: Buffer) => message,
    responseDeserialize: (message: Buffer) => message,
  } as const
  const server = new GrpcServer()
  server.addService(
    { check: definition },
    {
      check: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        // A name of less than 128 octets, behind its tag and its length.
        const found = known.get(call.request.subarray(2).toString())
        if (found === undefined) callback({ code: status.NOT_FOUND })
        else callback(null, found.subarray(5))
      },
    },
  )
  const empty = new GrpcServer()
  const bind = (of: GrpcServer): Promise<number> =>
    new Promise((resolve, reject) => {
      of.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
  const endpoint = new Endpoint(`h2c://127.0.0.1:${await bind(server)}`)
  const without = new Endpoint(`h2c://127.0.0.1:${await bind(empty)}`)
  t.teardown(() => {
    server.forceShutdown()
    empty.forceShutdown()
  })
  t.equal(await servesGrpc(endpoint, '', PATIENCE_MS), true)
  t.equal(await servesGrpc(endpoint, 'orders.v1.Orders', PATIENCE_MS), true)
  t.equal(await servesGrpc(endpoint, 'orders.v1.Old', PATIENCE_MS), false)
  t.equal(await servesGrpc(endpoint, 'orders.v1.None', PATIENCE_MS), false)
  t.equal(await servesGrpc(without, '', PATIENCE_MS), false, 'the protocol is not served')
})

await proxyTest('an endpoint that does not serve gets no calls', async (t, lab) => {
  const well = await deployment(t, grpcAnswer(SERVING))
  const ill = await deployment(t, grpcAnswer(NOT_SERVING))
  const proxy = await lab.proxy({
    tenants: [
      tenant('acme', await lab.deployment(), {
        deployment: {
          endpoints: [well, ill],
          health: { grpc: '', interval: '50ms', timeout: '1s' },
          ejection: { failures: 1_000 },
        },
      }),
    ],
  })
  // Checks begin with the first call.
  const client = await lab.client(proxy)
  await client.send(get())
  const counts = (): { healthy: number; ejected: number } | undefined => {
    proxy.worker.reportNow()
    return proxy
      .reports()
      .flatMap(report => report.endpoints)
      .at(-1)
  }
  await eventually(() => counts()?.ejected === 1)
  t.match(counts(), { healthy: 1, ejected: 1 })
})
