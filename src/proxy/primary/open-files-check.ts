/** Whether the processes of the proxy may have as many open files, sockets included, as the configuration asks for. */
import type { Config } from '../../config/schema.ts'
import { openFilesLimit } from '../../runtime/open-files.ts'
import type { MetricReader } from './metric-tables.ts'

/** What a worker needs to serve at all, besides what it listens at. */
const TO_BEGIN = 256
/** Connections to a deployment where nothing says otherwise, see `deployment.maxConnections`. */
const UPSTREAM_CONNECTIONS = 1_024

export interface OpenFilesNeed {
  /** Undefined where the system does not say. */
  readonly limit: number | undefined
  /** Below that nothing works. */
  readonly least: number
  /** For one tenant at the limits that the service has for all. */
  readonly enough: number
}

/** Of one worker of so many. */
export function openFilesNeed(
  { listeners, limits }: Pick<Config, 'listeners' | 'limits'>,
  workers: number,
  limit: number | undefined = openFilesLimit(),
): OpenFilesNeed {
  const least = TO_BEGIN + listeners.length
  const upstream = Math.min(
    limits.upstreamConnections ?? UPSTREAM_CONNECTIONS,
    UPSTREAM_CONNECTIONS,
  )
  const enough = least + Math.ceil((limits.connections + upstream) / workers)
  return { limit, least, enough }
}

/** A whole sentence, where they may not. */
export function openFilesProblem({
  limit,
  least,
  enough,
}: OpenFilesNeed): { readonly fatal: boolean; readonly problem: string } | undefined {
  if (limit === undefined || limit >= enough) return undefined
  const raise = `raise the limit to ${enough} or more (ulimit -n, LimitNOFILE=)`
  if (limit < least)
    return {
      fatal: true,
      problem: `a process may have ${limit} open files, and a worker needs ${least} to serve at all; ${raise}`,
    }
  const problem = `a process may have ${limit} open files, and a worker needs ${enough} where one tenant is at limits.connections; ${raise}, or lower limits.connections`
  return { fatal: false, problem }
}

export function openFilesReaders({ limit = 0, enough }: OpenFilesNeed): MetricReader[] {
  return [
    gauge('amt_open_files_limit', 'Open files that a process may have; 0: unknown.', limit),
    gauge('amt_open_files_needed', 'Open files of a worker with one tenant at its limits.', enough),
  ]
}

function gauge(name: string, help: string, value: number): MetricReader {
  return { name, help, type: 'gauge', read: () => [{ labels: {}, value }] }
}
