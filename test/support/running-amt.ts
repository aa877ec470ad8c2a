/** `amt mixer` and `amt proxy` as the processes that operators run, with a ledger of their own and on free ports. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { UsageGrouping, UsageQuery, UsageWindow } from '../../src/contracts/usage-query.ts'
import type { UsageTotals } from '../../src/contracts/usage-report.ts'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { amtCommand } from './amt.ts'
import { Program } from './program.ts'
import { TOKEN } from './start-mixer.ts'

const PATIENCE_MS = 10_000
const HOUR_MS = 3_600_000
/** What a configuration of a test has where it says nothing else. */
export const FIT_FOR_TESTS = {
  admin: { address: '127.0.0.1:0' },
  timeouts: { drain: '2s' },
  ledger: 'sqlite:ledger.db',
  log: { access: 'off' },
  workers: 2,
} as const
export const MIXER = { token: TOKEN, journal: 'journal' } as const

export type PartName = 'mixer' | 'proxy'
/** The fields of the log line that says that a part is ready. */
export type ReadyLine = Readonly<Record<string, unknown>>

export type LedgerTotals = Pick<UsageTotals, 'calls' | 'ingress' | 'egress' | 'connections'>

export interface RunningAmt {
  readonly mixerUrl: string
  readonly adminUrl: string
  /** Where a listener is bound; with `tenant` that of a private listener for it. */
  address(listener: string, tenant?: string): { host: string; port: number }
  /** What the ledger holds now, by tenant; within two seconds all of what has passed, also of what is still open. */
  readonly ledger: () => Promise<Record<string, LedgerTotals>>
  /** How often each reason led to a refusal on any listener, as the admin server says; it follows within a second. */
  readonly rejected: () => Promise<Record<string, number>>
  /** Ends the proxy in good order; gives its exit code. All usage is in the ledger then. */
  drain(): Promise<number>
}

/** What `read` gives as soon as it `holds`, or at last when that has taken too long: for what shows no event. */
export async function readUntil<T>(
  read: () => Promise<T>,
  holds: (value: T) => boolean,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const value = await read()
    if (holds(value) || performance.now() > deadline) return value
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** Starts both in `folder`, an existing one that `config` may name files in; what `config` leaves out is made fit for a test. */
export async function startAmt(
  t: Test,
  folder: string,
  config: Record<string, unknown>,
): Promise<RunningAmt> {
  const settings = { ...FIT_FOR_TESTS, ...config }
  const mixer = await startPart(t, 'mixer', folder, {
    ...settings,
    mixer: { ...MIXER, listen: '127.0.0.1:0' },
  })
  const url = `http://127.0.0.1:${String(mixer.ready.port)}`
  const proxy = await startPart(t, 'proxy', folder, { ...settings, mixer: { ...MIXER, url } })
  const bound = proxy.ready.bound as readonly BoundAddress[]
  const adminUrl = `http://${String(proxy.ready.admin)}`
  return {
    mixerUrl: url,
    adminUrl,
    address: (listener, tenant) => addressOf(bound, listener, tenant),
    ledger: async () => readLedger(url),
    rejected: async () => readRejected(`${adminUrl}/metrics`),
    drain: async () => proxy.program.stop(),
  }
}

interface Part {
  readonly program: Program
  readonly ready: ReadyLine
}

async function startPart(
  t: Test,
  name: PartName,
  folder: string,
  settings: Record<string, unknown>,
): Promise<Part> {
  const program = await launchPart(t, name, folder, settings)
  return { program, ready: await readyLine(program) }
}

/** Starts a part with these settings and does not wait for it. */
export async function launchPart(
  t: Test,
  name: PartName,
  folder: string,
  settings: Record<string, unknown>,
): Promise<Program> {
  const file = join(folder, `${name}.yaml`)
  // JSON is YAML, too.
  await writeFile(file, JSON.stringify(settings))
  return new Program(t, amtCommand([name, '--config', file]))
}

/** Rejects when the part ends before. */
export async function readyLine(program: Program, patienceMs?: number): Promise<ReadyLine> {
  return JSON.parse(await program.line(/"msg":"(mixer is )?ready"/, patienceMs)) as ReadyLine
}

function addressOf(
  bound: readonly BoundAddress[],
  listener: string,
  tenant: string | undefined,
): { host: string; port: number } {
  const found = bound.find(entry => entry.listener === listener && entry.tenant === tenant)
  if (!found) throw new Error(`${listener} is not bound: ${JSON.stringify(bound)}`)
  const colon = found.address.lastIndexOf(':')
  const host = found.address.slice(0, colon).replace(/^\[|\]$/g, '')
  return { host, port: Number(found.address.slice(colon + 1)) }
}

/** What the ledger of the mixer at `url` holds, grouped `by` these; by default of this hour and the one before. */
export async function readUsage(
  url: string,
  by: readonly UsageGrouping[],
  // Not of today: a test may run over midnight.
  range: Pick<UsageQuery, 'from' | 'to'> = { from: Date.now() - HOUR_MS },
): Promise<readonly UsageWindow[]> {
  const client = createMixerClient({ url, token: TOKEN })
  const result = await client.usage({ ...range, by: [...by] })
  await client.close()
  if (!result.ok) throw new Error(result.detail)
  return result.usage.windows
}

async function readLedger(url: string): Promise<Record<string, LedgerTotals>> {
  return Object.fromEntries(
    (await readUsage(url, ['tenant'])).map(
      ({ tenant = '', calls, ingress, egress, connections }) => [
        tenant,
        {
          calls: Number(calls),
          ingress: Number(ingress),
          egress: Number(egress),
          connections: Number(connections),
        },
      ],
    ),
  )
}

async function readRejected(url: string): Promise<Record<string, number>> {
  const metrics = await (await fetch(url)).text()
  const counts: Record<string, number> = {}
  for (const [, reason = '', count] of metrics.matchAll(
    /^amt_rejected_total\{.*?reason="([^"]*)".*?\} (\d+)$/gm,
  ))
    counts[reason] = (counts[reason] ?? 0) + Number(count)
  return counts
}
