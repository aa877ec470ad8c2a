/** The part of a deployment's policy that one worker holds. */
import { type DeploymentPolicy, POLICY_DEFAULTS } from '../../config/deployment-schema.ts'
import type { DeploymentConfig, LimitsConfig } from '../../config/schema.ts'
import { sameConfig } from '../../core/same-config.ts'

/** What the tenant's limits say of its pool. */
export type PoolLimits = Pick<LimitsConfig, 'upstreamConnections' | 'pending'>

/** What was made last: most deployments leave all of it to the defaults, and have the same. */
let last: DeploymentPolicy | undefined

/** Defaults filled in; what the workers share is divided among `workers`, and each has at least one of it. */
export function policyOf(
  deployment: DeploymentConfig,
  workers: number,
  {
    upstreamConnections = Number.POSITIVE_INFINITY,
    pending = Number.POSITIVE_INFINITY,
  }: PoolLimits = {},
): DeploymentPolicy {
  const { maxConnections, queue, ejection, panic, slowStart, retries } = POLICY_DEFAULTS
  const share = (limit: number): number => Math.ceil(limit / workers)
  const { calls, timeout } = deployment.queue ?? queue
  const policy = {
    maxConnections: share(
      Math.min(deployment.maxConnections ?? maxConnections, upstreamConnections),
    ),
    queue: { calls: share(Math.min(calls, pending)), timeout },
    ejection: deployment.ejection ?? ejection,
    panic: deployment.panic ?? panic,
    slowStart: deployment.slowStart ?? slowStart,
    retries: deployment.retries ?? retries,
  }
  if (last === undefined || !sameConfig(last, policy)) last = policy
  return last
}
