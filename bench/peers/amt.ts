/** AMT itself as operators run it: a primary and a worker, everything on, usage reported to a mixer of its own. */
import { createHash } from 'node:crypto'
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { freePorts } from '../../test/support/free-ports.ts'
import { WrongAnswer } from '../harness/answer.ts'
import { STREAMING_PATH, UNARY_PATH } from '../harness/http2-call.ts'
import { childrenOf } from '../harness/process-stat.ts'
import { LOAD_CPU, PROXY_CPU, Program, requireProgram, runProgram } from '../harness/program.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Books, Peer, PeerSetup, RunningPeer } from './peer.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const TOKEN = 'token-of-the-benchmark'
const LEDGER_MS = 10_000

export const amt: Peer = amtOf('amt', CHECKOUT)

/** The AMT of another checkout, for a figure before a change beside the one after it. It brings its own Node. */
export function otherAmt(checkout: string): Peer {
  return amtOf('amt-other', resolve(checkout))
}

function amtOf(name: string, checkout: string): Peer {
  return {
    name,
    checks: true,
    absence: () => undefined,
    version: () => {
      const text = readFileSync(join(checkout, 'package.json'), 'utf8')
      return `${(JSON.parse(text) as { version: string }).version}, Node ${process.version.slice(1)}`
    },
    start: async setup => startAmt(join(checkout, 'bin/amt'), setup),
  }
}

async function startAmt(amtPath: string, setup: PeerSetup): Promise<RunningPeer> {
  const { folder, profile } = setup
  return runAmt({ amtPath, folder, profile, configOf: mixer => configOf(setup, mixer) })
}

export interface RunningAmt extends RunningPeer {
  /** Of its admin server, on 127.0.0.1. */
  readonly adminPort: number
}

export interface AmtRun {
  readonly amtPath: string
  /** An empty one for it alone. */
  readonly folder: string
  /** The whole configuration; `mixer` is the part of it that leads to its own mixer. */
  readonly configOf: (mixer: MixerParts) => unknown
  readonly profile?: string | undefined
}

/** Usage is reported to a mixer of its own, which keeps a ledger. */
export interface MixerParts {
  readonly mixer: object
  readonly ledger: string
  readonly admin: object
}

/** The path of this checkout's own. */
export const OWN_AMT: string = join(CHECKOUT, 'bin/amt')

/** A primary and one worker on the CPU of the proxy, ready, with a mixer on that of the load. */
export async function runAmt({ amtPath, folder, configOf, profile }: AmtRun): Promise<RunningAmt> {
  const [mixerPort = 0, adminPort = 0] = await freePorts(2)
  const file = join(folder, 'amt.yaml')
  const parts: MixerParts = {
    mixer: { url: `http://127.0.0.1:${mixerPort}`, token: TOKEN, journal: 'journal' },
    ledger: 'sqlite:ledger.db',
    admin: { address: `127.0.0.1:${adminPort}` },
  }
  // JSON is YAML, too.
  writeFileSync(file, JSON.stringify(configOf(parts)), { mode: 0o600 })
  const mixer = new Program('amt mixer', LOAD_CPU, [amtPath, 'mixer', '--config', file])
  await ready(mixer, /"msg":"mixer is ready"/)
  const command = [amtPath, 'proxy', '--config', file, '--workers', '1']
  const profiled = profile === undefined ? command : [...profiling(folder), ...command]
  const program = new Program('amt proxy', PROXY_CPU, profiled)
  await ready(program, /"msg":"ready"/).catch(async (error: unknown) => {
    await mixer.stop()
    throw error
  })
  const [worker] = childrenOf(program.pid)
  return {
    program,
    adminPort,
    audit: async expected => auditLedger(amtPath, file, expected),
    stop: async () => {
      await program.stop()
      await mixer.stop()
      if (profile !== undefined) keepProfile(folder, worker, profile)
    },
  }
}

/** Rejected where it does not say so; then it does not run. */
async function ready(program: Program, pattern: RegExp): Promise<void> {
  try {
    await program.says(pattern)
  } catch (error) {
    await program.stop()
    throw error
  }
}

/** What goes before a command so that each Node in it leaves a profile in `folder` when it ends. */
function profiling(folder: string): string[] {
  const options = `--cpu-prof --cpu-prof-dir=${folder}`
  return [requireProgram('env', 'coreutils'), `NODE_OPTIONS=${options}`]
}

/** The profile of the worker alone: `CPU.DATE.TIME.PID.….cpuprofile`. */
function keepProfile(folder: string, worker: number | undefined, file: string): void {
  const found = readdirSync(folder).find(name => name.split('.')[3] === String(worker))
  if (found === undefined) throw new Error(`the worker left no profile in ${folder}`)
  copyFileSync(join(folder, found), file)
}

function configOf({ work, port, upstream }: PeerSetup, mixer: MixerParts): unknown {
  const digest = (key: string): string => `sha256:${createHash('sha256').update(key).digest('hex')}`
  return {
    service: {
      name: 'orders',
      operations: [
        { name: 'create-order', match: 'POST /v1/orders' },
        { name: 'read-order', match: 'GET /v1/orders/:id' },
        ...grpcOperations(work),
      ],
    },
    listeners: [listenerOf(work, port)],
    authentication: work.jwt && {
      jwt: [{ issuer: work.jwt.issuer, audiences: [work.jwt.audience], jwks: work.jwt.jwksFile }],
    },
    tenants: work.tenants.map(({ id, credential }) => ({
      id,
      ...(work.lane.credential === 'none' && { address: '127.0.0.1' }),
      ...(work.lane.credential === 'api-key' && { credentials: [{ apiKey: digest(credential) }] }),
      deployment: {
        endpoints: [`${schemeOf(work.lane)}://127.0.0.1:${upstream}`],
      },
      // All of them watched, none of them reached.
      limits: {
        requests: '1000000/s',
        burst: 999_999, // as many digits in each answer, also where all of it is left
        concurrency: 10_000,
        connections: 10_000,
        ingress: '10GiB/s',
        egress: '10GiB/s',
        body: '10GiB',
      },
    })),
    // All clients are at one address; those of the lanes with new connections are more than one may make by default.
    sources: { connections: 1_000_000, newConnections: '1000000/s' },
    ...mixer,
    log: { access: 'off' }, // as in the other proxies
  }
}

function schemeOf({ traffic, http2 }: Lane): string {
  if (traffic === 'tcp') return 'tcp'
  return http2?.upstream === 'http2' ? 'h2c' : 'http'
}

function grpcOperations({ lane }: PeerSetup['work']): unknown[] {
  if (lane.traffic !== 'grpc') return []
  return [
    { name: 'read-order-by-grpc', match: `POST ${UNARY_PATH}` },
    { name: 'talk-by-grpc', match: `POST ${STREAMING_PATH}` },
  ]
}

function listenerOf({ lane, tls }: PeerSetup['work'], port: number): unknown {
  const common = {
    name: 'public',
    ...(tls && {
      tls: {
        certificates: [{ cert: tls.cert, key: tls.key }],
        ...(tls.client && { clientCertificate: 'required', clientCa: tls.client.ca }),
      },
    }),
  }
  return lane.traffic === 'tcp'
    ? { ...common, mode: 'private', port, protocol: 'tcp' }
    : { ...common, mode: 'shared', address: `127.0.0.1:${port}`, protocol: 'auto' }
}

/**
 * Each call stands in the ledger once, and no byte is missing. Waits for the last report, which may take two seconds. Read by
 * the program itself: another checkout may have another form of answer.
 */
async function auditLedger(
  amtPath: string,
  config: string,
  { calls, open, bytes }: Books,
): Promise<void> {
  const deadline = performance.now() + LEDGER_MS
  for (;;) {
    const command = [amtPath, 'usage', '--config', config, '--from', '-24h', '--json']
    const { totals } = usageSchema.parse(JSON.parse(await runProgram(LOAD_CPU, command, 30)))
    const counted = Number(totals.calls)
    const carried = Number(totals.ingress) + Number(totals.egress)
    if (counted >= calls && counted <= calls + open && carried >= bytes) return
    if (counted > calls + open || performance.now() > deadline)
      throw new WrongAnswer(
        `${calls} calls were answered and ${bytes} bytes carried, the ledger holds ${counted} and ${carried}`,
      )
    await sleep(100)
  }
}

const sum = z.union([z.number(), z.string()])
const usageSchema = z.looseObject({
  totals: z.looseObject({ calls: sum, ingress: sum, egress: sum }),
})
