/** What a connection costs: while it is kept and does nothing, and when it is new. */
import { answers } from '../deployments/nginx.ts'
import { CPU_A_CONNECTION, MEMORY_A_CONNECTION } from '../harness/figure.ts'
import { idle } from '../loads/idle.ts'
import { newConnections as openAndClose, resumedConnections } from '../loads/new-connections.ts'
import { wrk } from '../loads/wrk.ts'
import type { Lane } from './lane.ts'

const BY_KEY = {
  traffic: 'calls',
  credential: 'api-key',
  tenants: 10,
  deployment: answers,
  atLeast: {},
} as const

const IDLE = {
  ...BY_KEY,
  load: idle(10_000),
  figure: MEMORY_A_CONNECTION,
  fresh: true,
} as const

export const idleConnections: Lane = {
  ...IDLE,
  name: 'idle-connections',
  title: '10,000 kept connections that do nothing, each after one call',
  tls: false,
  atMost: 8,
}

export const idleTlsConnections: Lane = {
  ...IDLE,
  name: 'idle-tls-connections',
  title: 'The same over TLS',
  tls: true,
  atMost: 40,
}

export const newConnections: Lane = {
  ...BY_KEY,
  traffic: 'connections',
  name: 'new-connections',
  title: 'a new connection for each call (Connection: close)',
  load: wrk({ connections: 64, close: true }),
  figure: CPU_A_CONNECTION,
  tls: false,
}

export const newTlsConnections: Lane = {
  ...BY_KEY,
  traffic: 'connections',
  name: 'new-tls-connections',
  title: 'The same over TLS 1.3, P-256, a full handshake each',
  load: openAndClose(16),
  figure: CPU_A_CONNECTION,
  tls: true,
}

/** Both sides show a P-256 certificate. What AMT may cost is said as the issue says it: 1.2 of HAProxy. */
const MUTUAL = {
  ...BY_KEY,
  traffic: 'connections',
  figure: CPU_A_CONNECTION,
  tls: true,
  mutual: true,
  atLeast: { haproxy: 1 / 1.2 },
} as const

export const newMutualTlsConnections: Lane = {
  ...MUTUAL,
  name: 'mtls-new',
  title:
    'new mTLS connections for a call each: TLS 1.3, P-256 on both sides, a full handshake each',
  load: openAndClose(16),
}

export const resumedMutualTlsConnections: Lane = {
  ...MUTUAL,
  name: 'mtls-resumed',
  title: 'The same, each with the session ticket of the one before',
  load: resumedConnections(16),
}
