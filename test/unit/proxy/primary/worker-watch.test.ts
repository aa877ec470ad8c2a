import { spawn } from 'node:child_process'
import type { Worker } from 'node:cluster'
import { once } from 'node:events'
import { test } from 'tap'
import { WorkerSlot } from '../../../../src/proxy/primary/worker-slot.ts'
import { WorkerWatch } from '../../../../src/proxy/primary/worker-watch.ts'
import { processState } from '../../../../src/runtime/process-state.ts'
import { LogLines } from '../../../support/log-lines.ts'

const SILENCE_MS = 30_000

class Watched {
  readonly signals: string[] = []
  readonly log = new LogLines()
  readonly slot = new WorkerSlot(1)
  readonly watch: WorkerWatch
  hangs = 0

  constructor(state: WorkerSlot['state'] = 'ready', silence = SILENCE_MS) {
    this.hold(state)
    this.watch = new WorkerWatch({
      slots: () => [this.slot],
      silence,
      logger: this.log.logger,
      onHang: () => (this.hangs += 1),
    })
  }

  hold(state: WorkerSlot['state']): void {
    const kill = (signal: string): number => this.signals.push(signal)
    this.slot.hold({ process: { pid: process.pid, kill } } as unknown as Worker, 0)
    this.slot.state = state
  }

  look(times: number): void {
    for (let look = 0; look < times; look += 1) this.watch.look()
  }
}

await test('a worker that is silent for its time is aborted, and killed where that does not end it', async t => {
  const watched = new Watched()
  watched.look(29)
  t.same(watched.signals, [])
  watched.look(1)
  t.same(watched.signals, ['SIGABRT'])
  t.equal(watched.hangs, 1)
  t.match(await watched.log.first('worker hangs and is ended'), {
    worker: 1,
    workerPid: process.pid,
    silentSeconds: 30,
    state: 'running',
  })
  watched.look(4)
  t.same(watched.signals, ['SIGABRT'], 'a core takes its time')
  watched.look(1)
  t.same(watched.signals, ['SIGABRT', 'SIGKILL'])
  t.equal(watched.hangs, 1, 'it hangs once')
})

await test('any word of it is a sign of life', async t => {
  const watched = new Watched()
  for (let second = 0; second < 10; second += 1) {
    watched.look(29)
    watched.slot.silence.heard()
  }
  t.same(watched.signals, [])
})

await test('time in which the primary does not look either counts for nothing', async t => {
  const watched = new Watched()
  watched.look(20)
  // The machine sleeps for an hour: one look comes after it, and then what the worker said.
  watched.look(1)
  watched.slot.silence.heard()
  watched.look(29)
  t.same(watched.signals, [])
})

await test('a worker that stands still for a profile is left alone, and one that never comes back is not', async t => {
  const watched = new Watched()
  watched.look(20)
  watched.watch.excuse(watched.slot)
  watched.look(180)
  t.same(watched.signals, [], 'the longest profile')
  watched.look(30)
  t.same(watched.signals, ['SIGABRT'])
})

await test('a worker that begins has time to read very many tenants, and its successor begins at nothing', async t => {
  const watched = new Watched('started')
  watched.look(119)
  t.same(watched.signals, [])
  watched.look(1)
  t.same(watched.signals, ['SIGABRT'])
  watched.signals.length = 0
  watched.hold('ready')
  watched.look(29)
  t.same(watched.signals, [])
})

await test('off: no worker is watched', t => {
  const watched = new Watched('ready', 0)
  t.context.before = process.getActiveResourcesInfo().length
  watched.watch.start()
  t.equal(process.getActiveResourcesInfo().length, t.context.before, 'no timer')
  t.end()
})

await test('the kernel says that a process is stopped, and nothing of one that is gone', async t => {
  const child = spawn('sleep', ['60'])
  const pid = child.pid ?? 0
  t.teardown(() => child.kill('SIGKILL'))
  child.kill('SIGSTOP')
  // The kernel stops it in its own time, and no event tells of it.
  while (processState(pid) !== 'stopped') await new Promise(resolve => setTimeout(resolve, 5))
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  t.equal(processState(pid), undefined)
})
