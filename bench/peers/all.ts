import { amt } from './amt.ts'
import { envoy } from './envoy.ts'
import { haproxy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import { http2Proxy, nodeHttp2, rawSpike, undici } from './node-program.ts'
import type { Peer } from './peer.ts'

/** Every peer, in the order of the table; AMT is the one that the others are compared with. */
export const PEERS: readonly Peer[] = [
  amt,
  haproxy,
  nginx,
  envoy,
  http2Proxy,
  undici,
  nodeHttp2,
  rawSpike,
]
