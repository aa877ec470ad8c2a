/** Usage as tests make it up. */
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import { noTokenFaults, type WorkerReport } from '../../src/proxy/ipc.ts'

export function usageOf(
  tenant: string,
  calls: number,
  changes: Partial<UsageRecord> = {},
): UsageRecord {
  return {
    tenant,
    listener: 'public',
    routability: 'l7',
    operation: 'other',
    code: '2xx',
    window: Math.floor(Date.now() / 60_000) * 60_000,
    calls,
    ingress: calls * 10,
    egress: calls * 100,
    connections: 0,
    connectionMs: 0,
    callMs: calls,
    requestMessages: 0,
    responseMessages: 0,
    ...changes,
  }
}

/** A report of a worker in which nothing has happened. */
export function emptyReport(): WorkerReport {
  return {
    kind: 'report',
    accessLog: { lines: 0, dropped: 0, errors: 0, waitingBytes: 0 },
    traces: { exported: 0, failed: 0, dropped: 0 },
    usage: [],
    rejected: [],
    handshakes: [],
    handshakeFailures: [],
    connections: [],
    limited: [],
    callDurations: [],
    upstreamDurations: [],
    jwtCache: { hit: 0, miss: 0, reject: 0 },
    tokenIssuers: {
      live: 0,
      closed: { idle: 0, full: 0, changed: 0 },
      fetches: { ok: 0, failed: 0, limited: 0 },
      unchecked: { worker: 0, source: 0, issuer: 0, keys: 0 },
      refused: noTokenFaults(),
      dropped: 0,
    },
    endpoints: [],
    eventLoopLagMs: 0,
    process: { residentBytes: 0, heapBytes: 0, externalBytes: 0, cpuUserMs: 0, cpuSystemMs: 0 },
    overload: {
      steps: [],
      lagMs: 0,
      cpu: 0,
      queued: 0,
      memory: 0,
      descriptors: 0,
      accept_queue: 0,
    },
    shed: [],
    journal: {
      producer: 'a-worker',
      sequence: 0,
      bytes: 0,
      errors: 0,
      lost: 0,
      postponed: 0,
      unwritten: 0,
      failingSince: null,
    },
    quotaOpened: 0,
    sourcesForgotten: 0,
    names: { found: 0, unknown: 0, down: 0 },
    keyUses: [],
    keyUsesDropped: 0,
    fieldValuesForgotten: 0,
  }
}
