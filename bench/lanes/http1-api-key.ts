import type { Lane } from './lane.ts'

export const http1ApiKey: Lane = {
  name: 'http1-api-key',
  title: 'HTTP/1.1 to HTTP/1.1, the tenant by API key',
  credential: 'api-key',
  tls: false,
  tenants: 10,
  connections: 64,
  // The spike checks nothing: at most 1.6 of its CPU is what all checks, limits and metering together may cost.
  atLeast: { haproxy: 0.85, 'http2-proxy': 5, undici: 2, 'raw-spike': 0.625 },
}
