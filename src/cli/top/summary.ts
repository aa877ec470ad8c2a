/** What stands above the table: the proxy, and all of its tenants together. */
import type { Top } from '../../contracts/top.ts'
import { exact, printable } from '../usage/table.ts'
import { shortBytes, shortCount } from './figures.ts'

/** Two lines, as long as they are. */
export function topSummary({ service, phase, workers, tenants, totals, seconds }: Top): string[] {
  const { calls, errors, limited, ingress, egress, connections } = totals
  return [
    [
      `${printable(service)}: ${printable(phase)}`,
      `${workers.ready} of ${workers.count} workers`,
      `${exact(tenants.active)} of ${exact(tenants.configured)} tenants active`,
      seconds === 0 ? 'no report yet' : `average of ${Math.round(seconds)} s`,
    ].join(', '),
    [
      `${shortCount(calls)} calls/s`,
      `${shortCount(errors)} errors/s`,
      `${shortCount(limited)} limited/s`,
      `in ${shortBytes(ingress)}/s`,
      `out ${shortBytes(egress)}/s`,
      `${shortCount(connections)} open`,
    ].join('  '),
  ]
}
