/** A network of a test's own, in which it may add and remove addresses; nothing in it reaches anything outside. */
import { spawnSync } from 'node:child_process'
import type { Test } from 'tap'
import { asAtShell } from './amt.ts'
import { type CommandResult, Program, runCommand, skipWithout } from './program.ts'

/** For the `skip` of tests: why there is no such network here, or false. */
export const WITHOUT_NAMESPACES: string | false =
  skipWithout({
    unshare: 'util-linux',
    nsenter: 'util-linux',
    ip: 'iproute2',
    ss: 'iproute2',
    curl: 'curl',
  }) ||
  (spawnSync('unshare', ['--net', 'true']).status === 0
    ? false
    : 'this user may not make network namespaces (unshare --net)')

export class NetworkNamespace {
  readonly #pid: number

  private constructor(pid: number) {
    this.#pid = pid
  }

  /** With loopback, and gone with the test. */
  static async create(t: Test): Promise<NetworkNamespace> {
    const script = 'ip link set lo up && echo up && exec sleep 600'
    const holder = new Program(t, ['unshare', ['--net', 'sh', '-c', script]])
    await holder.line(/^up$/)
    if (holder.pid === undefined) throw new Error('no namespace')
    return new NetworkNamespace(holder.pid)
  }

  /** A program in this network, until the test ends. */
  program(t: Test, program: string, ...args: string[]): Program {
    return new Program(t, this.#inside(asAtShell(program, args)))
  }

  run(program: string, ...args: string[]): Promise<CommandResult> {
    return runCommand(this.#inside(asAtShell(program, args)))
  }

  /** `ip …`, which must work. */
  async ip(...args: string[]): Promise<void> {
    const { code, stderr } = await this.run('ip', ...args)
    if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
  }

  #inside([program, args]: [string, string[]]): [string, string[]] {
    return ['nsenter', ['--target', String(this.#pid), '--net', program, ...args]]
  }
}
