import type { Deployment } from '../deployments/deployment.ts'
import type { Figure } from '../harness/figure.ts'
import type { Load } from '../loads/load.ts'

/** What a proxy must be able to carry; not all can do all of it. */
export type Traffic = 'calls' | 'grpc' | 'connections' | 'download' | 'upload' | 'websocket' | 'tcp'

/** One kind of work that every peer is given in the same way: what it carries, how it is loaded, what is measured. */
export interface Lane {
  readonly name: string
  /** One line for `--list` and the table. */
  readonly title: string
  readonly traffic: Traffic
  /** HTTP/2 in cleartext with prior knowledge downstream, and what the deployment speaks; HTTP/1.1 on both sides without it. */
  readonly http2?: { readonly upstream: 'http2' | 'http1' }
  /** What tells the tenant of a call; each call carries the next tenant's. `none`: the address does (private mode). */
  readonly credential: 'api-key' | 'jwt' | 'none'
  /** TLS with a P-256 certificate downstream; upstream is always cleartext. */
  readonly tls: boolean
  /** Clients must show a P-256 certificate, which is verified. */
  readonly mutual?: boolean
  readonly tenants: number
  readonly deployment: Deployment
  readonly load: Load
  readonly figure: Figure
  /** One round on processes that have only had a short load of calls before: for what grows once and stays. */
  readonly fresh?: boolean
  /** The load is `share` of what the peer `of` does at most, measured with `load` before the rounds. */
  readonly pace?: { readonly of: string; readonly share: number; readonly load: Load }
  /** What the ratio peer/AMT of the figure must reach, by peer; 1 is "as good". */
  readonly atLeast: Readonly<Record<string, number>>
  /** What AMT's own figure may be. */
  readonly atMost?: number
  /** By how much AMT's figure may exceed that of a peer. */
  readonly behind?: Readonly<Record<string, number>>
}
