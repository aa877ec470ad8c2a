/** The part of a deployment's policy that one worker holds. */
import { type DeploymentPolicy, POLICY_DEFAULTS } from '../../config/deployment-schema.ts'
import type { DeploymentConfig } from '../../config/schema.ts'

/** Defaults filled in; what the workers share is divided among `workers`, and each has at least one of it. */
export function policyOf(deployment: DeploymentConfig, workers: number): DeploymentPolicy {
  const { maxConnections, queue, ejection, panic, slowStart, retries } = POLICY_DEFAULTS
  const share = (limit: number): number => Math.ceil(limit / workers)
  const { calls, timeout } = deployment.queue ?? queue
  return {
    maxConnections: share(deployment.maxConnections ?? maxConnections),
    queue: { calls: share(calls), timeout },
    ejection: deployment.ejection ?? ejection,
    panic: deployment.panic ?? panic,
    slowStart: deployment.slowStart ?? slowStart,
    retries: deployment.retries ?? retries,
  }
}
