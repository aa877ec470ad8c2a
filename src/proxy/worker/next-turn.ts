/** Work that may wait for its turn of the event loop. */
import type { TurnClock } from '../../runtime/turn-clock.ts'
import type { TurnWrites } from '../wire/turn-writes.ts'

/**
 * Runs `run` behind all that arrived in the present turn, and behind what that has to send: what is ready must not wait for
 * what is about to begin. Said while such work runs, it is the turn that follows.
 */
export type NextTurn = (run: () => void) => void

export function nextTurnOf(clock: TurnClock, writes: TurnWrites): NextTurn {
  return run => {
    setImmediate(() => {
      clock.refresh()
      writes.sendDue()
      run()
    })
  }
}
