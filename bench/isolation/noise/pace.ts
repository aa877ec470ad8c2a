const TICK_MS = 1
/** What was due while this program was kept from running is done at once, up to so much of it; the rest never. */
const MAX_LATE_SECONDS = 0.05

/** Calls `act` so often a second, whatever becomes of it, until the function that it gives is called. */
export function pace(perSecond: number, act: () => void): () => void {
  const most = Math.ceil(perSecond * MAX_LATE_SECONDS)
  let last = performance.now()
  let due = 0
  const timer = setInterval(() => {
    const now = performance.now()
    due = Math.min(most, due + ((now - last) * perSecond) / 1_000)
    last = now
    for (; due >= 1; due -= 1) act()
  }, TICK_MS)
  return () => clearInterval(timer)
}
