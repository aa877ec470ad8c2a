import type { QuotaConfig } from '../../src/config/quota-schema.ts'
import { QuotaDesk } from '../../src/proxy/limits/quota-desk.ts'
import { TenantDirectory } from '../../src/proxy/tenant/directory.ts'
import { tenantConfig } from '../../test/support/token-issuer.ts'
import type { MicroBench, Run } from './measure.ts'

const NOW = Date.UTC(2026, 10, 25)

export const benches: readonly MicroBench[] = [{ name: 'quota-call', prepare: spendCalls }]

/** A call of a tenant with a quota of calls and one of bytes; the mixer gives what is asked for. */
function spendCalls(): Run {
  const desk: QuotaDesk = new QuotaDesk({
    clock: { now: () => NOW, monotonic: () => 0 },
    failure: 'open',
    operations: ['other'],
    send: asks => {
      const window = { remaining: 2 ** 50, resetAt: NOW, resetInMs: 1e9 }
      desk.answered(asks.map(({ id, amount }) => ({ id, granted: amount, ...window })))
    },
  })
  const quotas: QuotaConfig[] = [
    { name: 'calls', of: 'calls', amount: 2 ** 50, per: 'month' },
    { name: 'traffic', of: 'bytes', amount: 2 ** 52, per: 'month' },
  ]
  const config = { ...tenantConfig('acme'), quotas }
  const tenant = TenantDirectory.compile([config], 1).byId('acme')
  const account = tenant && desk.quotasOf(tenant)
  if (!account) throw new Error('no quotas')
  return times => {
    let refused = 0
    for (let time = 0; time < times; time += 1) {
      if (account.takeCall(0, 0) !== undefined) refused += 1
      account.received(200, 0)
      account.sent(300, 0)
    }
    if (refused > 0) throw new Error(`${refused} calls were refused`)
  }
}
