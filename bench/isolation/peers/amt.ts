/** AMT with everything on: each limit is that of every tenant, and usage is metered and reported. */
import { createHash } from 'node:crypto'
import {
  type MixerParts,
  OWN_AMT,
  amt as plainAmt,
  type RunningAmt,
  runAmt,
} from '../../peers/amt.ts'
import {
  BAD_CREDENTIALS,
  CALLS,
  CONCURRENCY,
  CONNECTIONS,
  HANDSHAKES,
  INGRESS,
  NEW_CONNECTIONS,
  PENDING,
  PENDING_SECONDS,
  RESPONSE_SECONDS,
} from '../limits.ts'
import type { Tenant } from '../scene.ts'
import type { IsolationPeer, IsolationSetup } from './peer.ts'

export const amt: IsolationPeer = {
  name: 'amt',
  absence: () => undefined,
  version: () => plainAmt.version(),
  start: startAmt,
}

export async function startAmt(setup: IsolationSetup): Promise<RunningAmt> {
  const { folder } = setup
  return runAmt({ amtPath: OWN_AMT, folder, configOf: mixer => configOf(setup, mixer) })
}

function configOf({ scene, port, tlsPort }: IsolationSetup, mixer: MixerParts): object {
  const { quiet, noisy, jwt, tls } = scene
  const certificates = [{ cert: tls.cert, key: tls.key }]
  return {
    service: { name: 'orders', operations: [{ name: 'read-order', match: 'GET /v1/orders/:id' }] },
    listeners: [
      { name: 'public', mode: 'shared', address: `127.0.0.1:${port}` },
      { name: 'secure', mode: 'shared', address: `127.0.0.1:${tlsPort}`, tls: { certificates } },
    ],
    authentication: {
      jwt: [{ issuer: jwt.issuer, audiences: [jwt.audience], jwks: jwt.jwksFile }],
    },
    tenants: [quiet, ...noisy].map(tenantOf),
    limits: {
      requests: `${CALLS}/s`,
      concurrency: CONCURRENCY,
      connections: CONNECTIONS,
      newConnections: `${NEW_CONNECTIONS}/s`,
      handshakes: `${HANDSHAKES}/s`,
      ingress: `${INGRESS / 2 ** 20}MiB/s`,
      upstreamConnections: CONCURRENCY,
      pending: PENDING,
    },
    sources: {
      newConnections: `${NEW_CONNECTIONS}/s`,
      newHandshakes: `${HANDSHAKES}/s`,
      badCredentials: `${BAD_CREDENTIALS}/s`,
    },
    timeouts: { response: `${RESPONSE_SECONDS}s`, drain: '1s' },
    ...mixer,
    log: { access: 'off' }, // as in the other proxies
  }
}

function tenantOf({ id, credential, upstream, host }: Tenant): object {
  const digest = createHash('sha256').update(credential).digest('hex')
  return {
    id,
    hosts: [host],
    credentials: [{ apiKey: `sha256:${digest}` }],
    deployment: {
      endpoints: [`http://127.0.0.1:${upstream}`],
      queue: { timeout: `${PENDING_SECONDS}s` },
    },
  }
}
