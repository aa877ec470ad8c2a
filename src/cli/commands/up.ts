/** `amt up`: proxy and mixer, and without a configuration of one's own two sample tenants, in one go on one machine. */
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import type { Config } from '../../config/schema.ts'
import { claimPathOf } from '../../core/claim-path.ts'
import { onSignals } from '../../runtime/signals.ts'
import { loadConfigOrReport } from '../configuration.ts'
import { workersOption } from '../options.ts'
import { packageRoot } from '../package-root.ts'
import { findTakenAddresses, formatAddress, wantedAddresses } from '../up/addresses.ts'
import { readOutline } from '../up/outline.ts'
import { type Parts, planParts } from '../up/parts.ts'
import { prepareState, writeToken } from '../up/state.ts'
import { createTogether, type Together } from '../up/together.ts'
import { shownPath, tryOuts } from '../up/try-out.ts'

/** Of an IPv4 address and a port. */
const ADDRESS_WIDTH = 21

interface UpOptions {
  readonly config?: string
  readonly state?: string
  readonly samples?: true
  readonly prepare?: true
  readonly workers?: number
}

interface Plan {
  readonly stateDir: string
  readonly configPath: string
  readonly samples: boolean
  readonly plainStart: boolean
  readonly cwd: string
}

export function upCommand(): Command {
  return new Command('up')
    .description('run proxy and mixer together on this machine')
    .option(
      '--config <file>',
      'the configuration, instead of config.example.yaml and its two sample tenants',
    )
    .option(
      '--state <directory>',
      'where everything is kept; `state` or what AMT_STATE names by default',
    )
    .option(
      '--samples',
      'with --config: run the sample application for its tenants on this machine',
    )
    .option('--prepare', 'make certificates and keys in the state folder, and end')
    .addOption(workersOption())
    .addHelpText('after', '\nExample:\n  amt up\n  amt up --config amt.yaml --state /var/lib/amt\n')
    .action(async (options: UpOptions) => {
      const plan = planOf(options)
      await prepare(plan)
      if (options.prepare) return
      const config = loadConfigOrReport(plan.configPath, {
        ...process.env,
        AMT_STATE: plan.stateDir,
      })
      if (!config) return
      const count = options.workers === undefined ? {} : { workers: options.workers }
      await run(plan, config, planParts({ ...plan, config, ...count }))
    })
}

function planOf({ config, state, samples }: UpOptions): Plan {
  const cwd = process.cwd()
  const named = state ?? process.env.AMT_STATE
  const stateDir = resolve(named === undefined || named === '' ? 'state' : named)
  return {
    cwd,
    stateDir,
    configPath: config === undefined ? packageRoot('config.example.yaml') : resolve(config),
    samples: samples === true || config === undefined,
    plainStart: config === undefined && stateDir === join(cwd, 'state'),
  }
}

async function prepare({ stateDir, configPath, samples, cwd }: Plan): Promise<void> {
  const { tenants, hosts, trustDomain } = await readOutline(configPath)
  const credentials = samples ? tenants : []
  const made = await prepareState({ dir: stateDir, tenants: credentials, hosts, trustDomain })
  const news = made.length === 0 ? 'all there' : `made ${made.join(', ')}`
  say(`State in ${shownPath(cwd, stateDir)}: ${news}.`)
}

async function run(plan: Plan, config: Config, parts: Parts): Promise<void> {
  if (unfixedPorts(config)) return
  const taken = await findTakenAddresses(wantedAddresses(config, parts.addresses))
  if (taken.length > 0) return fail(taken)
  await writeTokens(plan, config)
  const logs = shownPath(plan.cwd, join(plan.stateDir, 'logs'))
  say(`Starting mixer, proxy and ${parts.deployments.length} sample deployments; logs in ${logs}.`)
  const together = createTogether(parts, say)
  const ended = stopOnSignal(together)
  try {
    await together.start()
  } catch (error) {
    if (ended.asked()) return ended.promise
    ended.forget()
    return fail([error instanceof Error ? error.message : String(error)])
  }
  if (!ended.asked()) welcome(plan, config, parts)
  await ended.promise
}

/** `amt up` asks the parts whether they are ready, so it must know where they are. */
function unfixedPorts(config: Config): boolean {
  const asked = { 'admin.address': config.admin.address, 'mixer.listen': config.mixer.listen ?? '' }
  const unfixed = Object.entries(asked).filter(([, address]) => address.endsWith(':0'))
  for (const [key] of unfixed) process.stderr.write(`amt up: ${key} needs a fixed port, not 0\n`)
  if (unfixed.length > 0) process.exitCode = 2
  return unfixed.length > 0
}

async function writeTokens({ stateDir, samples }: Plan, config: Config): Promise<void> {
  const issuer = config.authentication.jwt.find(({ jwks }) => jwks === join(stateDir, 'jwks.json'))
  if (!samples || !issuer) return
  const { audiences } = issuer
  const tenantClaim = claimPathOf(issuer.tenantClaim)
  const common = { issuer: issuer.issuer, audience: audiences[0] ?? '', tenantClaim }
  for (const { id } of config.tenants) await writeToken(stateDir, { ...common, tenant: id })
}

interface Ending {
  /** Whether a signal has come. */
  asked(): boolean
  /** Fulfilled when a signal has come and everything is stopped. */
  readonly promise: Promise<void>
  /** Stops listening for signals. */
  forget(): void
}

function stopOnSignal(together: Together): Ending {
  const { promise, resolve: end, reject } = Promise.withResolvers<void>()
  let asked = false
  const forget = onSignals({
    reload: () => together.reload(),
    reopenLogs: () => together.reopenLogs(),
    stop: () => {
      if (asked) {
        process.exitCode = 1
        return together.kill()
      }
      asked = true
      say('Stopping: the proxy ends what is running (once more to stop at once).')
      together.stop().then(end, reject)
    },
  })
  void promise.finally(forget).catch(() => undefined)
  return { asked: () => asked, promise, forget }
}

function welcome(plan: Plan, config: Config, parts: Parts): void {
  say('')
  for (const address of wantedAddresses(config, parts.addresses)) {
    say(`  ${formatAddress(address).padEnd(ADDRESS_WIDTH)}  ${address.what}`)
  }
  say('\nReady. Each of these works as it stands, in another terminal in this directory:')
  for (const { title, command } of tryOuts({ ...plan, config })) say(`\n# ${title}\n${command}`)
  say('\nCtrl-C stops everything and keeps the state.')
}

function fail(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`amt up: ${line}\n`)
  process.exitCode = 1
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
