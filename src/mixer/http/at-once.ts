/** Bounds how many calls of a route are read and answered at once, and with it the memory for their bodies. */
import { type Answer, refusal } from './answer.ts'
import type { Call } from './route.ts'

/** `handle` for so many at once; who comes beyond is to come again. `what` they are, for the refusal. */
export function atOnce(
  most: number,
  what: string,
  handle: (call: Call) => Promise<Answer>,
): (call: Call) => Promise<Answer> {
  let underWay = 0
  return async call => {
    if (underWay >= most)
      return refusal('ledger_unavailable', {
        detail: `too many ${what} at once`,
        headers: { 'retry-after': '1' },
      })
    underWay += 1
    try {
      return await handle(call)
    } finally {
      underWay -= 1
    }
  }
}
