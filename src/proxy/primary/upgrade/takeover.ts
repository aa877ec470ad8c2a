/** Taking the place of another primary, once all workers of this one serve. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from '../../../runtime/logger.ts'
import type { JournalShipper } from '../../shipping/journal-shipper.ts'
import type { ListeningSockets } from '../listening-sockets.ts'
import type { Legacy } from './messages.ts'
import type { Predecessor } from './predecessor.ts'

/** What the process before has not let go yet is asked for so often; the log says so every two seconds. */
const INSIST_MS = 50
const TELL_EVERY = 40

export interface TakeoverOptions {
  readonly predecessor: Predecessor
  readonly sockets: ListeningSockets
  readonly shipper: JournalShipper
  /** A journal of the one before is written no more. */
  readonly gone: (producer: string) => void
  /** What that one has said last. */
  readonly heir: (legacy: Legacy) => void
  /** Opens the admin server; rejects where it cannot. */
  readonly openAdmin: () => Promise<void>
  /** Whether this process still wants it. */
  readonly wanted: () => boolean
  readonly logger: Logger
}

/** Resolves when this process has everything. There is no way back: clients are served by it already. */
export async function takeOver(options: TakeoverOptions): Promise<void> {
  const { predecessor, sockets, shipper, heir, openAdmin } = options
  sockets.closeUnwanted()
  const legacy = await predecessor.takeOver({
    gone: producer => {
      shipper.foreignGone(producer)
      options.gone(producer)
    },
    ended: () => shipper.claims.forgetForeign(),
  })
  shipper.claims.follow(legacy.producers)
  heir(legacy)
  await insist(options, 'mixer.journal', async () => shipper.start())
  await insist(options, 'the admin server', openAdmin)
}

async function insist(
  { wanted, logger }: TakeoverOptions,
  what: string,
  attempt: () => Promise<void>,
): Promise<void> {
  for (let failures = 1; wanted(); failures += 1) {
    try {
      await attempt()
      return
    } catch (error) {
      if (failures % TELL_EVERY === 0)
        logger.error({ err: error, what }, 'not taken over yet; tried again')
      await pause(INSIST_MS)
    }
  }
}
