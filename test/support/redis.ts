/** Debian's Redis: servers of single tenants, and `redis-cli` as their customers run it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type CommandResult, Program, runCommand, skipWithout } from './program.ts'

/** For the `skip` of tests with Redis: why they cannot run here, or false. */
export const WITHOUT_REDIS: string | false = skipWithout({
  'redis-server': 'redis-server',
  'redis-cli': 'redis-tools',
})

/** A server with a folder of its own that keeps nothing; gives the path of its Unix socket, which needs no free port. */
export async function startRedis(t: Test): Promise<string> {
  // Short: the path of a Unix socket has 107 characters at most.
  const folder = await mkdtemp(join(tmpdir(), 'amt-redis-'))
  t.teardown(async () => rm(folder, { recursive: true, force: true }))
  const socket = join(folder, 'socket')
  const server = new Program(t, [
    'redis-server',
    ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', '--appendonly', 'no'],
  ])
  await server.line(/ready to accept connections/i)
  return socket
}

/** `redis-cli` with arguments that say where to and who it is. */
export class RedisCli {
  readonly #connect: readonly string[]

  constructor(connect: readonly string[]) {
    this.#connect = connect
  }

  /** Runs one command; `input` is its stdin. */
  async run(args: readonly string[], input?: string | Buffer): Promise<CommandResult> {
    const options = input === undefined ? {} : { input }
    return runCommand(this.#command(args), { ...options, env: environment() })
  }

  /** The answer to a command as text, without its line end; throws what it says where it fails. */
  async ask(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args)
    if (code !== 0 || stderr !== '') throw new Error(`redis-cli ended with ${code}: ${stderr}`)
    return stdout.toString().trimEnd()
  }

  /** Starts a command that goes on until it is stopped, such as MONITOR. */
  follow(t: Test, ...args: string[]): Program {
    return new Program(t, this.#command(args), { env: environment() })
  }

  #command(args: readonly string[]): [string, string[]] {
    return ['redis-cli', [...this.#connect, ...args]]
  }
}

/** Without what the person who runs the tests has set for `redis-cli`. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, REDISCLI_AUTH: undefined, REDISCLI_RCFILE: '/dev/null' }
}
