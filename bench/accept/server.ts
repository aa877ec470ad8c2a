/**
 * The program that is measured: a primary and its workers, which answer each connection with their number. Lines on stdin end
 * a worker: `drain N` as a proxy ends one, `kill N` as a crash does; another takes its place at once, as in AMT.
 */
import cluster, { type Worker } from 'node:cluster'
import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { ACCEPTED, type ServerOptions } from './ways.ts'

const BACKLOG = 1_024
const { way, workers, workUs } = JSON.parse(process.argv[2] ?? '') as ServerOptions

if (cluster.isPrimary) await beginPrimary()
else await beginWorker()

async function beginPrimary(): Promise<void> {
  cluster.schedulingPolicy = way === 'hand-over' ? cluster.SCHED_RR : cluster.SCHED_NONE
  const port = await freePort()
  const byNumber = new Map<number, Worker>()
  const begin = async (number: number): Promise<void> => {
    const worker = cluster.fork({ NUMBER: String(number), PORT: String(port) })
    await new Promise<void>(resolve => worker.once('message', () => resolve()))
    byNumber.set(number, worker)
    tell('serves', number)
    worker.once('exit', () => {
      tell('ended', number)
      void begin(number)
    })
  }
  const numbers = Array.from({ length: workers }, (_, index) => index + 1)
  await Promise.all(numbers.map(begin))
  process.stdout.write(`ready ${port}\n`)
  createInterface(process.stdin)
    .on('line', line => {
      const [command, number] = line.split(' ')
      const worker = byNumber.get(Number(number))
      if (command === 'kill') worker?.process.kill('SIGKILL')
      else worker?.send('drain')
    })
    .on('close', () => process.exit(0))
}

function tell(what: 'serves' | 'ended', number: number): void {
  process.stdout.write(`${what} ${number}\n`)
}

/** Each worker of `reuse-port` binds for itself, so all must know the port. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function beginWorker(): Promise<void> {
  const number = process.env['NUMBER'] ?? ''
  const port = Number(process.env['PORT'])
  const server = createServer({ noDelay: true }, socket => serve(socket, number))
  process.on('disconnect', () => process.exit(0))
  process.on('message', () => {
    // What was accepted comes to its end first.
    server.close(() => process.exit(0))
  })
  const reusePort = way === 'reuse-port'
  await new Promise<void>(resolve => {
    server.listen({ port, host: '127.0.0.1', backlog: BACKLOG, reusePort }, resolve)
  })
  process.send?.('serves')
}

function serve(socket: Socket, number: string): void {
  // Visitors leave as soon as they have their answer.
  socket.on('error', () => {})
  socket.write(ACCEPTED)
  const until = performance.now() + workUs / 1_000
  while (performance.now() < until);
  socket.once('data', () => socket.end(number))
}
