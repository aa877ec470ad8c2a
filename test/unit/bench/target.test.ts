import { test } from 'tap'
import { targetOf } from '../../../bench/harness/target.ts'

const LANE = { atLeast: { haproxy: 2 }, atMost: 8, behind: { nginx: 0.3 } }

await test('a ratio is asked for beside the peer that it is made with', async t => {
  t.same(targetOf(LANE, 'haproxy', { figures: [20], ours: [10] }), { text: '2', reached: true })
  t.same(targetOf(LANE, 'haproxy', { figures: [19], ours: [10] }), { text: '2', reached: false })
})

await test('what AMT alone may use is asked for in its own row', async t => {
  t.same(targetOf(LANE, 'amt', { figures: [8], ours: [] }), { text: 'at most 8', reached: true })
  t.match(targetOf(LANE, 'amt', { figures: [8.1], ours: [] }), { reached: false })
})

await test('AMT may be a little behind, and no more', async t => {
  const text = 'AMT at most + 0.3'
  t.same(targetOf(LANE, 'nginx', { figures: [1], ours: [1.25] }), { text, reached: true })
  t.same(targetOf(LANE, 'nginx', { figures: [1], ours: [1.5] }), { text, reached: false })
})

await test('nothing is asked for where nothing can be compared', async t => {
  t.equal(targetOf(LANE, 'haproxy', { figures: [20], ours: [] }), undefined)
  t.equal(targetOf(LANE, 'undici', { figures: [20], ours: [10] }), undefined)
  t.equal(targetOf({ atLeast: {} }, 'amt', { figures: [20], ours: [] }), undefined)
})
