/** Who calls, as the source of the connection shows it; what body or headers claim plays no part. */
import type { Socket } from 'node:net'
import type { WhoamiAnswer } from '../../contracts/whoami.ts'

/** The evidence that named the deployment: a workload certificate, the source address, or the process behind the port. */
export type Evidence = WhoamiAnswer['recoveredBy']

/** The deployment that calls. */
export interface Caller {
  readonly tenant: string
  /** `service/tenant`. */
  readonly deployment: string
  readonly recoveredBy: Evidence
}

/** Why nobody is taken for the caller: a closed set, for the metric and for the log. docs/identity.md explains each. */
export const UNIDENTIFIED_REASONS = [
  'unknown',
  'ambiguous',
  'conflict',
  'certificate_invalid',
  'names_pending',
  'process_not_found',
  'process_hidden',
  'process_unsupported',
  'connection_gone',
] as const
export type UnidentifiedReason = (typeof UNIDENTIFIED_REASONS)[number]

export type Identified =
  | { readonly kind: 'identified'; readonly caller: Caller }
  /** Its tenant is disabled. */
  | { readonly kind: 'disabled' }
  | { readonly kind: 'unidentified'; readonly reason: UnidentifiedReason }

/** Never rejects. */
export type Identify = (socket: Socket) => Promise<Identified>
