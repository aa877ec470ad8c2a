import { resolve } from 'node:path'
import { Command } from 'commander'
import { createLogger } from '../../runtime/logger.ts'
import { openConfigOrReport } from '../configuration.ts'
import { workersOption } from '../options.ts'

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
      const store = openConfigOrReport(resolve(file))
      if (!store) return
      const { runProxy } = await import('../../proxy/app.ts')
      const logger = createLogger({ level: store.config.log.level, name: 'proxy' })
      const count = workers === undefined ? {} : { workers }
      const { exitCode } = await runProxy({ store, logger, ...count })
      process.exitCode = exitCode
    })
}
