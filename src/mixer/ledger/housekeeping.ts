/** The ledger's own work beside reports: it rolls up what has become old enough, and lets go what is past retention. */
import { USAGE_GRAINS } from '../../contracts/usage-query.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { messageOf } from './database.ts'
import { expireStep, type Retention } from './retention.ts'
import { rollUpStep } from './roll-up.ts'
import type { UsageTables } from './usage-tables.ts'

const { minute: MINUTE_MS } = USAGE_GRAINS
/** Usage comes within seconds; what comes later than this is late, which is right too, but more work. */
const ROLL_UP_BEHIND_MS = 5 * MINUTE_MS
const EVERY_MS = 10_000
/** The first look at retention comes soon after the start, the others each hour. */
const EXPIRE_AFTER_MS = 5 * MINUTE_MS
const EXPIRE_EVERY_MS = 60 * MINUTE_MS

export interface HousekeepingDeps {
  readonly tables: UsageTables
  readonly retention: Retention
  readonly clock: Clock
  readonly logger: Logger
  /** How far behind the clock the sums of hours and days are, in seconds. */
  readonly onRolledUp: (seconds: number) => void
  readonly onExpired: (rows: number) => void
  /** How often it looks, in milliseconds. */
  readonly every?: number
}

export interface Housekeeping {
  /** Stops; fulfilled when the step that is under way is over. */
  close(): Promise<void>
}

/**
 * Works until it is closed, one small transaction after the other with room for others in between. What fails is logged
 * and tried again with the next turn: nothing depends on it but the time that queries take, and the size of the ledger.
 */
export function startHousekeeping(deps: HousekeepingDeps): Housekeeping {
  let closed = false
  let underWay: Promise<void> = Promise.resolve()
  let expireAt = deps.clock.monotonic() + EXPIRE_AFTER_MS
  const turn = async (): Promise<void> => {
    try {
      await rollUp(deps, () => closed)
      if (closed || deps.clock.monotonic() < expireAt) return
      expireAt = deps.clock.monotonic() + EXPIRE_EVERY_MS
      await expire(deps, () => closed)
    } catch (cause) {
      deps.logger.error({ reason: messageOf(cause) }, 'the ledger could not be rolled up')
    }
  }
  let busy = false
  const timer = setInterval(() => {
    if (busy) return
    busy = true
    underWay = turn().finally(() => {
      busy = false
    })
  }, deps.every ?? EVERY_MS)
  return {
    async close() {
      closed = true
      clearInterval(timer)
      await underWay
    },
  }
}

async function rollUp(deps: HousekeepingDeps, closed: () => boolean): Promise<void> {
  const { tables, clock, onRolledUp } = deps
  const now = clock.now()
  const until = Math.floor((now - ROLL_UP_BEHIND_MS) / MINUTE_MS) * MINUTE_MS
  for (;;) {
    const mark = await rollUpStep(tables, until)
    onRolledUp((now - (mark?.at ?? until)) / 1_000)
    if (mark === undefined || closed()) return
    await breathe()
  }
}

async function expire(deps: HousekeepingDeps, closed: () => boolean): Promise<void> {
  const { tables, retention, clock, logger, onExpired } = deps
  let all = 0
  for (;;) {
    const rows = await expireStep(tables, retention, clock.now())
    if (rows === 0) break
    onExpired(rows)
    all += rows
    if (closed()) break
    await breathe()
  }
  if (all > 0)
    logger.info({ rows: all }, 'usage past its retention has been deleted from the ledger')
}

/** Lets reports in that have come meanwhile. */
async function breathe(): Promise<void> {
  await new Promise<void>(resolve => {
    setImmediate(resolve)
  })
}
