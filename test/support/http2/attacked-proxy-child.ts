/** A worker of the proxy in a process of its own, whose CPU and memory are nobody else's; see `attacked-proxy.ts`. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startProxy } from '../start-proxy.ts'
import type { AttackedFigures, ChildMessage, ParentMessage } from './attacked-proxy.ts'

const KIB = 1024
const TICK_MS = 5

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const say = (message: ChildMessage): void => void process.send?.(message)

process.once('message', (config: Record<string, unknown>) => void serve(config))

/**
 * The longest that the loop did not turn, in CPU: in time it would be that of other processes, too, on a machine that has
 * few cores for many of them.
 */
class LoopWatch {
  longestMs = 0
  #last = cpuMs()

  constructor() {
    setInterval(() => {
      const now = cpuMs()
      this.longestMs = Math.max(this.longestMs, now - this.#last)
      this.#last = now
    }, TICK_MS).unref()
  }

  reset(): void {
    this.longestMs = 0
    this.#last = cpuMs()
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

async function serve(config: Record<string, unknown>): Promise<void> {
  const proxy = await startProxy(config)
  const loop = new LoopWatch()
  const figures = async (): Promise<AttackedFigures> => {
    const before = cpuMs()
    const { longestMs } = loop
    const peakBytes = process.resourceUsage().maxRSS * KIB
    // Memory of buffers is given back behind the collection that finds them.
    for (let turn = 0; turn < 3; turn += 1) {
      collect()
      await new Promise(resolve => setImmediate(resolve))
    }
    const { heapUsed, external, rss } = process.memoryUsage()
    proxy.worker.reportNow()
    const rejected: Record<string, number> = {}
    for (const { reason, count } of proxy.reports().flatMap(report => report.rejected))
      rejected[reason] = (rejected[reason] ?? 0) + count
    loop.reset()
    return {
      cpuMs: before,
      cpuAfterMs: cpuMs(),
      stallMs: longestMs,
      peakBytes,
      heldBytes: heapUsed + external,
      residentBytes: rss,
      connections: proxy.worker.openConnections,
      rejected,
    }
  }
  process.on('message', ({ kind }: ParentMessage) => {
    if (kind === 'figures') void figures().then(found => say({ kind: 'figures', figures: found }))
    else void proxy.close().then(() => process.disconnect?.())
  })
  say({ kind: 'ready', bound: proxy.bound })
}
