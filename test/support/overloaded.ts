/** A worker that is short of memory by its configuration: it takes what it takes, and may have a little more than that. */
import { getHeapStatistics } from 'node:v8'
import { OVERLOAD_STEPS, type OverloadStep } from '../../src/proxy/overload/load-monitor.ts'
import { eventually } from './proxy-lab.ts'
import type { RunningProxy } from './start-proxy.ts'

const MIB = 1024 * 1024
/** What there may be is so many times what is in use. */
const ROOM = 8

const KEYS = {
  fair: 'shrinkBuffers',
  shrink_buffers: 'shrinkBuffers',
  stop_keep_alive: 'stopKeepAlive',
  refuse_calls: 'refuseCalls',
  refuse_connections: 'refuseConnections',
} as const satisfies Record<OverloadStep, string>

/** Configuration `overload` with which all steps up to `last` are in force, and no others. */
export function overloadUpTo(
  last: OverloadStep,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  const { used_heap_size: heap, external_memory: outside } = getHeapStatistics() as ReturnType<
    typeof getHeapStatistics
  > & { external_memory: number }
  const memory = `${Math.ceil((ROOM * (heap + outside)) / MIB)}MiB`
  const inForce = OVERLOAD_STEPS.indexOf(last)
  const thresholds = OVERLOAD_STEPS.map((step, index) => [
    KEYS[step],
    index <= inForce ? '1%' : '100%',
  ])
  return { memory, ...Object.fromEntries(thresholds), shrinkBuffers: '1%', ...more }
}

/** Waits until a step is in force, or is no more. */
export async function overloadStep(proxy: RunningProxy, step: OverloadStep, on = true) {
  await eventually(() => isOn(proxy, step) === on)
}

export function isOn(proxy: RunningProxy, wanted: OverloadStep): boolean {
  proxy.worker.reportNow()
  const { steps } = proxy.reports().at(-1)?.overload ?? { steps: [] }
  return steps.some(({ step, on }) => step === wanted && on)
}

/** Calls that were refused because of it, by tenant and reason. */
export function shedBy(proxy: RunningProxy): Record<string, number> {
  proxy.worker.reportNow()
  const counts: Record<string, number> = {}
  for (const { tenant, reason, count } of proxy.reports().flatMap(report => report.shed)) {
    const key = `${tenant} ${reason}`
    counts[key] = (counts[key] ?? 0) + count
  }
  return counts
}
