/** A mixer on a free loopback port with a ledger of its own, closed when the test ends. */
import { join } from 'node:path'
import type { Test } from 'tap'
import type { ExportConfig } from '../../src/config/export-schema.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createMixer } from '../../src/mixer/app.ts'
import type { ServerTimeouts } from '../../src/mixer/http/server.ts'
import { createLogger } from '../../src/runtime/logger.ts'
import { openLedger, refusalOf } from './ledger/open-ledger.ts'

export const TOKEN = 'a-token-for-tests-only'

export interface StartedMixer {
  readonly url: string
  readonly port: number
  readonly ledger: string
  /** Log lines so far. */
  readonly log: () => string
  readonly close: () => Promise<void>
}

export interface StartMixerOptions {
  /** The file of an existing ledger, or the URL of one in PostgreSQL; by default a new file. */
  readonly ledger?: string
  /** A free one by default. */
  readonly port?: number
  /** What the mixer takes for the current time. */
  readonly now?: () => number
  readonly timeouts?: ServerTimeouts
  readonly exports?: ExportConfig[]
  /** Producers that are announced before it serves; by default those that `report` of ledger/reports.ts makes reports of. */
  readonly known?: readonly string[]
  /** 127.0.0.1 by default. */
  readonly host?: string
  /** PEM files; the mixer serves TLS then. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string }
}

export async function startMixer(t: Test, options: StartMixerOptions = {}): Promise<StartedMixer> {
  const ledger = options.ledger ?? join(t.testdir({}), 'ledger.db')
  const lines: string[] = []
  const { host = '127.0.0.1', tls } = options
  const scheme = tls === undefined ? 'http' : 'https'
  const bracketed = host.includes(':') ? `[${host}]` : host
  const url = ledger.includes('://') ? ledger : `sqlite:${ledger}`
  const mixer = createMixer({
    config: {
      mixer: configSchema.shape.mixer.parse({
        url: `${scheme}://${bracketed}:${options.port ?? 0}`,
        token: TOKEN,
        ...(tls === undefined ? {} : { tls }),
      }),
      ledger: url,
      ledgerRetention: configSchema.shape.ledgerRetention.parse({}),
      exports: options.exports ?? [],
      service: { name: 'orders', operations: [] },
    },
    logger: createLogger({ level: 'debug', name: 'mixer' }, { write: line => lines.push(line) }),
    clock: { now: options.now ?? Date.now, monotonic: () => performance.now() },
    ...(options.timeouts === undefined ? {} : { timeouts: options.timeouts }),
  })
  // Before: both in one process would wait for each other's locks.
  await announce(url, options.known ?? ['p1', 'p2'])
  const { port } = await mixer.listen()
  t.teardown(() => mixer.close())
  return {
    url: `${scheme}://${host === '127.0.0.1' ? host : 'localhost'}:${port}`,
    port,
    ledger,
    log: () => lines.join(''),
    close: () => mixer.close(),
  }
}

async function announce(url: string, producers: readonly string[]): Promise<void> {
  if (producers.length === 0) return
  if ((await refusalOf(url)) !== undefined) return
  const ledger = await openLedger(url)
  await ledger.announce({ proxy: 'proxy-1', producers })
  await ledger.close()
}
