import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import type { OnTenant } from '../../config/config-state.ts'
import { type ConfigStore, openConfig, peekConfig } from '../../config/config-store.ts'
import { formatProblem } from '../../config/load.ts'
import type { TenantConfig } from '../../config/schema.ts'
import type { PreparedWorkers } from '../../proxy/primary/prepared-workers.ts'
import type { Inheritance } from '../../proxy/primary/upgrade/messages.ts'
import type { Predecessor } from '../../proxy/primary/upgrade/predecessor.ts'
import { BackgroundFile } from '../../runtime/background-file.ts'
import { createLogger } from '../../runtime/logger.ts'
import { loadConfigOrReport, openConfigOrReport } from '../configuration.ts'
import { workersOption } from '../options.ts'

/** Lines of the primary for a reader of its output that does not read: what else it has to do goes on. */
const MOST_WAITING = 4 * 1024 * 1024
/** For the last lines. */
const LAST_LINES_MS = 1_000

interface ProxyOptions {
  readonly config: string
  readonly workers?: number
  readonly pidFile?: string
  readonly upgrade?: true
  readonly takeover?: true
}

const TAKEOVER = '--takeover'

/** `amt proxy`: the data plane, until a signal ends it. */
export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run the data plane')
    .requiredOption('--config <file>', 'the configuration')
    .addOption(workersOption())
    .option('--pid-file <file>', 'a file that names the process in charge, also after an upgrade')
    .option(
      '--upgrade',
      'let this version take over from the proxy that runs with this configuration',
    )
    .addOption(new Option(TAKEOVER).hideHelp())
    .addHelpText(
      'after',
      '\nExample:\n  amt proxy --config amt.yaml --workers 4\n  amt proxy --config amt.yaml --upgrade\n',
    )
    .action(async (options: ProxyOptions) => {
      if (options.upgrade === true) await upgrade(options)
      else await run(options)
    })
}

async function run({ config, workers, pidFile, takeover }: ProxyOptions): Promise<void> {
  const { runProxy } = await import('../../proxy/app.ts')
  const file = resolve(config)
  const taken = takeover === true ? await meetPredecessor() : undefined
  if (takeover === true && taken === undefined) {
    process.stderr.write(`amt: ${TAKEOVER} is for a running proxy to use; see --upgrade\n`)
    process.exitCode = 2
    return
  }
  const prepared = await prepareWorkers(file, workers)
  const onTenant = prepared && ((_: TenantConfig, text: string) => prepared.add(text))
  const store =
    taken === undefined ? openConfigOrReport(file, onTenant) : await inherit(file, taken, onTenant)
  if (!store) {
    prepared?.end()
    return
  }
  prepared?.allAdded()
  const output = new BackgroundFile({ where: 'stdout', maxBytes: MOST_WAITING, failed: () => {} })
  const logger = createLogger({ level: store.config.log.level, name: 'proxy' }, output.lines)
  const count = workers === undefined ? {} : { workers }
  const successor = successorOf(taken !== undefined)
  const { exitCode } = await runProxy({
    store,
    logger,
    prepared,
    succession: {
      successor,
      ...taken,
      pidFile: pidFile === undefined ? taken?.inheritance.pidFile : resolve(pidFile),
    },
    ...count,
  })
  process.exitCode = exitCode
  await output.end(LAST_LINES_MS)
  // Node would wait for a write that nobody reads, for ever.
  if (output.writing) process.kill(process.pid, 'SIGKILL')
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

interface Taken {
  readonly predecessor: Predecessor
  readonly inheritance: Inheritance
}

async function meetPredecessor(): Promise<Taken | undefined> {
  if (process.send === undefined) return undefined
  const { Predecessor: Former } = await import('../../proxy/primary/upgrade/predecessor.ts')
  const predecessor = new Former()
  const inheritance = await predecessor.inheritance
  return inheritance && { predecessor, inheritance }
}

/** The configuration, for a process that takes over: the one before hears what is wrong, and goes on. */
async function inherit(
  file: string,
  { predecessor, inheritance }: Taken,
  onTenant: OnTenant | undefined,
): Promise<ConfigStore | undefined> {
  const opened = openConfig(file, { env: process.env, onTenant })
  const problems =
    'problems' in opened
      ? opened.problems.map(formatProblem)
      : opened.store.config.mixer.journal === inheritance.journal
        ? []
        : [`mixer.journal cannot change with an upgrade; it is ${inheritance.journal}`]
  if ('store' in opened && problems.length === 0) return opened.store
  await predecessor.refuse(problems, 2)
  predecessor.close()
  process.exitCode = 2
  return undefined
}

/**
 * How this process would start its successor. Not where somebody watches over this very process and would take its end for
 * a death: `amt up`, and a container, whose end it is as well.
 */
function successorOf(
  hasTakenOver: boolean,
): { readonly program: string; readonly args: readonly string[] } | undefined {
  const watched = process.send !== undefined && !hasTakenOver
  if (watched || process.pid === 1) return undefined
  const args = process.argv.slice(1).filter(argument => argument !== TAKEOVER)
  return { program: process.execPath, args: [...process.execArgv, ...args, TAKEOVER] }
}

/** Asks the running proxy to start this program, and waits until it serves. */
async function upgrade({ config, workers, pidFile }: ProxyOptions): Promise<void> {
  const file = resolve(config)
  const peeked = peekConfig(file, { env: process.env }) ?? loadConfigOrReport(file)
  if (peeked === undefined) return
  const { askForUpgrade } = await import('../upgrade/ask.ts')
  const result = await askForUpgrade(peeked.mixer.journal, {
    program: process.execPath,
    args: [
      ...process.execArgv,
      ...process.argv.slice(1, 2),
      'proxy',
      '--config',
      file,
      ...(workers === undefined ? [] : ['--workers', String(workers)]),
      ...(pidFile === undefined ? [] : ['--pid-file', resolve(pidFile)]),
      TAKEOVER,
    ],
  })
  if (result.ok) {
    process.stdout.write(`upgraded: process ${result.pid} serves, the one before drains\n`)
    return
  }
  for (const problem of result.problems) process.stderr.write(`amt: ${problem}\n`)
  process.stderr.write('amt: not upgraded\n')
  process.exitCode = result.exitCode
}
