/** A whole worker of the data plane in this process, on ports of its own, with what it reported to look at. */
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config, TenantConfig } from '../../src/config/schema.ts'
import { configSchema } from '../../src/config/schema.ts'
import {
  USAGE_COUNTERS,
  type UsageRecord,
  type UsageTotals,
} from '../../src/contracts/usage-report.ts'
import type { BoundAddress, WorkerReport } from '../../src/proxy/ipc.ts'
import { furtherAuthorities, readTlsMaterial } from '../../src/proxy/listener/tls-material.ts'
import { Worker, type WorkerDeps, type WorkerOptions } from '../../src/proxy/worker/worker.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLogger } from '../../src/runtime/logger.ts'
import { journaledIn } from './journal-files.ts'
import { TenantTexts } from './tenant-texts.ts'

export interface RunningProxy {
  readonly worker: Worker
  /** Other tenants from now on, as the primary would say it. Returns what is wrong with them. */
  change(
    tenants: readonly TenantConfig[],
    limits: Config['limits'],
    generation: number,
  ): Promise<string[]>
  /** Other listeners from now on, with their former ones until `worker.settleListeners`. Returns what is wrong with them. */
  listen(listeners: readonly object[], generation: number): Promise<string[]>
  readonly bound: readonly BoundAddress[]
  /** Port of a listener. */
  port(listener: string): number
  /** Everything that was reported so far, after a report made now. */
  usage(): UsageRecord[]
  /** Sums over the reported records that `filter` takes. */
  totals(filter?: (record: UsageRecord) => boolean): UsageTotals
  /** How often calls or connections were refused for `reason`. */
  rejected(reason?: string): number
  /** How many TLS handshakes failed, by reason. */
  handshakeFailures(): Record<string, number>
  reports(): readonly WorkerReport[]
  /** How often each limit was met, by its name. */
  limited(): Record<string, number>
  /** Where its journal is, until it is closed. */
  readonly journal: string
  /** Everything that is in its journal at this moment. */
  journaled(): UsageRecord[]
  close(): Promise<void>
}

type ConfigInput = Record<string, unknown>

const TOKEN = 'a token for tests only'

/** A configuration with what every test needs and nothing is said about. */
export function proxyConfig(input: ConfigInput): Config {
  return configSchema.parse({
    mixer: { token: TOKEN },
    log: { level: 'error', access: 'off' },
    ...input,
  })
}

/** Starts a worker, with dependencies of the test's own in `deps`; throws where it does not start. */
export async function startProxy(
  input: ConfigInput,
  deps: Partial<WorkerDeps> = {},
  tls: WorkerOptions['tls'] = {},
): Promise<RunningProxy> {
  // Made by the worker once there is usage.
  const journal = join(tmpdir(), `amt-journal-${crypto.randomUUID()}`)
  const { tenants, ...config } = proxyConfig({
    ...input,
    mixer: { token: TOKEN, journal, ...(input.mixer as ConfigInput | undefined) },
  })
  const reports: WorkerReport[] = []
  const logger = createLogger({ level: config.log.level, name: 'test' })
  const worker = new Worker(
    { clock: systemClock, logger, report: report => reports.push(report), ...deps },
    { config, generation: 1, workers: 1, tls },
  )
  const texts = new TenantTexts()
  const change: RunningProxy['change'] = async (next, limits, generation) => {
    const { changed, removed } = texts.replace(next)
    return (await worker.takeTenants({ generation, limits, changed, removed, last: true })) ?? []
  }
  const listen: RunningProxy['listen'] = async (listeners, generation) => {
    const { listeners: configs, authentication, limits } = proxyConfig({ ...input, listeners })
    const further = furtherAuthorities({ authentication })
    const materials = configs.flatMap(({ name, tls }) => {
      const read = tls && readTlsMaterial({ name, tls }, further)
      return read !== undefined && 'material' in read ? [read.material] : []
    })
    const unchanged = { generation, limits, changed: [], removed: [], last: true }
    return (await worker.takeTenants({ ...unchanged, listeners: { configs, materials } })) ?? []
  }
  const problems = await change(tenants, config.limits, 1)
  if (problems.length > 0) throw new Error(problems.join('\n'))
  const result = await worker.start()
  if ('problems' in result) throw new Error(result.problems.join('\n'))
  const usage = (): UsageRecord[] => {
    worker.reportNow()
    return reports.flatMap(report => report.usage)
  }
  return {
    worker,
    change,
    listen,
    get bound() {
      return worker.bound
    },
    port: listener => {
      const address = worker.bound.find(bound => bound.listener === listener)?.address
      if (address === undefined) throw new Error(`listener ${listener} is not bound`)
      return Number(address.slice(address.lastIndexOf(':') + 1))
    },
    usage,
    totals: (filter = () => true) => sum(usage().filter(filter)),
    rejected: reason => {
      worker.reportNow()
      return reports
        .flatMap(report => report.rejected)
        .filter(entry => reason === undefined || entry.reason === reason)
        .reduce((count, entry) => count + entry.count, 0)
    },
    handshakeFailures: () => {
      worker.reportNow()
      const counts: Record<string, number> = {}
      for (const { reason, count } of reports.flatMap(report => report.handshakeFailures))
        counts[reason] = (counts[reason] ?? 0) + count
      return counts
    },
    reports: () => reports,
    limited: () => {
      worker.reportNow()
      const counts: Record<string, number> = {}
      for (const { limit, count } of reports.flatMap(report => report.limited))
        counts[limit] = (counts[limit] ?? 0) + count
      return counts
    },
    journal,
    journaled: () => journaledIn(journal),
    close: async () => {
      await worker.close()
      rmSync(journal, { recursive: true, force: true })
    },
  }
}

function sum(records: readonly UsageRecord[]): UsageTotals {
  const totals = Object.fromEntries(USAGE_COUNTERS.map(counter => [counter, 0])) as UsageTotals
  for (const record of records)
    for (const counter of USAGE_COUNTERS) totals[counter] += record[counter]
  return totals
}
