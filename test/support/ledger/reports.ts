/** Usage records and reports for the mixer's tests: each field has a plain value that a test may replace. */
import type { UsageRecord, UsageReport } from '../../../src/contracts/usage-report.ts'

export const NOON = Date.UTC(2026, 10, 22, 12)
export const MINUTE = 60_000

export function record(fields: Partial<UsageRecord> = {}): UsageRecord {
  return {
    tenant: 'acme',
    listener: 'public',
    routability: 'l7',
    operation: 'read-order',
    code: '2xx',
    window: NOON,
    calls: 1,
    ingress: 100,
    egress: 2_000,
    connections: 1,
    connectionMs: 30,
    callMs: 20,
    requestMessages: 2,
    responseMessages: 3,
    ...fields,
  }
}

export function report(
  sequence: number,
  records: UsageRecord[] = [record()],
  producer = 'p1',
): UsageReport {
  return { producer, sequence, records }
}
