/** Entry of a worker process: speaks to the primary, and runs one worker. */

import { systemClock } from '../../runtime/clock.ts'
import { createLogger } from '../../runtime/logger.ts'
import type { PrimaryMessage, WorkerMessage } from '../ipc.ts'
import { Worker } from './worker.ts'

let worker: Worker | undefined
const primary = process.ppid

/** Resolves when the last message has left this process. */
let sent: Promise<void> = Promise.resolve()

function send(message: WorkerMessage): void {
  // A primary that is gone takes no messages; `disconnect` ends the worker.
  if (!process.connected) return
  sent = new Promise(resolve => {
    process.send?.(message, undefined, undefined, () => resolve())
  })
}

/** Leaves the primary. What was sent before would be lost with the channel: of 20 large messages, 18 were. */
async function leave(): Promise<void> {
  await sent
  process.disconnect?.()
}

async function start(message: Extract<PrimaryMessage, { kind: 'start' }>): Promise<void> {
  const { config, generation, workers, instance } = message
  const logger = createLogger({ level: config.log.level, name: 'worker' })
  const started = new Worker(
    {
      clock: systemClock,
      logger,
      report: send,
      askQuota: asks => send({ kind: 'quota-asks', asks }),
      endIfOrphaned: () => {
        if (process.ppid !== primary) process.exit(0)
      },
    },
    { config, generation, workers, instance },
  )
  const result = await started.start()
  if ('problems' in result) {
    send({ kind: 'failed', reason: result.reason, problems: result.problems })
    await leave()
    return
  }
  worker = started
  send({ kind: 'ready', bound: result.bound, producer: started.producer })
}

async function receive(message: PrimaryMessage): Promise<void> {
  switch (message.kind) {
    case 'start':
      await start(message)
      return
    case 'tenants': {
      const problems =
        (await worker?.applyTenants(message.tenants, message.limits, message.generation)) ?? []
      send({ kind: 'applied', generation: message.generation, problems })
      return
    }
    case 'quota-answers':
      worker?.quotaAnswers(message.answers)
      return
    case 'drain':
      await worker?.drain()
      await leave()
  }
}

process.on('message', (message: PrimaryMessage) => void receive(message))
// Signals go to the whole group of a terminal; only the primary decides what they mean.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('SIGHUP', () => {})
// Without its primary a worker has nobody to report to: what it served would never be billed.
process.on('disconnect', () => {
  worker?.saveUsage()
  process.exit(0)
})
send({ kind: 'hello' })
