import fc from 'fast-check'
import { test } from 'tap'
import { FairScheduler } from '../../../../src/proxy/overload/fair-scheduler.ts'
import { type QueuedCall, TenantShare } from '../../../../src/proxy/overload/tenant-share.ts'

const CALLS_A_TURN = 8

/** A worker whose turns the test makes. */
class Lab {
  now = 0
  readonly shed: string[] = []
  readonly scheduler: FairScheduler
  #next: (() => void) | undefined

  constructor(most = 1_000, callsATurn = CALLS_A_TURN) {
    this.scheduler = new FairScheduler({
      turn: { calls: callsATurn },
      most,
      timeout: 1_000,
      now: () => this.now,
      nextTurn: run => {
        this.#next = run
      },
      shed: (tenant, reason) => this.shed.push(`${tenant} ${reason}`),
    })
  }

  /** False where nobody has asked for a turn. */
  turn(): boolean {
    const next = this.#next
    this.#next = undefined
    next?.()
    return next !== undefined
  }
}

/** A tenant whose calls come when the test says so; `keepsAsking`: each that begins is followed by another one. */
class Tenant {
  readonly share: TenantShare
  keepsAsking = false
  begun = 0
  shed = 0
  readonly #lab: Lab

  constructor(lab: Lab, id: string, weight = 1) {
    this.#lab = lab
    this.share = new TenantShare(id, weight)
  }

  ask(count = 1): void {
    for (let call = 0; call < count; call += 1) this.#ask()
  }

  #ask(): void {
    const call: QueuedCall = {
      admitted: () => {
        this.begun += 1
        if (this.keepsAsking) this.#ask()
      },
      shed: () => {
        this.shed += 1
      },
    }
    const entry = this.#lab.scheduler.enter(call, this.share)
    if (entry === 'admitted') this.begun += 1
    if (entry === 'shed') this.shed += 1
  }
}

await test('fairness bound of the deficit round robin: by weight, nobody is a round ahead', t => {
  const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 8 })
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 60 }), (given, turns) => {
      const lab = new Lab()
      const tenants = given.map((weight, index) => new Tenant(lab, `t${index}`, weight))
      for (const tenant of tenants) tenant.ask(100)
      for (const tenant of tenants) tenant.keepsAsking = true
      // What passed before there were queues is not the round's.
      const before = tenants.map(({ begun }) => begun)
      for (let turn = 0; turn < turns; turn += 1) lab.turn()
      const parts = tenants.map(
        ({ begun, share }, index) => (begun - (before[index] ?? 0)) / share.weight,
      )
      const ahead = Math.max(...parts) - Math.min(...parts)
      return ahead <= 1 + 1e-9
    }),
  )
  t.end()
})

await test('a turn begins so many calls and no more, and as many as that while any wait', t => {
  const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 })
  const counts = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 8, maxLength: 8 })
  fc.assert(
    fc.property(weights, counts, (given, asked) => {
      const lab = new Lab()
      const tenants = given.map((weight, index) => new Tenant(lab, `t${index}`, weight))
      for (const [index, tenant] of tenants.entries()) tenant.ask(asked[index])
      const begun = (): number => tenants.reduce((sum, tenant) => sum + tenant.begun, 0)
      for (;;) {
        const { queued } = lab.scheduler
        const before = begun()
        lab.turn()
        if (begun() - before !== Math.min(queued, CALLS_A_TURN)) return false
        if (queued === 0) return true
      }
    }),
  )
  t.end()
})

await test('a tenant within its share never waits and is never refused, whoever floods', t => {
  const lab = new Lab(50)
  const flood = new Tenant(lab, 'flood')
  const quiet = new Tenant(lab, 'quiet')
  for (let turn = 1; turn <= 200; turn += 1) {
    flood.ask(100)
    quiet.ask(2)
    t.equal(quiet.begun, turn * 2)
    lab.turn()
  }
  t.equal(quiet.shed, 0)
  t.ok(flood.shed > 10_000)
  t.ok(flood.begun >= 200 * (CALLS_A_TURN - 2), 'what the quiet one leaves is the flood’s')
  t.ok(lab.shed.every(line => line === 'flood queue_full'))
  t.end()
})

await test('where the queues are full the one with most of them, by weight, loses its oldest call', t => {
  const lab = new Lab(10)
  const large = new Tenant(lab, 'large', 10)
  const small = new Tenant(lab, 'small')
  large.ask(CALLS_A_TURN)
  large.ask(6)
  small.ask(1 + 4)
  t.equal(lab.scheduler.queued, 10)
  t.equal(large.begun, CALLS_A_TURN)
  t.equal(small.begun, 1, 'its part of the turn')
  small.ask()
  t.equal(small.shed, 1, 'it has most of them already')
  large.ask()
  t.equal(lab.scheduler.queued, 10)
  t.same(lab.shed, ['small queue_full', 'small queue_full'])
  t.equal(small.shed, 1, 'who has lost its place hears it behind this turn')
  lab.turn()
  t.equal(small.shed, 2)
  t.equal(large.shed, 0)
  t.end()
})

await test('a call that has waited for too long is refused', t => {
  const lab = new Lab(1_000, 1)
  const tenant = new Tenant(lab, 'slow')
  tenant.ask(4)
  t.equal(tenant.begun, 1)
  lab.now = 999
  lab.turn()
  t.equal(tenant.begun, 2)
  lab.now = 1_100
  lab.turn()
  t.equal(tenant.begun, 2)
  t.equal(tenant.shed, 2)
  t.same(lab.shed, ['slow queue_timeout', 'slow queue_timeout'])
  t.equal(lab.scheduler.queued, 0)
  t.notOk(lab.turn(), 'nobody waits, and no turn is asked for')
  t.end()
})

await test('a call that leaves is not begun, and its place is free', t => {
  const lab = new Lab(1_000, 1)
  const tenant = new Tenant(lab, 'one')
  const other = new Tenant(lab, 'other')
  tenant.ask()
  const heard: string[] = []
  const call = { admitted: () => heard.push('admitted'), shed: () => heard.push('shed') }
  t.equal(lab.scheduler.enter(call, tenant.share), 'queued')
  lab.scheduler.leave(call, tenant.share)
  lab.scheduler.leave(call, tenant.share)
  t.equal(lab.scheduler.queued, 0)
  lab.turn()
  t.same(heard, [])
  other.ask()
  t.equal(other.begun, 1)
  t.end()
})

await test('who has moved many bytes waits for those who have not', t => {
  const lab = new Lab()
  const bulk = new Tenant(lab, 'bulk')
  const other = new Tenant(lab, 'other')
  for (const tenant of [bulk, other]) {
    tenant.ask(100)
    tenant.keepsAsking = true
  }
  lab.turn()
  const ahead = bulk.begun - other.begun
  lab.scheduler.charge(bulk.share, 4)
  for (let turn = 0; turn < 10; turn += 1) lab.turn()
  const behind = ahead - (bulk.begun - other.begun)
  t.ok(Math.abs(behind - 4) <= 1, `${behind} calls behind`)
  t.end()
})

await test('a debt has an end, and alone nobody waits for its own', t => {
  const lab = new Lab()
  const bulk = new Tenant(lab, 'bulk')
  lab.scheduler.charge(bulk.share, 1_000_000)
  t.equal(bulk.share.deficit, -8)
  bulk.ask()
  t.equal(bulk.begun, 0)
  lab.turn()
  t.equal(bulk.begun, 1)
  t.end()
})

await test('a call that is told begins others, and all of them come to an end', t => {
  const lab = new Lab(4, 2)
  const one = new Tenant(lab, 'one')
  one.keepsAsking = true
  one.ask(10)
  for (let turn = 0; turn < 100; turn += 1) lab.turn()
  t.ok(lab.scheduler.queued <= 4)
  one.keepsAsking = false
  while (lab.turn());
  t.equal(lab.scheduler.queued, 0)
  t.end()
})

await test('a tenant with another weight gets another part of what follows', async t => {
  const lab = new Lab()
  const [one, two] = [new Tenant(lab, 'one'), new Tenant(lab, 'two')]
  for (const tenant of [one, two]) {
    tenant.keepsAsking = true
    tenant.ask(100)
  }
  lab.scheduler.reweigh(one.share, 3)
  const before = [one.begun, two.begun]
  for (let turn = 0; turn < 40; turn += 1) lab.turn()
  const [first, second] = [one.begun - (before[0] ?? 0), two.begun - (before[1] ?? 0)] as const
  t.ok(first >= 3 * second - 4 && first <= 3 * second + 4, `${first} against ${second}`)
})
