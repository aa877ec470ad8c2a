/** Small calls over HTTP/2 in cleartext, and calls of gRPC: many streams on few connections. */
import { http2Answers } from '../deployments/http2.ts'
import { answers } from '../deployments/nginx.ts'
import { CPU_A_CALL, CPU_A_MESSAGE } from '../harness/figure.ts'
import { grpcStreaming } from '../loads/grpc-streaming.ts'
import { http2Calls } from '../loads/http2.ts'
import type { Lane } from './lane.ts'

/** What this project asks of itself beside the others, in all of these lanes. */
const BY_KEY = { haproxy: 0.85, 'node-http2': 6 }
const BY_TOKEN = { haproxy: 2.5, 'node-http2': 6 }

const TEN_STREAMS = { connections: 16, streams: 10 }

const CALLS = {
  traffic: 'calls',
  credential: 'api-key',
  tls: false,
  tenants: 10,
  http2: { upstream: 'http2' },
  deployment: http2Answers,
  figure: CPU_A_CALL,
  atLeast: BY_KEY,
} as const

export const http2OneStream: Lane = {
  ...CALLS,
  name: 'http2-1',
  title: 'HTTP/2 to HTTP/2, a stream at a time on each connection, the tenant by API key',
  load: http2Calls({ connections: 64, streams: 1 }),
}

export const http2TenStreams: Lane = {
  ...CALLS,
  name: 'http2-10',
  title: 'HTTP/2 to HTTP/2, 10 streams at once on each connection, the tenant by API key',
  load: http2Calls(TEN_STREAMS),
}

export const http2HundredStreams: Lane = {
  ...CALLS,
  name: 'http2-100',
  title: 'HTTP/2 to HTTP/2, 100 streams at once on each connection, the tenant by API key',
  load: http2Calls({ connections: 4, streams: 100 }),
}

export const http2Jwt: Lane = {
  ...CALLS,
  name: 'http2-jwt',
  title: 'HTTP/2 to HTTP/2, 10 streams at once on each connection, the tenant by RS256 JWT',
  credential: 'jwt',
  tenants: 100,
  load: http2Calls(TEN_STREAMS),
  atLeast: BY_TOKEN,
}

export const http2ToHttp1: Lane = {
  ...CALLS,
  name: 'http2-http1',
  title: 'HTTP/2 to HTTP/1.1, 10 streams at once on each connection, the tenant by API key',
  http2: { upstream: 'http1' },
  deployment: answers,
  load: http2Calls(TEN_STREAMS),
}

const GRPC = { ...CALLS, traffic: 'grpc' } as const

export const grpcUnary: Lane = {
  ...GRPC,
  name: 'grpc-unary',
  title: 'unary calls of gRPC with 100 bytes, 10 at once on each connection, the tenant by API key',
  load: http2Calls(TEN_STREAMS),
}

export const grpcMessages: Lane = {
  ...GRPC,
  name: 'grpc-streaming',
  title: 'messages of 100 bytes there and back on streams of gRPC, 10 on each connection',
  load: grpcStreaming(TEN_STREAMS),
  figure: CPU_A_MESSAGE,
}
