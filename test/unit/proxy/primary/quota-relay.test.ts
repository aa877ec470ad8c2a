/** What workers ask of quotas on its way to the mixer and back, with a mixer that is slow, away, or refuses. */
import { test } from 'tap'
import type { Allocation } from '../../../../src/contracts/quota.ts'
import type { QuotaAnswer } from '../../../../src/proxy/ipc.ts'
import { QuotaRelay } from '../../../../src/proxy/primary/quota-relay.ts'
import type { AllocateResult } from '../../../../src/runtime/mixer-client.ts'
import { LogLines } from '../../../support/log-lines.ts'

const AWAY: AllocateResult = { ok: false, reason: 'unreachable', detail: 'away' }
const RESET = '2026-11-25T12:01:00.000Z'

class Lab {
  readonly log = new LogLines()
  readonly results: string[] = []
  readonly answers: { slot: number; answers: readonly QuotaAnswer[] }[] = []
  /** Calls under way, each with how to answer it. */
  readonly calls: {
    allocations: readonly Allocation[]
    answer: (result: AllocateResult) => Promise<void>
  }[] = []
  readonly relay = new QuotaRelay({
    client: { allocate: async allocations => this.#allocate(allocations) },
    logger: this.log.logger,
    answer: (slot, answers) => this.answers.push({ slot, answers }),
    onResult: result => this.results.push(result),
  })

  async #allocate(allocations: readonly Allocation[]): Promise<AllocateResult> {
    const { promise, resolve } = Promise.withResolvers<AllocateResult>()
    const answer = async (result: AllocateResult): Promise<void> => {
      resolve(result)
      await new Promise(done => setImmediate(done))
    }
    this.calls.push({ allocations, answer })
    return promise
  }

  ask(slot: number, ...ids: string[]): void {
    this.relay.ask(
      slot,
      ids.map(id => ({ id, tenant: `tenant-${id}`, quota: 'calls', amount: 5 })),
    )
  }

  /** Answers the oldest call; each id gets so many. */
  async grant(...granted: number[]): Promise<void> {
    const allocations = granted.map(amount => ({
      granted: amount,
      remaining: 7,
      resetAt: RESET,
      resetInMs: 1_000,
    }))
    await this.calls.shift()?.answer({ ok: true, allocations })
  }
}

await test('what is asked while a call is under way goes together in the next', async t => {
  const lab = new Lab()
  lab.ask(1, 'a')
  lab.ask(2, 'b')
  lab.ask(1, 'c', 'd')
  t.equal(lab.calls.length, 1, 'one call at a time')
  t.same(lab.calls[0]?.allocations, [
    { id: 'a', tenant: 'tenant-a', quota: 'calls', amount: 5, mode: 'bestEffort' },
  ])
  await lab.grant(5)
  t.same(
    lab.calls[0]?.allocations.map(({ id }) => id),
    ['b', 'c', 'd'],
  )
  await lab.grant(5, 3, 0)
  const answer = { remaining: 7, resetAt: Date.parse(RESET), resetInMs: 1_000 }
  t.same(lab.answers, [
    { slot: 1, answers: [{ id: 'a', granted: 5, ...answer }] },
    { slot: 2, answers: [{ id: 'b', granted: 5, ...answer }] },
    {
      slot: 1,
      answers: [
        { id: 'c', granted: 3, ...answer },
        { id: 'd', granted: 0, ...answer },
      ],
    },
  ])
  t.same(lab.results, ['granted', 'granted', 'partly', 'denied'])
  t.same(lab.relay.stateOf('tenant-a', 'calls'), { remaining: 7, resetAt: Date.parse(RESET) })
  lab.relay.forget(['tenant-a'])
  t.equal(lab.relay.stateOf('tenant-a', 'calls'), undefined)
})

await test('a mixer that is away answers all that waits, and is asked again for what comes', async t => {
  const lab = new Lab()
  lab.ask(1, 'a')
  lab.ask(2, 'b')
  await lab.calls.shift()?.answer(AWAY)
  t.same(
    lab.answers.map(({ slot, answers }) => [slot, ...answers]),
    [
      [1, { id: 'a', failed: 'away' }],
      [2, { id: 'b', failed: 'away' }],
    ],
  )
  t.same(lab.results, ['away', 'away'])
  t.equal(lab.calls.length, 0)
  lab.ask(1, 'a')
  await lab.grant(5)
  t.match(lab.answers.at(-1), { answers: [{ id: 'a', granted: 5 }] })
  t.ok(await lab.log.first('quotas cannot be asked for'))
  t.ok(await lab.log.first('quotas can be asked for again'))
})

await test('a quota that the mixer does not know is refused by itself', async t => {
  const lab = new Lab()
  lab.ask(1, 'a')
  lab.ask(1, 'b', 'c')
  await lab.grant(5)
  await lab.calls.shift()?.answer({
    ok: true,
    allocations: [
      { refused: 'quota_unknown' },
      { granted: 5, remaining: 0, resetAt: RESET, resetInMs: 1 },
    ],
  })
  t.match(lab.answers.at(-1)?.answers, [
    { id: 'b', failed: 'refused' },
    { id: 'c', granted: 5 },
  ])
  t.same(lab.results, ['granted', 'refused', 'granted'])
})

await test('a call has at most 200, and no more than 100,000 wait', async t => {
  const lab = new Lab()
  lab.ask(1, 'first')
  lab.ask(1, ...Array.from({ length: 100_001 }, (_, index) => `id-${index}`))
  t.equal(lab.results.filter(result => result === 'away').length, 1)
  await lab.grant(1)
  t.equal(lab.calls[0]?.allocations.length, 200)
  lab.relay.close()
})

await test('once it is closed nothing is answered or asked', async t => {
  const lab = new Lab()
  lab.ask(1, 'a')
  lab.ask(1, 'b')
  lab.relay.close()
  await lab.grant(5)
  t.same([lab.answers, lab.calls], [[], []])
})
