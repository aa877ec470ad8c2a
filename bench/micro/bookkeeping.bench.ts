import { Timer, TimerWheel } from '../../src/core/timer-wheel.ts'
import { OperationMatcher } from '../../src/proxy/metering/operations.ts'
import { UsageMeter } from '../../src/proxy/metering/usage-meter.ts'
import { TenantDirectory } from '../../src/proxy/tenant/directory.ts'
import { tenantConfig } from '../../test/support/token-issuer.ts'
import type { MicroBench, Run } from './measure.ts'

const NOW = Date.UTC(2026, 10, 25)

export const benches: readonly MicroBench[] = [
  { name: 'operation-match', prepare: matchOperations },
  { name: 'usage-meter', prepare: countCalls },
  { name: 'timer-wheel-arm', prepare: armTimers },
  { name: 'timer-wheel-cancel', prepare: cancelTimers },
]

/** The fourth of five fits. */
function matchOperations(): Run {
  const matches = [
    'POST /v1/orders',
    'GET /v1/orders',
    'DELETE /v1/orders/:id',
    'GET /v1/orders/:id',
    'GET /v1/items/*',
  ]
  const operations = matches.map((match, n) => ({ name: `operation-${n}`, match }))
  const matcher = new OperationMatcher(operations, operations.length)
  return times => {
    let sum = 0
    for (let time = 0; time < times; time += 1) sum += matcher.match('GET', '/v1/orders/4711?a=b')
    if (sum !== times * 3) throw new Error('another operation')
  }
}

/** A whole call: its row, its bytes both ways, its end. */
function countCalls(): Run {
  const clock = { now: () => NOW, monotonic: () => NOW }
  const meter = new UsageMeter(['read-order'], ['public'], clock)
  const tenant = TenantDirectory.compile([tenantConfig('acme')], 1).byId('acme')
  if (!tenant) throw new Error('no tenant')
  const detail = { operation: 0, codeClass: 2 }
  return times => {
    for (let time = 0; time < times; time += 1) {
      const row = meter.row(tenant, 0, 'l7', detail)
      meter.ingress(row, 200)
      meter.egress(row, 300)
      meter.call(row, 1.5)
    }
    const calls = meter.take().reduce((sum, record) => sum + record.calls, 0)
    if (calls !== times) throw new Error(`${calls} calls instead of ${times}`)
  }
}

/** What an active connection does: its deadline moves on a little with each call. */
function armTimers(): Run {
  const wheel = new TimerWheel(0)
  const timer = new Timer({ timerExpired: () => {} })
  return times => {
    for (let time = 0; time < times; time += 1) wheel.arm(timer, 10_000, time / 1_000)
    if (!timer.armed) throw new Error('not armed')
  }
}

function cancelTimers(): Run {
  const wheel = new TimerWheel(0)
  const timer = new Timer({ timerExpired: () => {} })
  return times => {
    for (let time = 0; time < times; time += 1) {
      wheel.arm(timer, 10_000, 0)
      wheel.cancel(timer)
    }
    if (timer.armed) throw new Error('armed')
  }
}
