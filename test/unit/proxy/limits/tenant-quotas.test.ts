/** The quotas of a tenant together, and what the desk of a worker does for all of them. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Test, test } from 'tap'
import type { QuotaConfig } from '../../../../src/config/quota-schema.ts'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import type { QuotaAsk } from '../../../../src/proxy/ipc.ts'
import { QuotaDesk } from '../../../../src/proxy/limits/quota-desk.ts'
import type { TenantQuotas } from '../../../../src/proxy/limits/tenant-quotas.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const READ = 0
const WRITE = 1
const OTHER = 2

class Lab {
  readonly clock = new FakeClock(Date.parse('2026-11-25T12:00:00Z'))
  readonly sent: (readonly QuotaAsk[])[] = []
  readonly desk = new QuotaDesk({
    clock: this.clock,
    failure: 'open',
    operations: ['read', 'write', 'other'],
    send: asks => this.sent.push(asks),
  })

  quotas(quotas: readonly Partial<QuotaConfig>[], id = 'acme'): TenantQuotas | undefined {
    const whole = quotas.map((quota, index) => ({
      name: `q${index}`,
      of: 'calls',
      amount: 3,
      per: 'minute',
      ...quota,
    }))
    const deployment = { endpoints: ['http://127.0.0.1:1'] }
    return this.desk.quotasOf(Tenant.of(0, tenantSchema.parse({ id, deployment, quotas: whole })))
  }
}

function take(
  t: Test,
  quotas: TenantQuotas | undefined,
  operation: number,
  now: number,
): string | undefined {
  t.ok(quotas)
  return quotas?.takeCall(operation, now)?.code
}

await test('a call is taken from all quotas or from none', async t => {
  const lab = new Lab()
  const quotas = lab.quotas([{ amount: 10 }, { of: 'operation:write', amount: 2 }])
  const now = lab.clock.monotonic()
  t.same(
    [WRITE, WRITE, WRITE, READ].map(operation => take(t, quotas, operation, now)),
    [undefined, undefined, 'quota_exhausted', undefined],
  )
  const rest = Array.from({ length: 8 }, () => take(t, quotas, OTHER, now))
  t.equal(rest.filter(code => code === undefined).length, 7, 'the refused one took nothing')
})

await test('a call that goes nowhere is given back to all of them', async t => {
  const lab = new Lab()
  const quotas = lab.quotas([{ amount: 1 }, { of: 'operation:read', amount: 1 }])
  const now = lab.clock.monotonic()
  t.equal(take(t, quotas, READ, now), undefined)
  quotas?.giveCallBack(READ)
  t.equal(take(t, quotas, READ, now), undefined)
  t.equal(take(t, quotas, READ, now), 'quota_exhausted')
})

await test('a refusal says when the quota begins anew', async t => {
  const lab = new Lab()
  const quotas = lab.quotas([{ amount: 1, per: 'hour' }])
  lab.clock.ms += 600_000
  quotas?.takeCall(READ, lab.clock.monotonic())
  t.same(quotas?.takeCall(READ, lab.clock.monotonic()), {
    code: 'quota_exhausted',
    limit: 'quota',
    retryAfterMs: 3_000_000,
    rate: { limit: '"q0";r=0;t=3000', policy: '"q0";q=1;w=3600' },
    resetAt: Date.parse('2026-11-25T13:00:00Z'),
  })
})

await test('ingress, egress and both are counted as they are named', async t => {
  for (const [of, received, sent] of [
    ['ingress', true, false],
    ['egress', false, true],
    ['bytes', true, true],
  ] as const) {
    const now = new Lab().clock.monotonic()
    const one = new Lab().quotas([{ of, amount: 100 }])
    one?.received(100, now)
    t.equal(one?.bytesExhausted, received, `${of} received`)
    t.equal(one?.refuseTunnel(now) !== undefined, received)
    t.equal(one?.takeCall(READ, now) !== undefined, received, 'calls have bytes, too')
    const other = new Lab().quotas([{ of, amount: 100 }])
    other?.sent(100, now)
    t.equal(other?.bytesExhausted, sent, `${of} sent`)
  }
})

await test('events are not for the proxy, and a tenant without quotas has nothing', async t => {
  const lab = new Lab()
  t.equal(lab.quotas([]), undefined)
  t.equal(lab.quotas([{ of: 'event:page' }]), undefined)
})

await test('all that is asked in a turn goes in one message, and answers find their account', async t => {
  const lab = new Lab()
  const tenants = ['a', 'b', 'c'].map(id => lab.quotas([{ amount: 100 }], id))
  for (const quotas of tenants) quotas?.takeCall(READ, lab.clock.monotonic())
  t.equal(lab.sent.length, 0)
  await nextTurn()
  t.equal(lab.sent.length, 1)
  const asks = lab.sent[0] ?? []
  t.same(
    asks.map(({ tenant, quota }) => `${tenant} ${quota}`),
    ['a q0', 'b q0', 'c q0'],
  )
  t.equal(new Set(asks.map(({ id }) => id)).size, 3)
  lab.desk.answered(
    asks.map(({ id, tenant }) => ({
      id,
      granted: 1,
      remaining: tenant === 'b' ? 0 : 50,
      resetAt: 0,
      resetInMs: 60_000,
    })),
  )
  const codes = tenants.map(quotas => quotas?.takeCall(READ, lab.clock.monotonic())?.code)
  t.same(codes, [undefined, 'quota_exhausted', undefined])
})

await test('a quota that stays as it is keeps what is spent; a changed one begins anew', async t => {
  const lab = new Lab()
  const now = lab.clock.monotonic()
  const spend = (quotas: TenantQuotas | undefined): (string | undefined)[] =>
    Array.from({ length: 4 }, () => quotas?.takeCall(READ, now)?.code)
  const passed = (codes: (string | undefined)[]): number =>
    codes.filter(code => code === undefined).length
  t.equal(passed(spend(lab.quotas([{ name: 'x' }]))), 3)
  t.equal(passed(spend(lab.quotas([{ name: 'x' }]))), 0)
  t.equal(passed(spend(lab.quotas([{ name: 'x', amount: 4 }]))), 4)
  lab.desk.forget('acme')
  t.equal(passed(spend(lab.quotas([{ name: 'x', amount: 4 }]))), 4, 'a tenant that was away')
})
