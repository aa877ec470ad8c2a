/**
 * Stands in for a worker in tests of the primary: it speaks the same messages, and does over its listener what a client
 * asks for, one command a line. A listener named `broken…` cannot be served; a tenant `unwanted…` cannot be applied.
 */

import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { decodeTenant } from '../../src/config/tenant-text.ts'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import {
  AHEAD_FD,
  type BoundAddress,
  type PrimaryMessage,
  type WorkerConfig,
  type WorkerMessage,
} from '../../src/proxy/ipc.ts'
import type { Place } from '../../src/proxy/listener/listening-socket.ts'
import { AheadReader } from '../../src/proxy/worker/ahead-reader.ts'
import { PrimarySockets } from '../../src/proxy/worker/primary-sockets.ts'
import type { BoundHandle } from '../../src/runtime/bound-handle.ts'
import { ignoreSignals } from '../../src/runtime/signals.ts'
import { JournalWriter } from './journal-writer.ts'
import { emptyReport, usageOf } from './usage.ts'

const servers: Server[] = []
const places: Place[] = []
const listening = new PrimarySockets(say)
const sockets = new Set<Socket>()
let config: WorkerConfig | undefined
let taken: Promise<void> = Promise.resolve()
let tenants: readonly string[] = []
let reader: AheadReader | undefined
/** How many of them came ahead. */
let ahead = 0
let drainMs = 0
/** Does not end when it is told to. */
let stubborn = false
let instance = ''
let logLevel = ''
/** How many workers share the limits. */
let serving = 0
const producer = randomUUID()
let journal: JournalWriter | undefined
let write: (...records: readonly UsageRecord[]) => void = () => {}
/** How many reports the last word of this worker takes. */
let lastReports = 1

ignoreSignals()
process.on('disconnect', () => process.exit(3))
process.on('message', (message: PrimaryMessage, handle?: BoundHandle) => {
  switch (message.kind) {
    case 'start':
      instance = message.instance
      logLevel = message.logLevel ?? message.config.log.level
      serving = message.workers
      config = message.config
      ahead = message.ahead
      if (ahead > 0) tenants = reader?.tenants.tenants.map(({ id }) => id) ?? []
      return
    case 'tenants':
      // One after the other, as a real worker does it.
      taken = taken.then(() => takeTenants(message))
      return
    case 'serving':
      serving = message.workers
      return
    case 'operator': {
      const { order } = message
      if (order.kind === 'log-level') logLevel = order.level
      if (order.kind === 'list-connections')
        say({ kind: 'connections', id: order.id, connections: [], more: false })
      return
    }
    case 'ahead':
      reader ??= new AheadReader(AHEAD_FD)
      for (const end of message.ends) reader.readTo(end)
      return
    case 'settle':
    case 'quota-answers':
    case 'tls':
    case 'tickets':
      return
    case 'socket':
      listening.answered(message, handle)
      return
    case 'drain':
      if (!stubborn) void drain()
  }
})
say({ kind: 'hello' })

async function takeTenants({
  changed,
  removed,
  generation,
  last,
}: Extract<PrimaryMessage, { kind: 'tenants' }>): Promise<void> {
  const ids = changed.map(text => decodeTenant(text).id)
  const unwanted = ids.some(id => id.startsWith('unwanted'))
  if (!unwanted) tenants = [...new Set([...tenants, ...ids])].filter(id => !removed.includes(id))
  if (!last) return
  if (servers.length === 0) await start(config as WorkerConfig)
  else {
    const problems = unwanted ? ['tenant "unwanted": cannot be served'] : []
    say({ kind: 'applied', generation, problems })
  }
}

async function start(config: WorkerConfig): Promise<void> {
  mkdirSync(config.mixer.journal, { recursive: true })
  const begin = (): JournalWriter => new JournalWriter(config.mixer.journal, producer)
  write = (...records) => (journal ??= begin()).write(...records)
  // Takes long to start, until the file is gone.
  while (existsSync(`${config.mixer.journal}.slow`)) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  // Cannot be started, while the file is there.
  if (existsSync(`${config.mixer.journal}.broken`)) {
    say({ kind: 'failed', problems: ['it is broken'] })
    process.disconnect?.()
    return
  }
  drainMs = config.timeouts.drain
  const broken = config.listeners.find(({ name }) => name.startsWith('broken'))
  if (broken !== undefined) {
    const reason = broken.name.includes('configuration') ? 'configuration' : 'listen'
    say({ kind: 'failed', reason, problems: [`listener "${broken.name}" is broken`] })
    process.disconnect?.()
    return
  }
  const bound: BoundAddress[] = []
  for (const listener of config.listeners) {
    if (listener.mode !== 'shared') continue
    const server = createServer(serve)
    servers.push(server)
    const [host, port] = listener.address.split(':')
    const place = { listener: listener.name, host, port: Number(port) }
    places.push(place)
    const handle = await listening.take(place)
    await new Promise<void>(resolve => server.listen(handle, resolve))
    const address = server.address() as { address: string; port: number }
    bound.push({ listener: listener.name, address: `${address.address}:${address.port}` })
  }
  say({ kind: 'ready', bound, producer })
}

function serve(socket: Socket): void {
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
  socket.on('error', () => {})
  socket.on('data', chunk => {
    for (const line of chunk.toString().trim().split('\n')) obey(socket, line)
  })
}

function obey(socket: Socket, line: string): void {
  const [command, argument = ''] = line.split(' ')
  if (command === 'crash') process.exit(7)
  if (command === 'instance') {
    socket.write(`${process.pid} ${instance}\n`)
    return
  }
  if (command === 'serving') {
    socket.write(`${process.pid} ${serving}\n`)
    return
  }
  if (command === 'count') {
    socket.write(`${process.pid} ${ahead}/${tenants.length}\n`)
    return
  }
  if (command === 'log-level') {
    socket.write(`${process.pid} ${logLevel}\n`)
    return
  }
  if (command === 'hang') {
    process.removeAllListeners('message')
    servers.length = 0
  }
  if (command === 'stubborn') stubborn = true
  if (command === 'talkative') lastReports = Number(argument)
  if (command === 'use') {
    const [tenant = '', calls] = argument.split(':')
    use(usageOf(tenant, Number(calls)))
  }
  if (command === 'journal') {
    const failingSince = argument === '' ? null : Number(argument)
    say({ ...emptyReport(), journal: { ...emptyReport().journal, failingSince, unwritten: 3 } })
  }
  if (command === 'claim') say(reportOf([usageOf(argument, 1)]))
  if (command === 'open') {
    const count = { tenant: argument, listener: 'public', routability: 'l7', opened: 1, active: 1 }
    say({ ...emptyReport(), connections: [count as never] })
  }
  socket.write(`${process.pid} ${tenants.join(',')}\n`)
}

/** Waits for its clients as a worker does, reports a last time, and ends when that is written. */
async function drain(): Promise<void> {
  if (servers.length === 0) return
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, drainMs)
  const closed = servers.map(server => new Promise(resolve => server.close(resolve)))
  for (const place of places) listening.giveBack(place)
  await Promise.all(closed)
  clearTimeout(timer)
  const usage = Array.from({ length: 200 }, () => usageOf('last', 0))
  for (let report = 1; report < lastReports; report += 1) say({ ...emptyReport(), usage })
  const records = [usageOf('last', 1)]
  write(...records)
  process.send?.(reportOf(records), () => process.disconnect?.())
}

/** As a worker does it: first the journal, then the primary. */
function use(record: UsageRecord): void {
  write(record)
  say(reportOf([record]))
}

function reportOf(usage: readonly UsageRecord[]): WorkerMessage {
  const report = emptyReport()
  return { ...report, usage, journal: { ...report.journal, producer } }
}

function say(message: WorkerMessage): void {
  process.send?.(message)
}
