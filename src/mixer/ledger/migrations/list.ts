import { usage } from './0001-usage.ts'
import { rollups } from './0002-rollups.ts'
import { registry } from './0003-registry.ts'
import { quotaAndCharges } from './0004-quota-and-charges.ts'
import { exports } from './0005-exports.ts'
import { announcedProducers } from './0006-announced-producers.ts'
import { messages } from './0007-messages.ts'
import type { Migration } from './migration.ts'

/** In order; the version of a ledger is how many of them it has had. Released ones are never edited, and none goes between. */
export const MIGRATIONS: readonly Migration[] = [
  usage,
  rollups,
  registry,
  quotaAndCharges,
  exports,
  announcedProducers,
  messages,
]
