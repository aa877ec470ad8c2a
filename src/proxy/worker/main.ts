/** Entry of a worker process: speaks to the primary, and runs one worker. */

import { BackgroundFile } from '../../runtime/background-file.ts'
import type { BoundHandle } from '../../runtime/bound-handle.ts'
import { systemClock } from '../../runtime/clock.ts'
import { giveBackMemory } from '../../runtime/collect-garbage.ts'
import { createLogger, type Logger } from '../../runtime/logger.ts'
import { ignoreSignals } from '../../runtime/signals.ts'
import { AHEAD_FD, type OperatorOrder, type PrimaryMessage, type WorkerMessage } from '../ipc.ts'
import type { FirstTenants } from '../tenant/first-tenants.ts'
import { AheadReader } from './ahead-reader.ts'
import { PrimarySockets } from './primary-sockets.ts'
import { ProfileSource } from './profile-source.ts'
import { Worker } from './worker.ts'

/** Tenants come, and nothing is known of anything else yet. */
let ahead: AheadReader | undefined
/** It has been told its configuration, and waits for its tenants. */
let starting: Worker | undefined
let logger: Logger | undefined
let output: BackgroundFile | undefined
/** It serves. */
let worker: Worker | undefined
let taken: Promise<void> = Promise.resolve()
const primary = process.ppid
const profiles = new ProfileSource()
const MANY_TENANTS = 5_000
/** Addresses that are told of after a change: they are for the log, and there may be one a tenant. */
const MOST_TOLD = 100
/** For the last lines of the log. */
const LAST_LINES_MS = 500

function current(): Worker | undefined {
  return worker ?? starting
}

/** Resolves when the last message has left this process. */
let sent: Promise<void> = Promise.resolve()

function send(message: WorkerMessage): void {
  // A primary that is gone takes no messages; `disconnect` ends the worker.
  if (!process.connected) return
  sent = new Promise(resolve => {
    process.send?.(message, undefined, undefined, () => resolve())
  })
}

/** Leaves the primary. What was sent before would be lost with the channel: of 20 large messages, 18 were. */
async function leave(): Promise<void> {
  await sent
  await output?.end(LAST_LINES_MS)
  process.disconnect?.()
}

const sockets = new PrimarySockets(send)

function create(message: Extract<PrimaryMessage, { kind: 'start' }>): Worker {
  const {
    config,
    generation,
    workers,
    instance,
    logLevel,
    draining,
    tls: materials,
    tickets,
  } = message
  // In the background as well: a reader of our output that stops reading must not stop traffic with the next warning.
  output = new BackgroundFile({
    where: 'stdout',
    maxBytes: config.log.accessBuffer,
    failed: () => {},
  })
  logger = createLogger({ level: logLevel ?? config.log.level, name: 'worker' }, output.lines)
  return new Worker(
    {
      clock: systemClock,
      logger,
      output,
      report: send,
      sockets,
      askQuota: asks => send({ kind: 'quota-asks', asks }),
      endIfOrphaned: () => {
        if (process.ppid !== primary) process.exit(0)
      },
    },
    {
      config,
      generation,
      workers,
      instance,
      draining,
      tls: { materials, tickets },
      first: firstTenants(message.ahead),
    },
  )
}

/** Those that came ahead, where they are those that it is to have. */
function firstTenants(count: number): FirstTenants | undefined {
  const tenants = ahead?.tenants
  ahead?.close()
  ahead = undefined
  if (count === 0) return undefined
  if (tenants?.tenants.length !== count)
    throw new Error(`${tenants?.tenants.length} tenants came ahead, not ${count}`)
  return tenants
}

/** Serves the first tenants, or gives up. */
async function start(created: Worker, problems: readonly string[]): Promise<void> {
  // Nobody is served meanwhile: this worker does not accept yet.
  if (created.tenantCount >= MANY_TENANTS) giveBackMemory()
  const result =
    problems.length > 0 ? ({ reason: 'configuration', problems } as const) : await created.start()
  if ('problems' in result) {
    send({ kind: 'failed', reason: result.reason, problems: result.problems })
    await leave()
    return
  }
  worker = created
  send({ kind: 'ready', bound: result.bound, producer: created.producer })
}

async function takeTenants(message: Extract<PrimaryMessage, { kind: 'tenants' }>): Promise<void> {
  const problems = await current()?.takeTenants(message)
  // Nobody waits for an answer to a piece.
  if (problems === undefined) return
  const { generation, listeners } = message
  if (worker !== undefined) {
    const bound = listeners === undefined ? undefined : worker.bound.slice(0, MOST_TOLD)
    send({ kind: 'applied', generation, problems, bound })
  } else if (starting !== undefined) await start(starting, problems)
}

function receive(message: PrimaryMessage, handle?: BoundHandle): void {
  switch (message.kind) {
    case 'ahead':
      ahead ??= new AheadReader(AHEAD_FD)
      for (const end of message.ends) ahead.readTo(end)
      return
    case 'start':
      starting = create(message)
      return
    case 'operator':
      obey(message.order)
      return
    case 'tls':
      current()?.applyTls(message.listeners, message.materials)
      return
    case 'tickets':
      current()?.applyTickets(message.secrets)
      return
    case 'tenants':
      // One after the other, also where one of them takes long.
      taken = taken.then(() => takeTenants(message))
      return
    case 'settle':
      taken = taken.then(() => worker?.settleListeners())
      return
    case 'serving':
      worker?.shareLimits(message.workers, message.count)
      return
    case 'quota-answers':
      worker?.quotaAnswers(message.answers)
      return
    case 'socket':
      sockets.answered(message, handle)
      return
    case 'drain':
      void drain()
  }
}

function obey(order: OperatorOrder): void {
  switch (order.kind) {
    case 'drain-tenant':
      current()?.drainTenant(order)
      return
    case 'resume-tenant':
      current()?.resumeTenant(order.tenant)
      return
    case 'list-connections':
      void listConnections(order)
      return
    case 'profile':
      profiles.begin(order.id, order.request)
      return
    case 'profile-next':
      void sendPiece(order.id)
      return
    case 'profile-end':
      profiles.end(order.id)
      return
    case 'reopen-logs':
      current()?.reopenLogs()
      return
    case 'log-level':
      if (logger !== undefined) logger.level = order.level
  }
}

async function listConnections({
  id,
  tenant,
  limit,
}: Extract<OperatorOrder, { kind: 'list-connections' }>): Promise<void> {
  const list = await worker?.connectionsOf(tenant, limit)
  if (list !== undefined) send({ kind: 'connections', id, ...list })
}

async function sendPiece(id: number): Promise<void> {
  send({ kind: 'profile-piece', id, piece: await profiles.next(id) })
}

/** Node waits at its end for writes that are under way: for those to a pipe that nobody reads, for ever. */
function exit(): void {
  const written = current()?.endLogs() !== false && output?.writing !== true
  if (written) process.exit(0)
  process.kill(process.pid, 'SIGKILL')
}

async function drain(): Promise<void> {
  await worker?.drain()
  await leave()
}

process.on('message', receive)
// Signals go to the whole group of a terminal; only the primary decides what they mean.
ignoreSignals()
// Without its primary a worker has nobody to report to: what it served would never be billed.
process.on('disconnect', () => {
  worker?.saveUsage()
  exit()
})
send({ kind: 'hello' })
