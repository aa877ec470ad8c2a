import { Command } from 'commander'
import { redactConfig } from '../../config/redact.ts'
import type { Config } from '../../config/schema.ts'
import { createMixer, MixerStartError } from '../../mixer/app.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLogger } from '../../runtime/logger.ts'
import { onSignals } from '../../runtime/signals.ts'
import { loadConfigOrReport } from '../configuration.ts'

const EXIT_FAILED = 1

/** `amt mixer`: takes usage reports and keeps the ledger, until SIGTERM or SIGINT ends it. */
export function mixerCommand(): Command {
  return new Command('mixer')
    .description('run the mixer: it takes usage reports and keeps the ledger')
    .requiredOption('--config <file>', 'the configuration')
    .addHelpText('after', '\nExample:\n  amt mixer --config amt.yaml\n')
    .action(async ({ config: file }: { readonly config: string }) => {
      const config = loadConfigOrReport(file)
      if (config) await runMixer(config)
    })
}

async function runMixer(config: Config): Promise<void> {
  const logger = createLogger({ level: config.log.level, name: 'mixer' })
  const mixer = createMixer({ config, logger, clock: systemClock })
  const { promise: stopped, resolve: stop } = Promise.withResolvers<NodeJS.Signals>()
  // Before it listens: a signal that comes meanwhile must not cut it off half-way.
  const forget = onSignals({ stop })
  try {
    const { address, port } = await mixer.listen()
    logger.info({ address, port, ledger: redactConfig(config).ledger }, 'mixer is ready')
    const signal = await stopped
    logger.info({ signal }, 'mixer is closing')
    await mixer.close()
  } catch (error) {
    if (!(error instanceof MixerStartError)) throw error
    process.stderr.write(`amt ${error.message}\n`)
    process.exitCode = EXIT_FAILED
  } finally {
    forget()
  }
}
