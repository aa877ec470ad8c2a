import { test } from 'tap'
import { RetryBudget } from '../../../../src/proxy/pool/retry-budget.ts'

await test('so many retries may be under way however few calls are', async t => {
  const budget = new RetryBudget<string>({ budget: 0.2, minimum: 2 })
  t.ok(budget.admits(1))
  budget.begin('a')
  t.ok(budget.admits(1))
  budget.begin('b')
  t.notOk(budget.admits(10), 'a fifth of ten is no more than the minimum')
  budget.end('a')
  t.ok(budget.admits(1))
  budget.end('somebody else')
  budget.begin('c')
  t.notOk(budget.admits(1))
})

await test('with many calls under way a part of them may be retries', async t => {
  const budget = new RetryBudget<number>({ budget: 0.2, minimum: 3 })
  for (let retry = 0; retry < 20; retry++) {
    t.ok(budget.admits(100))
    budget.begin(retry)
  }
  t.notOk(budget.admits(100))
  t.ok(budget.admits(105))
})

await test('a budget of nothing admits nothing', async t => {
  t.notOk(new RetryBudget({ budget: 0, minimum: 0 }).admits(1_000))
})
