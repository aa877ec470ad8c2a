/** The mixer as a whole: it opens the ledger, serves the HTTP interface and closes both in order. */
import { once } from 'node:events'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { bearerCheck } from '../runtime/bearer-token.ts'
import type { Logger } from '../runtime/logger.ts'
import { describeListenError } from '../runtime/node-errors.ts'
import { formatAddress, type HostPort, listenAddress } from './address.ts'
import { ChargeLedger } from './charges/charge-ledger.ts'
import { type KnownDeployments, openDeployments } from './deployments.ts'
import { createExports, type Exports } from './exports/create-exports.ts'
import { chargeRoutes } from './http/charges.ts'
import { exportRoutes } from './http/exports.ts'
import { healthRoutes } from './http/health.ts'
import { openApiRoute } from './http/openapi.ts'
import { producersRoute } from './http/producers.ts'
import { quotaRoute } from './http/quota.ts'
import { reconcileRoute } from './http/reconcile.ts'
import { registrationRoute } from './http/registration.ts'
import { reportRoute } from './http/report.ts'
import type { Route } from './http/route.ts'
import {
  createMixerServer,
  type MixerServer,
  SERVER_TIMEOUTS,
  type ServerTimeouts,
} from './http/server.ts'
import { followTlsFiles, readTlsFiles, type TlsFiles } from './http/tls-files.ts'
import { usageRoute } from './http/usage.ts'
import { whoamiRoute } from './http/whoami.ts'
import type { Database } from './ledger/database.ts'
import { type Housekeeping, startHousekeeping } from './ledger/housekeeping.ts'
import type { Ledger } from './ledger/ledger.ts'
import { openDatabase } from './ledger/open-database.ts'
import { createUsageLedger, usageTablesOf } from './ledger/usage-ledger.ts'
import type { UsageTables } from './ledger/usage-tables.ts'
import { createMixerMetrics, type MixerMetrics } from './metrics.ts'
import { QuotaLedger } from './quota/quota-ledger.ts'
import { QuotaSweeper } from './quota/quota-sweeper.ts'

/** How long calls that are under way have when the mixer closes. */
const CLOSE_DEADLINE_MS = 5_000

/** The mixer cannot start; the message is one line that says what and where. */
export class MixerStartError extends Error {
  override readonly name = 'MixerStartError'
}

export interface MixerDeps {
  readonly config: Pick<Config, 'mixer' | 'ledger' | 'ledgerRetention' | 'exports' | 'service'>
  readonly logger: Logger
  readonly clock: Clock
  readonly timeouts?: ServerTimeouts
}

export interface Mixer {
  /**
   * Opens the ledger, then the port; answers the address that is bound. Rejects with a MixerStartError where either
   * cannot be had, and then holds nothing open.
   */
  listen(): Promise<{ readonly address: string; readonly port: number }>
  /** Stops accepting, lets calls under way end (5 s), closes the ledger. May be called again. */
  close(): Promise<void>
}

export function createMixer(deps: MixerDeps): Mixer {
  let running: Running | undefined
  let closing: Promise<void> | undefined
  return {
    async listen() {
      const address = listenAddress(deps.config.mixer)
      if (address === undefined)
        throw new MixerStartError('mixer: `listen` must name an address, because `url` does not')
      const tls = tlsOf(deps.config)
      const opened = await openDatabase(deps.config.ledger)
      if ('refusal' in opened)
        throw new MixerStartError(`mixer: cannot open the ledger ${opened.refusal}`)
      const { database } = opened
      const draining = { value: false }
      const tables = usageTablesOf(database)
      const ledger = createUsageLedger(tables, deps.clock)
      const metrics = createMixerMetrics()
      const deployments = await openDeployments({ ...deps, database, metrics })
      const quotas = new QuotaLedger(database, deps.clock)
      const charges = new ChargeLedger(database, deps.clock)
      const sweeper = new QuotaSweeper(quotas, deps.logger)
      const exports = openExports(deps, { database, ledger, charges, metrics })
      const isDraining = (): boolean => draining.value
      const parts = {
        database,
        ledger,
        deployments,
        quotas,
        charges,
        exports,
        metrics,
        draining: isDraining,
      }
      const server = createServer({ ...deps, tls }, parts)
      try {
        const bound = await bind(server, address, deps.logger)
        const housekeeping = keepHouse(deps, tables, metrics)
        exports.exporter.start()
        running = { server, database, deployments, sweeper, housekeeping, exports, draining }
        return bound
      } catch (cause) {
        await exports.exporter.close()
        await sweeper.close()
        await deployments.close()
        await database.close()
        throw new MixerStartError(describeListenError(cause, `mixer: ${formatAddress(address)}`), {
          cause,
        })
      }
    },
    async close() {
      closing ??= running === undefined ? undefined : shutDown(running)
      await closing
    },
  }
}

interface Running {
  readonly server: MixerServer
  readonly database: Database
  readonly deployments: KnownDeployments
  readonly sweeper: QuotaSweeper
  readonly housekeeping: Housekeeping
  readonly exports: Exports
  readonly draining: { value: boolean }
}

function tlsOf({ mixer }: MixerDeps['config']): TlsFiles | undefined {
  if (mixer.tls === undefined) return undefined
  try {
    return readTlsFiles(mixer.tls)
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause)
    throw new MixerStartError(`mixer: tls: ${detail}`, { cause })
  }
}

function keepHouse(
  { config, clock, logger }: MixerDeps,
  tables: UsageTables,
  metrics: MixerMetrics,
): Housekeeping {
  return startHousekeeping({
    tables,
    retention: config.ledgerRetention,
    clock,
    logger,
    onRolledUp: metrics.rolledUp,
    onExpired: metrics.expired,
  })
}

interface Parts {
  readonly database: Database
  readonly ledger: Ledger
  readonly deployments: KnownDeployments
  readonly quotas: QuotaLedger
  readonly charges: ChargeLedger
  readonly exports: Exports
  readonly metrics: MixerMetrics
  readonly draining: () => boolean
}

function openExports(
  { config, logger, clock }: MixerDeps,
  parts: Pick<Parts, 'database' | 'ledger' | 'charges' | 'metrics'>,
): Exports {
  const { exports, service } = config
  const { registry } = parts.metrics
  return createExports({ ...parts, exports, serviceName: service.name, registry, clock, logger })
}

function createServer(
  { config, logger, clock, timeouts, tls }: MixerDeps & { readonly tls: TlsFiles | undefined },
  parts: Parts,
): MixerServer {
  const { metrics, deployments } = parts
  const routes = routesOf({ ...parts, config, clock, logger })
  const authorized = bearerCheck(config.mixer.token)
  const { identify } = deployments
  const server = createMixerServer(
    { tls, routes, authorized, identify, logger, onRefused: code => metrics.refused(code) },
    timeouts ?? SERVER_TIMEOUTS,
  )
  const { tls: files } = config.mixer
  if (files !== undefined && tls !== undefined)
    server.once('listening', () => {
      server.once('close', followTlsFiles(server, { files, current: tls, logger }))
    })
  return server
}

function routesOf(deps: Parts & Pick<MixerDeps, 'config' | 'clock' | 'logger'>): Route[] {
  const { registry } = deps.deployments
  const { exporter, reports } = deps.exports
  const routes = [
    producersRoute(deps),
    reportRoute({ ...deps, ledger: reports }),
    usageRoute(deps),
    reconcileRoute(deps),
    registrationRoute({ registry, logger: deps.logger }),
    whoamiRoute(),
    quotaRoute({ ...deps, registry }),
    ...chargeRoutes(deps),
    ...exportRoutes({
      ...deps,
      configured: deps.config.exports,
      problemOf: name => exporter.problemOf(name),
    }),
    ...healthRoutes(deps),
  ]
  return [...routes, openApiRoute(routes)]
}

async function bind(
  server: MixerServer,
  { host, port }: HostPort,
  logger: Logger,
): Promise<{ address: string; port: number }> {
  server.listen({ host, port })
  await once(server, 'listening')
  // A failed accept; the next one may work.
  server.on('error', (error: unknown) =>
    logger.error({ err: error }, 'the mixer could not accept a connection'),
  )
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('the server has no port')
  return { address: bound.address, port: bound.port }
}

async function shutDown(running: Running): Promise<void> {
  const { server, database, deployments, sweeper, housekeeping, exports, draining } = running
  draining.value = true
  const closed = once(server, 'close')
  server.close()
  const deadline = setTimeout(() => server.closeAllConnections(), CLOSE_DEADLINE_MS)
  await closed
  clearTimeout(deadline)
  await exports.exporter.close()
  await sweeper.close()
  await housekeeping.close()
  await deployments.close()
  await database.close()
}
