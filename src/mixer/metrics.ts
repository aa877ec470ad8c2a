/** The mixer's own metrics, in a registry of its own. Labels are closed sets; tenants are in the ledger, not here. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ErrorCode } from '../core/errors.ts'
import { type Identified, UNIDENTIFIED_REASONS } from './identity/identity.ts'
import type { ApplyResult } from './ledger/ledger.ts'

export interface MixerMetrics {
  /** A report was given to the ledger, which took `seconds`. */
  reported(result: ApplyResult['kind'], records: number, seconds: number): void
  /** A part of a quota was asked for: `granted`, `partly`, `denied`, `unknown`, `conflict` or `unavailable`. */
  allocated(result: string): void
  /** A charge came: `charged`, also again, `conflict`, `overflow` or `unavailable`. */
  charged(result: string): void
  /** The sums of hours and days are this many seconds behind the clock. */
  readonly rolledUp: (seconds: number) => void
  /** Rows past their retention were deleted. */
  readonly expired: (rows: number) => void
  /** A call was answered with a refusal. */
  refused(reason: ErrorCode): void
  /** A caller of a route that is open to deployments was identified, or not. */
  identified(result: Identified): void
  /** The processes of this machine were looked at, which took `seconds`. */
  lookedAtProcesses(seconds: number): void
  /** How many proxies and tenants the registry has, whenever it is asked. */
  registered(size: () => { readonly proxies: number; readonly tenants: number }): void
  /** For metrics that other parts of the mixer add. */
  readonly registry: Registry
  readonly contentType: string
  exposition(): Promise<string>
}

export function createMixerMetrics(): MixerMetrics {
  const registry = new Registry()
  const registers = [registry]
  const reports = new Counter({
    name: 'amt_mixer_reports_total',
    help: 'Reports given to the ledger, by result; "repeated" ones had been applied before and changed nothing.',
    labelNames: ['result'],
    registers,
  })
  const records = new Counter({
    name: 'amt_mixer_records_total',
    help: 'Usage records that were added to the ledger.',
    registers,
  })
  const seconds = new Histogram({
    name: 'amt_mixer_ledger_apply_seconds',
    help: 'How long the ledger took for a report, until it was durable.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  const allocations = new Counter({
    name: 'amt_mixer_quota_allocations_total',
    help: 'Parts of quotas that were asked for, by result.',
    labelNames: ['result'],
    registers,
  })
  const charges = new Counter({
    name: 'amt_mixer_charges_total',
    help: 'Charges of deployments, by result; one that came before is "charged" as well, and changes nothing.',
    labelNames: ['result'],
    registers,
  })
  const behind = new Gauge({
    name: 'amt_mixer_ledger_roll_up_lag_seconds',
    help: 'How far behind the clock the sums of hours and days are; 300 to 400 in good order.',
    registers,
  })
  const expired = new Counter({
    name: 'amt_mixer_ledger_expired_rows_total',
    help: 'Rows of usage that were deleted because they were past their retention.',
    registers,
  })
  const refusals = new Counter({
    name: 'amt_mixer_refused_total',
    help: 'Calls that were refused, by error code.',
    labelNames: ['reason'],
    registers,
  })
  const identity = identityMetrics(registers)
  const results: readonly ApplyResult['kind'][] = [
    'applied',
    'repeated',
    'gap',
    'overflow',
    'unavailable',
  ]
  for (const result of results) reports.inc({ result }, 0)
  return {
    reported(result, count, duration) {
      reports.inc({ result })
      if (result === 'applied') records.inc(count)
      seconds.observe(duration)
    },
    allocated(result) {
      allocations.inc({ result })
    },
    charged(result) {
      charges.inc({ result })
    },
    rolledUp: lag => behind.set(lag),
    expired: rows => expired.inc(rows),
    refused(reason) {
      refusals.inc({ reason })
    },
    ...identity,
    registry,
    contentType: registry.contentType,
    exposition: () => registry.metrics(),
  }
}

type IdentityMetrics = Pick<MixerMetrics, 'identified' | 'lookedAtProcesses' | 'registered'>

function identityMetrics(registers: Registry[]): IdentityMetrics {
  const identified = new Counter({
    name: 'amt_mixer_identified_total',
    help: 'Calls of deployments whose tenant was recovered, by the evidence.',
    labelNames: ['by'],
    registers,
  })
  const unidentified = new Counter({
    name: 'amt_mixer_unidentified_total',
    help: 'Calls whose tenant could not be recovered, by reason.',
    labelNames: ['reason'],
    registers,
  })
  for (const by of ['certificate', 'address', 'process']) identified.inc({ by }, 0)
  for (const reason of UNIDENTIFIED_REASONS) unidentified.inc({ reason }, 0)
  const looks = new Histogram({
    name: 'amt_mixer_process_look_seconds',
    help: 'How long a look at the processes of this machine took.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  return {
    identified(result) {
      if (result.kind === 'identified') identified.inc({ by: result.caller.recoveredBy })
      if (result.kind === 'unidentified') unidentified.inc({ reason: result.reason })
    },
    lookedAtProcesses: seconds => looks.observe(seconds),
    registered(size) {
      const proxies = ['amt_mixer_registered_proxies', 'Proxies that are registered.'] as const
      gauge(registers, proxies, () => size().proxies)
      const tenants = ['amt_mixer_registered_tenants', 'Tenants of those proxies.'] as const
      gauge(registers, tenants, () => size().tenants)
    },
  }
}

/** A metric that is read when it is asked for. */
function gauge(
  registers: Registry[],
  [name, help]: readonly [name: string, help: string],
  read: () => number,
): void {
  const metric: Gauge = new Gauge({ name, help, registers, collect: () => metric.set(read()) })
}
