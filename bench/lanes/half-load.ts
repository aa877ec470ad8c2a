import { answers } from '../deployments/nginx.ts'
import { LATENCY } from '../harness/figure.ts'
import { wrk } from '../loads/wrk.ts'
import type { Lane } from './lane.ts'

export const halfLoad: Lane = {
  name: 'half-load',
  title: 'latency at half the calls a second that HAProxy does at most, the tenant by API key',
  traffic: 'calls',
  credential: 'api-key',
  tls: false,
  tenants: 10,
  deployment: answers,
  // A connection rests for some 9 ms between two calls of less than one.
  load: wrk({ connections: 256, paced: true }),
  figure: LATENCY,
  pace: { of: 'haproxy', share: 0.5, load: wrk({ connections: 64 }) },
  atLeast: {},
  behind: { haproxy: 0.3 },
}
