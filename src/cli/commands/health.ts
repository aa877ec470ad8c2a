import { Command } from 'commander'
import { type AdminAccess, askAdmin, findAdmin } from '../admin-access.ts'
import { adminOption } from '../options.ts'

const EXIT_FAILED = 1
/** A health check of a container or of a service manager waits no longer either. */
const TIMEOUT_MS = 3_000

interface HealthOptions {
  readonly config?: string
  readonly admin?: string
  readonly live?: true
}

/** `amt health`: for whatever runs a proxy and can run a command in its place, such as a container. */
export function healthCommand(): Command {
  return new Command('health')
    .description('ask a running proxy whether it is ready; exit 1 where it is not')
    .option('--config <file>', 'configuration that names the admin server')
    .addOption(adminOption())
    .option('--live', 'ask only whether it runs, also while it starts or drains')
    .addHelpText('after', '\nExample:\n  amt health --config amt.yaml\n')
    .action(health)
}

async function health({ config, admin, live }: HealthOptions): Promise<void> {
  const access = findAdmin(admin, config, process.env)
  const problem = await problemOf(access, live ? '/livez' : '/readyz')
  if (problem === undefined) {
    process.stdout.write(live ? 'live\n' : 'ready\n')
    return
  }
  process.stderr.write(`amt health: ${problem}\n`)
  process.exitCode = EXIT_FAILED
}

/** Undefined where it is well. */
async function problemOf(access: AdminAccess, path: string): Promise<string | undefined> {
  try {
    const { status, body } = await askAdmin(access, path, TIMEOUT_MS)
    return status === 200 ? undefined : `not ready: ${statusIn(body)}`
  } catch (cause) {
    return `${access.name}: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

/** What the proxy calls the state that it is in. */
function statusIn(body: string): string {
  try {
    const { status } = JSON.parse(body) as { readonly status?: unknown }
    return String(status)
  } catch {
    return 'it does not answer as a proxy does'
  }
}
