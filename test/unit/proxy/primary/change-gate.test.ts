/** When changes are let through; what is heard of them by real files is in source-watcher.test.ts. */
import { join } from 'node:path'
import { test } from 'tap'
import { ChangeGate, type WatchedSource } from '../../../../src/proxy/primary/change-gate.ts'

await test('where the timer comes too early, what is whole waits for the rest of its time alone', async t => {
  const path = join(t.testdir({ 'all.jsonl': '{}\n' }), 'all.jsonl')
  const source: WatchedSource = { path, kind: 'file' }
  const timers: { readonly run: () => void; readonly ms: number }[] = []
  let nowMs = 1_000
  t.intercept(performance, 'now', { value: () => nowMs })
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => timers.push({ run, ms }),
  })
  const heard: unknown[] = []
  const gate = new ChangeGate([source], touched => heard.push(touched.scopeOf(path)))
  t.teardown(() => gate.close())
  const fire = async (): Promise<number | undefined> => {
    const timer = timers.pop()
    timer?.run()
    // It hears first what else has happened.
    await new Promise(resolve => setImmediate(resolve))
    return timer?.ms
  }
  gate.renamed(source)
  nowMs += 4.5
  t.equal(await fire(), 5)
  t.same(heard, [])
  nowMs += 0.5
  t.equal(await fire(), 0.5)
  t.same(heard, ['all'])
  t.same(timers, [])
})
