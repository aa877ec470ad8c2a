import { test } from 'tap'
import { ignoreSignals, onSignals } from '../../../src/runtime/signals.ts'

await test('signals become calls until nobody listens any more', async t => {
  const calls: string[] = []
  const stop = onSignals({ stop: signal => calls.push(signal), reload: () => calls.push('reload') })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.emit(signal, signal)
  }
  t.same(calls, ['SIGTERM', 'SIGINT', 'reload'])
  const listeners = process.listenerCount('SIGHUP')
  stop()
  t.equal(process.listenerCount('SIGHUP'), listeners - 1)
})

await test('an ignored signal does not end the process', async t => {
  const all = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const
  ignoreSignals()
  for (const signal of all) process.kill(process.pid, signal)
  await new Promise(resolve => setTimeout(resolve, 20))
  t.pass('still here')
  for (const signal of all) process.removeAllListeners(signal)
})
