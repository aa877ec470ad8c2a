/** Puts together what the mixer knows of deployments: their registry, where their names lead, and who is calling. */

import type { Clock } from '../core/clock.ts'
import { TimerWheel } from '../core/timer-wheel.ts'
import type { Logger } from '../runtime/logger.ts'
import { DnsLookup } from '../runtime/names/dns-lookup.ts'
import { NameResolver } from '../runtime/names/name-resolver.ts'
import type { Identified, Identify } from './identity/identity.ts'
import { ownAddresses } from './identity/own-addresses.ts'
import { ProcessFiles } from './identity/process-files.ts'
import { ProcessLookup } from './identity/process-lookup.ts'
import { createRecovery } from './identity/recover.ts'
import { UnidentifiedLog } from './identity/unidentified-log.ts'
import type { Database } from './ledger/database.ts'
import type { MixerMetrics } from './metrics.ts'
import { LedgerRegistry } from './registry/ledger-registry.ts'
import { RegistrationStore } from './registry/registration-store.ts'
import type { Registry } from './registry/registry.ts'

const TICK_MS = 250

export interface DeploymentsDeps {
  readonly database: Database
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: MixerMetrics
}

export interface KnownDeployments {
  readonly registry: Registry
  readonly identify: Identify
  /** Before the database is closed. */
  close(): Promise<void>
}

export async function openDeployments(deps: DeploymentsDeps): Promise<KnownDeployments> {
  const { database, clock, logger, metrics } = deps
  const wheel = new TimerWheel(clock.monotonic())
  const ticking = setInterval(() => wheel.advance(clock.monotonic()), TICK_MS).unref()
  const names = new NameResolver({ lookup: new DnsLookup(), clock, wheel, random: Math.random })
  const store = new RegistrationStore(database)
  const registry = new LedgerRegistry({ store, names, clock, logger })
  await registry.start()
  metrics.registered(() => registry.size)
  const own = ownAddresses(clock)
  const unidentified = new UnidentifiedLog(logger, clock)
  const process = new ProcessLookup({
    files: new ProcessFiles(),
    deployments: registry,
    ownAddresses: own,
    logger,
    looked: seconds => metrics.lookedAtProcesses(seconds),
  })
  const onResult = (result: Identified, about: Readonly<Record<string, unknown>>): void => {
    metrics.identified(result)
    unidentified.note(result, about)
  }
  return {
    registry,
    identify: createRecovery({
      deployments: registry,
      process,
      ownAddresses: own,
      clock,
      onResult,
    }),
    async close() {
      await registry.close()
      names.close()
      clearInterval(ticking)
    },
  }
}
