/** What the evidence together says. Strong evidence never silently wins over weaker one that contradicts it. Pure. */
import type { RegisteredTenant } from '../registry/registry.ts'
import type { Evidence, UnidentifiedReason } from './identity.ts'

/** What one kind of evidence says, strongest first in a list of them. */
export interface Finding {
  readonly evidence: Evidence
  /** None where it says nothing. */
  readonly owners: readonly RegisteredTenant[]
  /** Why `owners` are none, or not to be relied on. */
  readonly reason?: UnidentifiedReason
}

export type Verdict =
  | { readonly kind: 'found'; readonly tenant: RegisteredTenant; readonly evidence: Evidence }
  | { readonly kind: 'none'; readonly reason: UnidentifiedReason }

/** `stranger`: a certificate was shown that names nobody, so it cannot be that of a deployment that has an id. */
export function weigh(findings: readonly Finding[], stranger: boolean): Verdict {
  const winner = findings.find(({ owners, reason }) => owners.length === 1 && reason === undefined)
  const [tenant] = winner?.owners ?? []
  if (winner === undefined || tenant === undefined)
    return { kind: 'none', reason: reasonOf(findings) }
  const contradicted = findings.some(
    ({ owners }) => owners.length > 0 && !owners.some(({ id }) => id === tenant.id),
  )
  if (contradicted || (stranger && tenant.spiffe.length > 0))
    return { kind: 'none', reason: 'conflict' }
  return { kind: 'found', tenant, evidence: winner.evidence }
}

function reasonOf(findings: readonly Finding[]): UnidentifiedReason {
  if (findings.some(({ owners }) => owners.length > 1)) return 'ambiguous'
  return findings.find(({ reason }) => reason !== undefined)?.reason ?? 'unknown'
}
