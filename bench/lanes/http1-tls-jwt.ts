import type { Lane } from './lane.ts'

export const http1TlsJwt: Lane = {
  name: 'http1-tls-jwt',
  title: 'HTTP/1.1 over TLS to HTTP/1.1, the tenant by RS256 JWT',
  credential: 'jwt',
  tls: true,
  tenants: 100,
  connections: 64,
  atLeast: { haproxy: 2, 'http2-proxy': 5, undici: 2 },
}
