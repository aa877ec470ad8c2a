import { amt } from './amt.ts'
import { envoy } from './envoy.ts'
import { haproxy } from './haproxy.ts'
import type { IsolationPeer } from './peer.ts'

/** Every peer, in the order of the table. */
export const PEERS: readonly IsolationPeer[] = [amt, haproxy, envoy]
