/** A mixer and a proxy as processes, and `amt proxy --upgrade` for that proxy. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { amtCommand, runAmt } from './amt.ts'
import { Program } from './program.ts'
import { tenant } from './proxy-lab.ts'
import { FIT_FOR_TESTS, launchPart, MIXER, readUsage, readyLine } from './running-amt.ts'
import { Application, readyLines } from './upgrade-lab.ts'

/** Processes start one after the other, and the machine may be busy. */
const PATIENCE_MS = 60_000

export interface UpgradeWorld {
  readonly folder: string
  readonly application: Application
  readonly program: Program
  readonly mixerUrl: string
  readonly port: number
  /** Of the version that is in charge. */
  pid(): number
  settings(change: Record<string, unknown>): void
  /** `amt proxy --upgrade`, run as an operator would. */
  readonly upgrade: () => Promise<{ code: number; stdout: string; stderr: string }>
  /** Calls in the ledger. */
  readonly ledger: () => Promise<number>
}

export interface UpgradeWorldOptions {
  /** Of the tenant `acme`; made where it is not given. */
  readonly application?: Application
  /** Of the proxy, instead of those that it would have. */
  readonly settings?: Record<string, unknown>
  /** Behind those that the proxy has anyway. */
  readonly args?: readonly string[]
}

/** A mixer and a proxy, with a listener `public`. */
export async function upgradeWorld(
  t: Test,
  { application: given, settings: change = {}, args = [] }: UpgradeWorldOptions = {},
): Promise<UpgradeWorld> {
  const folder = shortFolder(t)
  const application = given ?? (await Application.start(t))
  const mixer = await launchPart(t, 'mixer', folder, {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    mixer: { ...MIXER, listen: '127.0.0.1:0' },
  })
  const mixerUrl = `http://127.0.0.1:${String((await readyLine(mixer, PATIENCE_MS)).port)}`
  const settings = {
    ...FIT_FOR_TESTS,
    timeouts: { drain: '60s' },
    drain: { tunnels: '5m' },
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
    tenants: [tenant('acme', application)],
    mixer: { ...MIXER, url: mixerUrl },
    ...change,
  }
  const file = join(folder, 'proxy.yaml')
  writeFileSync(file, JSON.stringify(settings))
  const program = new Program(t, amtCommand(['proxy', '--config', file, ...args]))
  const first = await readyLine(program, PATIENCE_MS)
  const [{ address }] = first.bound as [{ address: string }]
  const pid = (): number => readyLines(program).at(-1)?.pid ?? 0
  t.teardown(() => {
    // Those that took over are no children of the test.
    for (const ready of readyLines(program)) kill(ready.pid)
  })
  return {
    folder,
    application,
    program,
    mixerUrl,
    port: Number(address.split(':')[1]),
    pid,
    settings: other => writeFileSync(file, JSON.stringify({ ...settings, ...other })),
    upgrade: async () => runAmt(['proxy', '--config', file, '--upgrade']),
    ledger: async () =>
      (await readUsage(mixerUrl, [])).reduce((sum, { calls }) => sum + Number(calls), 0),
  }
}

/** The path of a unix socket is short, and that of a test's own folder long. */
export function shortFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-upgrade-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended already, as it should.
  }
}

/** The log line with which a version ends. */
export async function ended({ program }: UpgradeWorld, pid: number): Promise<{ exitCode: number }> {
  return JSON.parse(await program.line(new RegExp(`"pid":${pid},.*"msg":"ended"`), 60_000)) as {
    exitCode: number
  }
}

/** Asks the version that is in charge. */
export async function admin(
  { program }: UpgradeWorld,
  path: string,
  method = 'GET',
): Promise<Response> {
  return fetch(`http://${String(readyLines(program).at(-1)?.['admin'])}${path}`, { method })
}
