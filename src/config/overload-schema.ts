/** When a worker is busy and when it is in danger, and what it does about it. */
import { z } from 'zod'
import { duration, fraction, offOr, size } from './quantities.ts'

const CALLS_A_TURN = 'must be auto or a number from 1 to 10000'
const QUEUED = 'must be a number from 1 to 1000000'

const queue = z.strictObject({
  calls: z
    .number({ error: QUEUED })
    .int(QUEUED)
    .min(1, QUEUED)
    .max(1_000_000, QUEUED)
    .default(1_000)
    .describe(
      'Calls of all tenants that wait for their turn in a busy worker; beyond it those of the tenant with most of them, by weight, are refused.',
    ),
  timeout: duration()
    .prefault('1s')
    .describe('How long a call may wait for its turn; then it is refused.'),
})

export const overload = z.strictObject({
  lag: offOr(duration())
    .prefault('3ms')
    .describe('A worker whose event loop is so late is busy; or off.'),
  cpu: z
    .union([z.literal('off').transform(() => 0), fraction()], {
      error: 'must be off or a percentage from 0% to 100%',
    })
    .prefault('off')
    .describe(
      'A worker whose event loop works for so much of the time is busy as well; off by default, since one that is not late keeps nobody waiting.',
    ),
  turn: duration()
    .prefault('1ms')
    .describe(
      'How long one turn of the event loop of a busy worker should take: calls beyond that wait, and tenants take turns.',
    ),
  callsATurn: z
    .union([z.literal('auto'), z.number().int().min(1).max(10_000)], { error: CALLS_A_TURN })
    .default('auto')
    .describe(
      'Calls that a busy worker begins in one turn, about; `auto` goes by how long turns take.',
    ),
  queue: queue.prefault({}).describe('Calls that wait for their turn in a busy worker.'),
  memory: z
    .union([z.literal('auto'), size()], { error: 'must be auto or a size such as 512MiB or 2GiB' })
    .default('auto')
    .describe(
      'What a worker may take, JavaScript heap and memory outside it; `auto` divides that of the machine or container among the processes. The limit of the heap itself always holds, too.',
    ),
  shrinkBuffers: fraction()
    .prefault('80%')
    .describe('From this part of its memory on a worker does without large buffers and spares.'),
  stopKeepAlive: fraction()
    .prefault('85%')
    .describe(
      'From this part of its memory or open files on connections of the tenants with most calls end with their call.',
    ),
  refuseCalls: fraction()
    .prefault('90%')
    .describe(
      'From this part of its memory, open files or accept queue on new calls of the tenants with most calls are refused.',
    ),
  refuseConnections: fraction().prefault('95%').describe('The same for all new connections.'),
  recovery: duration()
    .prefault('1s')
    .describe(
      'How long a figure must be clearly below its threshold before what it led to is over.',
    ),
})

export type OverloadConfig = z.output<typeof overload>
