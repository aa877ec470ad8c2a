/** Starts the parts in the order in which they need each other, and stops them in the opposite one. */
import { Child } from './child.ts'
import type { Parts } from './parts.ts'

export interface Together {
  /** Fulfilled when all serve; rejected, with everything stopped again, when one does not. */
  start(): Promise<void>
  /** The proxy drains first, so that its last calls still have deployments and its last reports a mixer. */
  stop(): Promise<void>
  /** Ends all by force. */
  kill(): void
  reload(): void
  reopenLogs(): void
}

/** `say` takes lines for the person at the terminal. */
export function createTogether(parts: Parts, say: (line: string) => void): Together {
  const deployments = parts.deployments.map(options => new Child(options, say))
  const mixer = new Child(parts.mixer, say)
  const proxy = new Child(parts.proxy, say)

  const stop = async (): Promise<void> => {
    await proxy.stop()
    await mixer.stop()
    await Promise.all(deployments.map(child => child.stop()))
  }
  return {
    start: async () => {
      try {
        await Promise.all([...deployments, mixer].map(startOne))
        await startOne(proxy)
      } catch (error) {
        await stop()
        throw error
      }
    },
    stop,
    kill: () => {
      for (const child of [proxy, mixer, ...deployments]) child.kill()
    },
    reload: () => proxy.signal('SIGHUP'),
    reopenLogs: () => proxy.signal('SIGUSR1'),
  }
}

/** Adds what the child said last: the reason is mostly there. */
async function startOne(child: Child): Promise<void> {
  try {
    await child.start()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const lines = [
      `${message}; its log: ${child.log}`,
      ...child.lastLines().map(line => `  ${line}`),
    ]
    throw new Error(lines.join('\n'), { cause: error })
  }
}
