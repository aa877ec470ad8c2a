/** `amt` and its commands: what is the same for all of them, which is usage errors, help, exit codes and output. */
import { Command, CommanderError } from 'commander'
import { packageVersion } from '../runtime/package-version.ts'

/** Exit codes of every command. */
export const EXIT = { fine: 0, failed: 1, wrongUsage: 2 } as const

/** In the order of the help. Each is loaded when it is wanted: `amt key` has no use for a proxy's libraries. */
const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['proxy', async () => (await import('./commands/proxy.ts')).proxyCommand()],
  ['mixer', async () => (await import('./commands/mixer.ts')).mixerCommand()],
  ['up', async () => (await import('./commands/up.ts')).upCommand()],
  ['check', async () => (await import('./commands/check.ts')).checkCommand()],
  ['schema', async () => (await import('./commands/schema.ts')).schemaCommand()],
  ['key', async () => (await import('./commands/key.ts')).keyCommand()],
  ['certs', async () => (await import('./commands/certs.ts')).certsCommand()],
  ['usage', async () => (await import('./commands/usage.ts')).usageCommand()],
  ['top', async () => (await import('./commands/top.ts')).topCommand()],
  ['reconcile', async () => (await import('./commands/reconcile.ts')).reconcileCommand()],
  ['health', async () => (await import('./commands/health.ts')).healthCommand()],
  ['exports', async () => (await import('./commands/exports.ts')).exportsCommand()],
])

/** Runs one command line (without node and script) and sets `process.exitCode`; it is over when the promise is. */
export async function runProgram(args: readonly string[]): Promise<void> {
  watchOutput(process.stdout)
  watchOutput(process.stderr)
  try {
    const program = await createProgram(args[0])
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    process.exitCode = exitCodeOf(error)
  }
}

/** The program with the one command that is wanted, or with all where `wanted` names none. */
async function createProgram(wanted: string | undefined): Promise<Command> {
  const program = new Command('amt')
    .description('Turns a single-tenant application into a multi-tenant service.')
    .version(packageVersion(), '--version', 'print the version')
    .addHelpText(
      'after',
      '\nExample:\n  amt up      # all on this machine, with two sample tenants\n',
    )
  const one = COMMANDS.get(wanted ?? '')
  for (const load of one ? [one] : COMMANDS.values()) program.addCommand(await load())
  applyDefaults(program)
  return program
}

/** commander does not hand settings down to commands that were made elsewhere. */
function applyDefaults(command: Command): void {
  command.exitOverride().helpOption('--help', 'print this help').helpCommand(false)
  command.showHelpAfterError(`(\`${pathOf(command)} --help\` shows what there is)`)
  for (const child of command.commands) applyDefaults(child)
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name()
}

/** commander has printed its own errors; whatever else comes here is a command that failed. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) {
    const asked = error.code === 'commander.helpDisplayed' || error.code === 'commander.version'
    return asked ? EXIT.fine : EXIT.wrongUsage
  }
  process.stderr.write(`amt: ${error instanceof Error ? error.message : String(error)}\n`)
  return EXIT.failed
}

/** A reader that has seen enough (`amt schema | head`) is no failure; a full disk is. */
function watchOutput(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.exitCode = EXIT.failed
  })
}
