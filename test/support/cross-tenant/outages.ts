/** Kills deployments in the middle of the run, and has them come back at the same place. */
import type { SeededRandom } from '../seeded-random.ts'
import type { MarkedDeployment } from './marked-deployment.ts'
import type { Run } from './run.ts'
import type { TenantFixture } from './tenants.ts'

/** Exchanges from one outage to the next, and while a deployment is down. */
const BETWEEN = 2_000
const DURATION = 400

/** Resolves when nothing more begins and all deployments are alive. Returns how many outages there were. */
export async function makeOutages(
  run: Run,
  random: SeededRandom,
  deployments: ReadonlyMap<TenantFixture, readonly MarkedDeployment[]>,
): Promise<number> {
  let outages = 0
  const every = Math.min(BETWEEN, Math.ceil(run.total / 6))
  const duration = Math.min(DURATION, Math.ceil(run.total / 20))
  while (!run.over) {
    await run.reached(run.ended + every)
    if (run.over) break
    const tenant = random.pick([...deployments.keys()])
    const all = deployments.get(tenant) ?? []
    // From now on its calls may end in any way; those that may not are waited for.
    tenant.phase = 'outage'
    if (tenant.inFlight > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      tenant.whenIdle = resolve
      await promise
      tenant.whenIdle = undefined
    }
    const dying = all.length > 1 && random.chance(0.5) ? [random.pick(all)] : all
    for (const deployment of dying) await deployment.die(random.pick(['reset', 'end']))
    outages++
    await run.reached(run.ended + duration)
    for (const deployment of dying) await deployment.listen()
    tenant.phase = 'steady'
  }
  return outages
}
