import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { peekConfig } from '../../config/config-store.ts'
import type { PreparedWorkers } from '../../proxy/primary/prepared-workers.ts'
import { BackgroundFile } from '../../runtime/background-file.ts'
import { createLogger } from '../../runtime/logger.ts'
import { openConfigOrReport } from '../configuration.ts'
import { workersOption } from '../options.ts'

/** Lines of the primary for a reader of its output that does not read: what else it has to do goes on. */
const MOST_WAITING = 4 * 1024 * 1024
/** For the last lines. */
const LAST_LINES_MS = 1_000

interface ProxyOptions {
  readonly config: string
  readonly workers?: number
}

/** `amt proxy`: the data plane, until a signal ends it. */
export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run the data plane')
    .requiredOption('--config <file>', 'the configuration')
    .addOption(workersOption())
    .addHelpText('after', '\nExample:\n  amt proxy --config amt.yaml --workers 4\n')
    .action(async ({ config: file, workers }: ProxyOptions) => {
      const { runProxy } = await import('../../proxy/app.ts')
      const prepared = await prepareWorkers(resolve(file), workers)
      const store = openConfigOrReport(resolve(file))
      if (!store) {
        prepared?.end()
        return
      }
      const output = new BackgroundFile({
        where: 'stdout',
        maxBytes: MOST_WAITING,
        failed: () => {},
      })
      const logger = createLogger({ level: store.config.log.level, name: 'proxy' }, output.lines)
      const count = workers === undefined ? {} : { workers }
      const { exitCode } = await runProxy({ store, logger, prepared, ...count })
      process.exitCode = exitCode
      await output.end(LAST_LINES_MS)
      // Node would wait for a write that nobody reads, for ever.
      if (output.writing) process.kill(process.pid, 'SIGKILL')
    })
}

/** They load their program while the tenants are read. None where the main file already says that there is nothing to do. */
async function prepareWorkers(
  file: string,
  wanted: number | undefined,
): Promise<PreparedWorkers | undefined> {
  const config = peekConfig(file, { env: process.env })
  if (config === undefined) return undefined
  const { PreparedWorkers: Workers } = await import('../../proxy/primary/prepared-workers.ts')
  const count = wanted ?? (config.workers === 'auto' ? availableParallelism() : config.workers)
  return new Workers(count)
}
