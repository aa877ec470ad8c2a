/** `amt mixer` as its own process, for tests of signals, crashes and exit codes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { AMT } from './amt.ts'
import { TOKEN } from './start-mixer.ts'

/** A configuration; `mixer` is what stands in its `mixer` section beside the token. */
export function mixerConfig(mixer: string): string {
  const listener = '{ name: public, mode: shared, address: "127.0.0.1:0" }'
  return `listeners: [ ${listener} ]\nmixer: { ${mixer}, token: ${TOKEN} }\n`
}

/** The same in a file in the test's folder, which is emptied first. */
export function writeMixerConfig(t: Test, mixer: string): string {
  return join(t.testdir({ 'amt.yaml': mixerConfig(mixer) }), 'amt.yaml')
}

export interface MixerProcess {
  readonly child: ChildProcess
  readonly url: string
  /** Everything on stdout, once it has ended. */
  readonly output: Promise<string>
}

/** `amt mixer` as its own process, ready. */
export async function startMixerProcess(t: Test, config: string): Promise<MixerProcess> {
  const child = spawn(AMT, ['mixer', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] })
  // Not inherited: a child that outlives a test that was cut off would keep the reader of the test's output waiting.
  child.stderr.pipe(process.stderr)
  t.teardown(() => child.kill('SIGKILL'))
  const output = text(child.stdout)
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, port } = JSON.parse(line) as { msg: string; port: number }
    if (msg === 'mixer is ready') return { child, url: `http://127.0.0.1:${port}`, output }
  }
  throw new Error('the mixer has ended')
}

/** Fulfilled with exit code and signal. */
export async function stopMixerProcess(
  { child }: MixerProcess,
  signal: NodeJS.Signals,
): Promise<unknown[]> {
  const exited = once(child, 'exit')
  child.kill(signal)
  return exited
}
