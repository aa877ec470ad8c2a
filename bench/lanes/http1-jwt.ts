import type { Lane } from './lane.ts'

export const http1Jwt: Lane = {
  name: 'http1-jwt',
  title: 'HTTP/1.1 to HTTP/1.1, the tenant by RS256 JWT',
  credential: 'jwt',
  tls: false,
  tenants: 100,
  connections: 64,
  atLeast: { haproxy: 2.5, 'http2-proxy': 5, undici: 2 },
}
