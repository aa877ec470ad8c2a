/** Small calls over kept connections: what most of a proxy's work is. */
import { answers } from '../deployments/nginx.ts'
import { CPU_A_CALL } from '../harness/figure.ts'
import { wrk } from '../loads/wrk.ts'
import type { Lane } from './lane.ts'

const CALLS = {
  traffic: 'calls',
  deployment: answers,
  load: wrk({ connections: 64 }),
  figure: CPU_A_CALL,
} as const

export const http1ApiKey: Lane = {
  ...CALLS,
  name: 'http1-api-key',
  title: 'HTTP/1.1 to HTTP/1.1, the tenant by API key',
  credential: 'api-key',
  tls: false,
  tenants: 10,
  // The spike checks nothing: at most 1.6 of its CPU is what all checks, limits and metering together may cost.
  atLeast: { haproxy: 0.85, 'http2-proxy': 5, undici: 2, 'raw-spike': 0.625 },
}

export const http1Jwt: Lane = {
  ...CALLS,
  name: 'http1-jwt',
  title: 'HTTP/1.1 to HTTP/1.1, the tenant by RS256 JWT',
  credential: 'jwt',
  tls: false,
  tenants: 100,
  atLeast: { haproxy: 2.5, 'http2-proxy': 5, undici: 2 },
}

export const http1TlsApiKey: Lane = {
  ...CALLS,
  name: 'http1-tls-api-key',
  title: 'HTTP/1.1 over TLS to HTTP/1.1, the tenant by API key',
  credential: 'api-key',
  tls: true,
  tenants: 10,
  atLeast: { 'http2-proxy': 5, undici: 2 },
}

export const http1TlsJwt: Lane = {
  ...CALLS,
  name: 'http1-tls-jwt',
  title: 'HTTP/1.1 over TLS to HTTP/1.1, the tenant by RS256 JWT',
  credential: 'jwt',
  tls: true,
  tenants: 100,
  atLeast: { haproxy: 2, 'http2-proxy': 5, undici: 2 },
}
