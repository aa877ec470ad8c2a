import type { Worker } from 'node:cluster'
import { test } from 'tap'
import { WorkerSlot } from '../../../../src/proxy/primary/worker-slot.ts'

const worker = {} as Worker

await test('two deaths are forgiven, then each waits twice as long, up to five seconds', async t => {
  const slot = new WorkerSlot(1)
  const delays: number[] = []
  for (let death = 0; death < 9; death += 1) {
    slot.hold(worker, death * 100)
    delays.push(slot.release(death * 100 + 50))
  }
  t.same(delays, [0, 0, 250, 500, 1_000, 2_000, 4_000, 5_000, 5_000])
})

await test('a worker that has lived for ten seconds begins a new count', async t => {
  const slot = new WorkerSlot(1)
  for (let death = 0; death < 4; death += 1) {
    slot.hold(worker, 0)
    slot.release(9_999)
  }
  slot.hold(worker, 20_000)
  t.equal(slot.release(30_000), 0)
  slot.hold(worker, 30_000)
  t.equal(slot.release(30_001), 0)
  slot.hold(worker, 30_001)
  t.equal(slot.release(30_002), 250)
})

await test('where no process can be had each attempt waits, too, and longer each time', async t => {
  const slot = new WorkerSlot(1)
  const delays = [0, 0, 0, 0].map(now => slot.missed(now))
  t.same(delays, [250, 250, 250, 500])
  t.equal(slot.deaths, 4)
})

await test('an empty slot takes messages and signals without an error', async t => {
  const slot = new WorkerSlot(1)
  slot.send({ kind: 'drain' })
  slot.kill()
  t.equal(slot.state, 'gone')
})
